// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Running one program's steps inside the process that is the task, and looking
// at that process. The executor is one static program without heap or stdio:
// whatever it did with memory would show in what it measures. All of its state
// is in static storage; what several tasks share is in the Control mapping.

#ifndef LOCKSTEP_ENGINE_LINUX_EXECUTOR_SESSION_H_
#define LOCKSTEP_ENGINE_LINUX_EXECUTOR_SESSION_H_

#include <cstddef>
#include <cstdint>

#include "engine/linux/wire.h"
#include "engine/outcome.h"
#include "engine/step.h"

namespace lockstep::executor {

// The result buffer as it is filled.
struct Writer {
  char* next;
  char* end;
  // The next struct of the result, zeroed. The supervisor has made sure that a
  // program's worst case fits before it begins.
  template <typename T>
  T* Append() {
    static_assert(sizeof(T) % 8 == 0);
    return static_cast<T*>(AppendBytes(sizeof(T)));
  }
  void* AppendBytes(size_t bytes);
};

// Shared anonymous mappings that one program may make.
inline constexpr int kMaxZeroObjects = 256;
// Ranges that the TaskRecord of one task has at most: a program that makes more
// of them is one that broke (Fatal with E2BIG).
inline constexpr int kMaxRanges = 768;

// What the program's tasks share: in a MAP_SHARED mapping at a fixed address,
// made by the supervisor before the first program, inherited by fork and
// mapped again after exec.
struct SharedState {
  wire::ProgramHeader program;
  struct ShmSlot {
    int id;  // -1: empty
    uint8_t owner, hugetlb, removed, locked;
    uint64_t size;  // bytes
  } shm[kShmSlots];
  // The descriptors are made before the first task uses one and have the same
  // number in every task; a secret is `made` from its memfd_secret step on.
  struct FileSlot {
    int fd;  // 0: not opened yet; -1: cannot be
    uint8_t made;
    uint64_t size;   // bytes
    uint64_t inode;  // tells mappings of a secret
  } files[kFileSlots], secrets[kFileSlots];
  // Shared anonymous memory that the program mapped: its object's size, which
  // a mapping that grew (mremap) goes past.
  struct ZeroObject {
    uint64_t inode;
    uint64_t size;  // bytes
  } zero[kMaxZeroObjects];
  uint32_t zero_count;
  struct TaskSlot {
    uint8_t exists, cap_ipc_lock, uid, mm;
    uint8_t future_locked, future_onfault;
    uint64_t memlock_limit;
  } tasks[kTaskSlots];
  // The program did something that the quick look cannot show (lock on fault,
  // GROWSDOWN, DROPPABLE, read-only segments): smaps from now on.
  uint8_t needs_smaps;
  // In a guest: the n-th page allocation from now on fails; 0: none does.
  uint32_t fail_allocation;
  uint32_t step_flags;  // bits of wire::StepFlag, of the last RunCall
  uint32_t own_uid;     // the user of slot 0
};

// The process becomes task 0 of a new program: arena empty, limits, capability
// and files as the header says. 0 or an errno, when the config cannot be had
// here: EPERM (capability, user), EINVAL (memlock_limit over the hard limit),
// EFBIG (arena or files too large). Called in the process that will run the
// steps, after AdoptProcess. SharedState is all zero before the first program.
int BeginProgram(const wire::ProgramHeader& header, SharedState* shared);

// Runs a system call, touch or the like of `step` as task `slot`, which is
// this process. Not fork, exec, exit: these are the conductor's
// (conductor.h). `unsupported` steps have not been run.
Outcome RunCall(const Step& step, int slot, SharedState* shared);

// Appends the TaskRecord of this process with ranges and bitmaps, as `look`
// says.
void ObserveSelf(int slot, wire::Look look, SharedState* shared,
                 Writer* writer);

// Whether the quick look and smaps show the same now, but for what the quick
// look cannot show. Once a program, after its last step.
bool LooksAgree(SharedState* shared);

// Appends ShmRecords of the slots in use and returns how many.
int ObserveShm(const SharedState& shared, Writer* writer);

// Undoes the program in this process: locks, mappings, break, limit,
// capability, files, segments. False if something is not as it was before; the
// process must not be used for another program then.
bool EndProgram(SharedState* shared);

// Whether the program's steps need a process of its own: what they do cannot
// be undone (fork, exec, exit, setuid, ...).
bool NeedsOwnProcess(const Step* steps, uint32_t count);

// At the start of every process of the executor: reopens /proc/self files,
// remembers the image's VMAs and the heap's base.
void AdoptProcess();
// In a task that fork has just made: its own /proc/self files, under the
// numbers that the parent's had (with CLONE_VM the static state is the
// parent's). All else is as the parent had it.
void AdoptFork(int slot, SharedState* shared);
// In a task after exec, before it looks at anything: as AdoptProcess, and what
// exec changed and the model does not (the effective capability) is as
// `shared` has it.
void AdoptExec(int slot, SharedState* shared);
// Descriptors below this one are the supervisor's; the session keeps its own
// and the program's from here on.
inline constexpr int kFirstSessionFd = 10;
// As it was at AdoptProcess, for ProgramResult.
uint64_t ImageLockablePages();
uint64_t ImageOtherPages();
uint32_t WhatIsSeen();  // bits of wire::Sees

}  // namespace lockstep::executor

#endif  // LOCKSTEP_ENGINE_LINUX_EXECUTOR_SESSION_H_
