// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Engine: something that runs programs step by step and shows what can be
// observed: the reference model, the kernel underneath, a guest.

#ifndef LOCKSTEP_ENGINE_ENGINE_H_
#define LOCKSTEP_ENGINE_ENGINE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/outcome.h"
#include "engine/program.h"
#include "engine/range.h"
#include "engine/step.h"
#include "engine/units.h"

namespace lockstep {

// One task as it can be observed between two steps.
struct TaskState {
  bool exists = false;
  bool cap_ipc_lock = false;
  uint8_t uid = 0;
  bool future_locked = false;   // def_flags has VM_LOCKED
  bool future_onfault = false;  // def_flags has VM_LOCKONFAULT
  uint32_t mm = 0;              // equal for tasks that share an address space
  uint32_t map_count = 0;       // VMAs, those outside the arena included
  Pages locked_vm;
  Pages total_vm;
  uint64_t memlock_limit = 0;  // bytes, soft limit
  uint64_t brk = 0;            // address
  std::vector<Range> ranges;   // by address
};

// One page of a task.
struct PageState {
  bool present = false;    // pagemap bit 63: a page is mapped here
  bool mlocked = false;    // KPF_MLOCKED; false where the engine cannot see it
  bool anonymous = false;  // a private page of the task, not the zero page
  bool zero_page = false;
  // A piece of a transparent huge page. Not on real kernels, where an arena has
  // no room for one.
  bool huge = false;
  bool guard = false;  // pagemap bit 58 (6.15): MADV_GUARD_INSTALL
  // The engine does not look there, and says present: of a real kernel's pages
  // only those of arena and heap are seen.
  bool unseen = false;
};

// One SysV segment slot.
struct ShmState {
  bool exists = false;
  bool locked = false;  // SHM_LOCKED
  bool hugetlb = false;
  bool removed = false;  // IPC_RMID was called, still attached
  uint8_t owner = 0;     // uid
  uint64_t size = 0;     // bytes
  bool operator==(const ShmState&) const = default;
};

// What happened inside the last step that is not part of the call itself.
struct StepEvents {
  bool allocation_failed = false;  // an allocation failed, for whatever reason
  bool fatal_signal = false;       // the task had a fatal signal pending
  bool interleaved = false;        // a during action took place
};

class Engine {
 public:
  Engine() = default;
  virtual ~Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  virtual absl::string_view name() const = 0;
  // Back to the state before the first step of a program with this config.
  virtual absl::Status Reset(const Config& config) = 0;
  virtual Outcome Run(const Step& step) = 0;

  // The observations below are of the state after the last step.
  // REQUIRES: task < kTaskSlots. Reuses the memory of *state.
  virtual void Observe(int task, TaskState* state) const = 0;
  // Bits of the tasks whose TaskState the last step may have changed.
  virtual uint32_t ChangedTasks() const = 0;
  virtual PageState ObservePage(int task, Vpn page) const = 0;
  // Every page of the range is present; costs what is mapped, not the range.
  virtual bool AllPresent(int task, Vpn start, Vpn end) const = 0;
  // A guard page (MADV_GUARD_INSTALL) lies in the range; no where the engine
  // cannot see them.
  virtual bool AnyGuard(int /*task*/, Vpn /*start*/, Vpn /*end*/) const {
    return false;
  }
  // PageState::mlocked is what the kernel has, not false for want of rights.
  virtual bool SeesMlocked() const { return true; }
  virtual ShmState ObserveShm(int slot) const = 0;
  // Pages that the user has locked by SHM_LOCK.
  virtual Pages LockedShm(int uid) const = 0;
  // File size in bytes of a file slot.
  virtual uint64_t FileSize(int slot) const = 0;
  virtual StepEvents Events() const = 0;
  // A counter by its name in /proc/vmstat, since the start of the program.
  virtual absl::Status Counter(absl::string_view name,
                               int64_t* value) const = 0;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_ENGINE_H_
