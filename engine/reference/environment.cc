// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/environment.h"

#include <algorithm>
#include <csignal>

#include "engine/reference/fault.h"
#include "engine/reference/huge_memory.h"
#include "engine/reference/lru.h"
#include "engine/reference/migrate.h"
#include "engine/reference/page_table.h"
#include "engine/reference/rmap.h"
#include "engine/reference/vmscan.h"

namespace lockstep::reference {
namespace {

Outcome DoneIf(bool done) { return done ? Outcome::Ok() : Outcome::Skipped(); }

// The page mapped at the address in the action's task, head or small; 0 if
// there is none that an LRU list could have.
Pfn PageAt(const Machine& machine, int mm, Vpn page) {
  Mapping mapping = Lookup(machine, mm, page);
  return mapping.present && mapping.pfn != 0 ? machine.HeadOf(mapping.pfn) : 0;
}

bool Isolate(Machine& machine, Pfn pfn) {
  if (pfn == 0 || !IsolateLruPage(machine, pfn)) return false;
  machine.page(pfn).Set(kPageIsolated);
  machine.isolated.push_back(pfn);
  return true;
}

void PutbackIsolated(Machine& machine, Pfn pfn) {
  machine.page(pfn).Clear(kPageIsolated);
  machine.isolated.erase(
      std::find(machine.isolated.begin(), machine.isolated.end(), pfn));
  PutbackLruPage(machine, pfn);
}

// The isolated page at the address; where none is mapped, one that nothing maps
// any more, which no address could name.
bool Putback(Machine& machine, Pfn pfn) {
  if (pfn != 0) {
    if (!machine.page(pfn).Is(kPageIsolated)) return false;
    PutbackIsolated(machine, pfn);
    return true;
  }
  for (Pfn isolated : machine.isolated) {
    if (FirstMapping(machine, isolated) != 0) continue;
    PutbackIsolated(machine, isolated);
    return true;
  }
  return false;
}

bool Migrate(Machine& machine, int mm, Vpn page) {
  Pfn pfn = PageAt(machine, mm, page);
  if (pfn == 0) return false;
  if (machine.page(pfn).Is(kPageHead)) {
    // unmap_and_move() splits huge pages first.
    if (!SplitHugePage(machine, pfn)) return false;
    pfn = PageAt(machine, mm, page);
  }
  return MigratePage(machine, pfn);
}

bool Split(Machine& machine, int mm, Vpn page, bool pmd_only) {
  Pfn head = PageAt(machine, mm, page);
  if (head == 0 || !machine.page(head).Is(kPageHead) ||
      machine.page(head).Is(kPageHugetlb)) {
    return false;
  }
  if (!pmd_only) return SplitHugePage(machine, head);
  if (GetHugePmd(machine, mm, page) == 0) return false;
  SplitHugePmd(machine, mm, page);
  return true;
}

Outcome Touch(Machine& machine, int task, Vpn page, bool write) {
  int before = machine.current;
  machine.current = task;
  Mm& space = machine.mms[machine.tasks[task].mm];
  MmapLock held = space.held;
  space.held = MmapLock::kRead;
  FaultResult result = AccessPage(machine, machine.tasks[task].mm, page, write);
  space.held = held;
  machine.current = before;
  switch (result) {
    case FaultResult::kDone:
      return Outcome::Ok();
    case FaultResult::kSigsegv:
      return Outcome::Signal(SIGSEGV);
    case FaultResult::kSigbus:
    case FaultResult::kOom:
      break;
  }
  return Outcome::Signal(SIGBUS);
}

}  // namespace

Outcome EnvironmentAction(Machine& machine, const During& action) {
  // First what concerns the machine and no task.
  switch (action.op) {
    case Op::kSetCpu:
      machine.cpu = static_cast<int>(action.slot % machine.config.cpus);
      return Outcome::Ok();
    case Op::kDrain:
      LruAddDrainAll(machine);
      return Outcome::Ok();
    case Op::kFailAllocation:
      machine.fail_allocation = action.value;
      return Outcome::Ok();
    case Op::kSetAllocationZone:
      machine.allocation_zone =
          static_cast<uint8_t>(action.slot % machine.config.zones);
      return Outcome::Ok();
    case Op::kReclaim:
      if (action.value != 0) break;
      ReclaimAll(machine);
      return Outcome::Ok();
    default:
      break;
  }
  int slot = action.task % kTaskSlots;
  Task& task = machine.tasks[slot];
  if (!task.exists) return Outcome::Skipped();
  Vpn page = PageOf(action.addr.Resolve());
  Pfn pfn = PageAt(machine, task.mm, page);
  switch (action.op) {
    case Op::kReclaim:
      return DoneIf(pfn != 0 && ReclaimPage(machine, pfn));
    case Op::kIsolate:
      return DoneIf(Isolate(machine, pfn));
    case Op::kPutback:
      return DoneIf(Putback(machine, pfn));
    case Op::kMigrate:
      return DoneIf(Migrate(machine, task.mm, page));
    case Op::kCollapse:
      return DoneIf(CollapseHugePage(machine, task.mm, page));
    case Op::kSplit:
      return DoneIf(Split(machine, task.mm, page, action.value != 0));
    case Op::kFatalSignal:
      task.fatal_signal = true;
      return Outcome::Ok();
    case Op::kHoldMmapLock:
      machine.mms[task.mm].held_by_other = true;
      machine.mmap_lock_held = true;
      return Outcome::Ok();
    case Op::kTouch:
      return Touch(machine, slot, page, action.value != 0);
    default:
      return Outcome::Skipped();
  }
}

}  // namespace lockstep::reference
