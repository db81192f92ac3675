// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/stack.h"

#include "engine/reference/interleave.h"
#include "engine/reference/vma.h"

namespace lockstep::reference {
namespace {

// RLIMIT_STACK's usual soft limit: 8 MiB.
constexpr Pages kStackLimit{2048};
constexpr Vpn kLowestPage = PageOf(kMmapMinAddr);

}  // namespace

bool ExpandStack(Machine& machine, int mm, size_t vma, Vpn page) {
  Mm& space = machine.mms[mm];
  const Vma& area = space.vmas[vma];
  if (page < kLowestPage) return false;
  if (machine.Has(Behaviour::kStackGuardGap) && vma > 0) {
    const Vma& below = space.vmas[vma - 1];
    if (!below.Is(kVmGrowsdown) && below.Is(kVmAccess) &&
        (page - below.end).n < machine.stack_guard_gap) {
      return false;
    }
  }
  // Whether it may grow or not, it has an anon_vma from now on, and fork copies
  // its page tables.
  AnonVmaPrepare(machine, mm, vma);
  // acct_stack_growth.
  Pages grow = area.start - page;
  if (area.end - page > kStackLimit) return false;
  bool locked = area.Is(kVmLocked);
  const Task& task = machine.current_task();
  if (locked && space.locked_vm + grow > PagesOf(task.memlock_limit) &&
      !task.cap_ipc_lock) {
    return false;
  }
  machine.TouchMm(mm);
  // Up to 4.3 faults of two threads charge their stacks without a common lock:
  // what one reads the other may have changed before it writes (D16).
  Pages locked_vm = space.locked_vm, total_vm = space.total_vm;
  Vpn start = area.start;
  if (machine.Has(Defect::kRacyStackCharge)) {
    AtPoint(machine, Point::kStackChargeRead);
    vma = space.FindVma(start);
    if (vma == space.vmas.size() || space.vmas[vma].start != start) {
      return true;  // another fault grew it meanwhile
    }
  }
  if (locked) space.locked_vm = locked_vm + grow;
  space.total_vm = total_vm + grow;
  Vma& grown = space.vmas[vma];
  grown.start = page;
  grown.pgoff -= grow.n;
  return true;
}

bool CheckStackGuardPage(Machine& machine, int mm, size_t vma, Vpn page) {
  const Mm& space = machine.mms[mm];
  const Vma& area = space.vmas[vma];
  if (!area.Is(kVmGrowsdown) || page != area.start) return true;
  if (vma > 0 && space.vmas[vma - 1].end == page) {
    return space.vmas[vma - 1].Is(kVmGrowsdown);
  }
  // Up to 3.18 a stack that cannot grow is used to its last page.
  ExpandStack(machine, mm, vma, page - Pages{1});
  return true;
}

bool IsStackGuardPage(const Machine& machine, const Mm& mm, size_t vma,
                      Vpn page) {
  if (machine.Has(Behaviour::kStackGuardGap)) return false;
  const Vma& area = mm.vmas[vma];
  if (!area.Is(kVmGrowsdown) || area.start != page) return false;
  return vma == 0 || mm.vmas[vma - 1].end != page ||
         !mm.vmas[vma - 1].Is(kVmGrowsdown);
}

}  // namespace lockstep::reference
