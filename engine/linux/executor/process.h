// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// What a process of the executor knows of itself. Tasks that share an address
// space share this too; their descriptor tables differ, the numbers do not.

#ifndef LOCKSTEP_ENGINE_LINUX_EXECUTOR_PROCESS_H_
#define LOCKSTEP_ENGINE_LINUX_EXECUTOR_PROCESS_H_

#include <cstdint>

#include "engine/linux/executor/bounds.h"
#include "engine/linux/executor/layout.h"
#include "engine/linux/executor/session.h"
#include "engine/step.h"

namespace lockstep::executor {

// The session's descriptors, the same in every task.
enum SessionFd : int {
  kStatusFd = kFirstSessionFd,
  kPagemapFd,
  kMapsFd,
  kSmapsFd,
  kKpageflagsFd,
  kStatmFd,
  kFirstFileFd,
  kFirstSecretFd = kFirstFileFd + kFileSlots,
  kSessionFdEnd = kFirstSecretFd + kFileSlots,
};

struct Process {
  Layout layout;
  // The image is the executor's own, with nothing in it that calls the vDSO.
  bool whole_image;
  // An address in the stack that the kernel made, if nothing uses it any more.
  uint64_t kernel_stack;
  bool slots_open;      // files and secrets have their descriptors
  bool has_kpageflags;  // kKpageflagsFd is open
  bool has_procmap;     // PROCMAP_QUERY works (6.11)
  bool shows_onfault;   // smaps has a name for VM_LOCKONFAULT (6.12)
  bool shows_guards;    // pagemap has a bit for guard pages (6.15)
  bool has_protection_keys;
  bool files_changed;  // since BeginProgram: contents or size
  // Steps have run that may have changed what smaps alone shows, since it was
  // read.
  bool flags_changed;
  // No step has run since the last look at pages.
  bool looked;
  // The image was locked (mlockall) when it was last asked for.
  bool image_was_locked;
  uint64_t hard_memlock_limit;  // bytes
  uint64_t own_memlock_limit;   // bytes, the soft limit to go back to
  uint64_t permitted;           // capabilities
  uint32_t own_uid;             // of slot 0
  uint64_t placed_pages;        // by the kernel, for this program
  // As this process has opened them, before the program's first step.
  SharedState::FileSlot files[kFileSlots], secrets[kFileSlots];
};
extern Process process;

// The user of a slot and back. Users of slots 1 to 3 are nobody's on any
// machine; slot 0 is the executor's own.
inline constexpr uint32_t kFirstUid = 64000;
inline uint32_t UidOf(int slot) {
  return slot == 0 ? process.own_uid : kFirstUid + static_cast<uint32_t>(slot);
}
inline int SlotOfUid(uint32_t uid) {
  return uid == process.own_uid ? 0
                                : static_cast<int>((uid - kFirstUid) % kUsers);
}

// What a step is held against, for segments by the step's slot.
Bounds BoundsFor(const Step& step, const SharedState& shared);

}  // namespace lockstep::executor

#endif  // LOCKSTEP_ENGINE_LINUX_EXECUTOR_PROCESS_H_
