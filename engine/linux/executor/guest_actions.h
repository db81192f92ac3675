// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// What an executor does in a guest that it must not do on a machine that others
// use: environment actions that are global or need privileges, counters that
// are exact because nobody else moves them, a pool of huge pages.
//
// Processes that run steps have given their privileges up. What needs them is
// done for them by the guest's agent, a process that init forks before the
// first batch: a request is written to kAgentFd, which every process inherits,
// and the reply read from there. One process asks at a time, as one step runs
// at a time.

#ifndef LOCKSTEP_ENGINE_LINUX_EXECUTOR_GUEST_ACTIONS_H_
#define LOCKSTEP_ENGINE_LINUX_EXECUTOR_GUEST_ACTIONS_H_

#include <cstdint>

#include "engine/linux/executor/session.h"
#include "engine/linux/wire.h"
#include "engine/outcome.h"
#include "engine/step.h"

namespace lockstep::executor {

// A SOCK_SEQPACKET socket. Processes that run steps need read and write for it.
inline constexpr int kAgentFd = 9;

struct GuestActions {
  // Does the environment action for the calling process, which is the step's
  // task; `address` is where step.addr is in this process. Unsupported, with no
  // effect, if a real kernel cannot be asked for it:
  //   drain           lru_add_drain(): all of it, as there is one CPU
  //   set_cpu         to CPU 0, where the process is
  //   reclaim         of everything: cgroup v2 memory.reclaim, with swap; of a
  //                   page: MADV_PAGEOUT, skipped where it is refused (locked,
  //                   not mapped)
  //   collapse        MADV_COLLAPSE (6.1) of the huge page around the address,
  //                   skipped where it is refused
  //   fail_allocation SharedState::fail_allocation is set
  Outcome (*act)(const Step& step, uint64_t address, SharedState* shared);
  // Before a call: the n-th page that is charged to the programs' control group
  // from now on cannot be had, nor can any after it (cgroup v2 memory.max;
  // there is no process that the OOM killer may kill, so allocations fail).
  // Kernel memory is not charged (cgroup.memory=nokmem). False if this is
  // impossible.
  bool (*limit_memory)(uint32_t nth);
  // After the call there is memory again. Returns what is left of nth: 0 if an
  // allocation failed.
  uint32_t (*lift_limit)();
  // Before a program, by whoever conducts it: as many huge pages in the pool as
  // the header asks for, and the counters' start. 0 or an errno: ENOMEM if the
  // guest's memory does not have them in one piece.
  int (*begin_program)(const wire::ProgramHeader& header);
  // Appends a CounterRecord for each wire::CounterName, after a drain and
  // /proc/sys/vm/stat_refresh, and returns how many: 0 if they cannot be read.
  int (*observe_counters)(Writer* writer);
};

// Null where this is no guest.
extern const GuestActions* guest_actions;

// Forks the agent and sets guest_actions, for the calling process and all that
// it forks. 0 or an errno. Called once, by the guest's init.
int StartGuestAgent();

// Sets guest_actions again after exec: the new image has kAgentFd still.
void ContinueInGuest();

}  // namespace lockstep::executor

#endif  // LOCKSTEP_ENGINE_LINUX_EXECUTOR_GUEST_ACTIONS_H_
