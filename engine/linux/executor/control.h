// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Control: the one mapping that the supervisor shares with the processes that
// run programs. What those write there is not trusted: they ran a stranger's
// program.

#ifndef LOCKSTEP_ENGINE_LINUX_EXECUTOR_CONTROL_H_
#define LOCKSTEP_ENGINE_LINUX_EXECUTOR_CONTROL_H_

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "engine/linux/executor/raw_syscall.h"
#include "engine/linux/executor/session.h"
#include "engine/linux/wire.h"
#include "engine/outcome.h"
#include "engine/step.h"

namespace lockstep::executor {

inline constexpr uint64_t kControlAddress = 0x300000000000;
// The descriptor of the mapping, the same in every process: exec maps it again.
inline constexpr int kControlFd = 6;

// Room for programs on their way in and results on their way out. All of it is
// part of every process's image, so mlockall pays for it.
inline constexpr size_t kWindowIn = 32 << 10;
inline constexpr size_t kWindowOut = 64 << 10;
// More than what one step of one task can write.
inline constexpr size_t kStepRoom = 28 << 10;

// Who a process that runs steps is, as an index of Control::go: a task slot, or
// the child that runs programs of a single task one after the other.
inline constexpr int kWorkerSlot = kTaskSlots;
inline constexpr int kSlots = kTaskSlots + 1;

enum class Command : uint32_t {
  kRunWindow,   // worker: the programs in the window
  kGoOn,        // worker: the window has room again
  kQuit,        // worker: exit
  kStep,        // task: run Control::step
  kObserve,     // task: append its TaskRecord
  kCheckLooks,  // task: LooksAgree, as an Outcome
};

enum class Answer : uint32_t {
  kDone,
  kNeedsRoom,  // the worker waits for kGoOn
};

enum class Spawn : uint32_t { kWorker, kFirstTask, kUsage };

// ProgramResult::signal of a program whose last observation is not what smaps
// says.
inline constexpr int kLooksDiffer = EUCLEAN;

// ProgramResult::end of a program that is being run.
inline constexpr wire::End kOpen = static_cast<wire::End>(~uint32_t{0});

struct Control {
  SharedState shared;
  Writer writer;  // over `out`

  // Counts whatever the supervisor waits for: answers and, by its SIGCHLD
  // handler, deaths.
  std::atomic<uint32_t> event;
  std::atomic<uint32_t> answers;
  // Counts steps begun: a process that lives shows it here.
  std::atomic<uint32_t> beats;
  // A process waits for its word to count up and then does the command.
  std::atomic<uint32_t> go[kSlots];
  std::atomic<uint32_t> spawn_go;
  Command command;
  Answer answer;
  Spawn spawn;
  int32_t spawn_error;  // errno of clone; 0

  wire::Look look;
  uint32_t counters_each_step;  // in a guest; 0: after the last step only
  // The window's programs: ProgramHeader and Steps each; indices in the batch
  // count up from first_program.
  uint32_t first_program, programs;
  // The worker could not undo a program and must not be given another one.
  uint32_t dirty;

  // What a task answers.
  Step step;
  Outcome outcome;
  int32_t begin_error;  // of BeginProgram
  uint64_t image_lockable, image_other;
  uint32_t sees;
  int32_t pids[kSlots];  // each process sets its own
  uint32_t exec_slot;    // which task is on its way through exec
  uint32_t in_guest;     // guest_actions are there, after exec too
  // Time that the spawner itself has used.
  uint64_t spawner_user_ns, spawner_system_ns;

  alignas(8) char in[kWindowIn];
  alignas(8) char out[kWindowOut];

  // The calling process's part of the conversation.
  void Reply(Answer what) {
    answer = what;
    answers.fetch_add(1);
    Notify();
  }
  void Notify() {
    event.fetch_add(1);
    FutexWake(&event);
  }
  // Waits until the supervisor says go; *seen is how often it has.
  void AwaitGo(std::atomic<uint32_t>* word, uint32_t* seen) {
    while (word->load() == *seen) FutexWait(word, *seen, nullptr);
    ++*seen;
  }
};

inline Control* TheControl() {
  return reinterpret_cast<Control*>(kControlAddress);
}

}  // namespace lockstep::executor

#endif  // LOCKSTEP_ENGINE_LINUX_EXECUTOR_CONTROL_H_
