// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/interleave.h"

#include "engine/reference/environment.h"

namespace lockstep::reference {
namespace {

// Under a page table lock or a page lock in an atomic section only another
// CPU's isolation and putback of pages can happen.
bool IsAtomic(Point point) {
  return point == Point::kMlockPageMarked ||
         point == Point::kClearMlockBeforeIsolation;
}

// Would the action have to wait for a lock that the call holds here?
bool Excluded(const Machine& machine, Point point, const During& action) {
  const Task& task = machine.tasks[action.task % kTaskSlots];
  switch (action.op) {
    case Op::kIsolate:
    case Op::kPutback:
    case Op::kFailAllocation:
    case Op::kFatalSignal:
      return false;
    case Op::kTouch:
      return IsAtomic(point) || action.task % kTaskSlots == machine.current ||
             !task.exists || !machine.mms[task.mm].CanReadLock();
    case Op::kCollapse:
    case Op::kHoldMmapLock:
      return IsAtomic(point) || !task.exists ||
             machine.mms[task.mm].held != MmapLock::kNone;
    default:
      return IsAtomic(point);
  }
}

}  // namespace

void AtPointSlow(Machine& machine, Point point) {
  uint32_t pending = machine.during_pending;
  for (int i = 0; i < machine.step->during_count; ++i) {
    const During& action = machine.step->during[i];
    if ((pending >> i & 1) == 0 || action.point != point) continue;
    if (machine.during_passed[i]++ != action.nth) continue;
    pending &= ~(1u << i);
    if (Excluded(machine, point, action)) continue;
    // What happens inside the action passes no points of its own.
    machine.during_pending = 0;
    EnvironmentAction(machine, action);
    machine.step_events.interleaved = true;
  }
  machine.during_pending = pending;
}

}  // namespace lockstep::reference
