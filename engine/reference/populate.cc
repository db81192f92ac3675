// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/populate.h"

#include <algorithm>
#include <cerrno>

#include "engine/reference/fault.h"
#include "engine/reference/interleave.h"
#include "engine/reference/lru.h"
#include "engine/reference/mlock_page.h"
#include "engine/reference/page_table.h"
#include "engine/reference/stack.h"

namespace lockstep::reference {
namespace {

// follow_page with FOLL_MLOCK: marks what is mapped at the page. The page lock
// is only tried: a page that someone holds is left to vmscan.
void MlockFollowedPage(Machine& machine, const Mapping& mapping) {
  if (mapping.pfn == 0) return;  // the zero page
  Pfn head = machine.HeadOf(mapping.pfn);
  const Page& page = machine.page(head);
  if (mapping.huge) {
    // From 4.5: only while no one else can map it by PTEs.
    if (machine.Has(Behaviour::kPteMappedThp) &&
        (page.pmd_mapcount != 1 || page.Is(kPageDoubleMap))) {
      return;
    }
  } else if (page.compound()) {
    return;  // PTE-mapped huge pages are not mlocked
  }
  if (machine.locked_page == head) return;
  LruAddDrain(machine);
  MlockVmaPage(machine, head);
}

// From 5.18 on populate marks nothing: the fault does, or the walk over what is
// there when the lock is set. Both do here too, but for the fault that brings a
// page back from swap, which from 6.11 on forgets it (D28).
bool IsForgottenBySwapin(const Machine& machine, const Mapping& mapping) {
  return machine.Has(Defect::kSwapinNotMlocked) && mapping.pfn != 0 &&
         machine.page(machine.HeadOf(mapping.pfn)).Is(kPageAnon);
}

// check_vma_flags and arch_vma_access_permitted. FOLL_FORCE is set where there
// is any access at all.
bool MayFollow(const Vma& vma) {
  return vma.readable() && !vma.Is(kVmIo | kVmPfnmap | kVmSecret);
}

int64_t ErrnoOf(FaultResult result) {
  return result == FaultResult::kOom ? -ENOMEM : -EFAULT;
}

}  // namespace

int64_t PopulateVmaPageRange(Machine& machine, int mm, size_t vma, Vpn start,
                             Vpn end) {
  // Copies: the VMA may move in the vector, and grow, at the points.
  const Vma area = machine.mms[mm].vmas[vma];
  if (!MayFollow(area)) {
    // From 5.18 lock-on-fault looks at no page and so at no permission.
    bool looks =
        !area.Is(kVmLockonfault) || machine.Has(Behaviour::kOnfaultNeedsAccess);
    return looks ? -EFAULT : static_cast<int64_t>((end - start).n);
  }
  bool write = (area.flags & (kVmWrite | kVmShared)) == kVmWrite;
  bool mlock = area.Is(kVmLocked);
  bool fault_in = !area.Is(kVmLockonfault);
  for (Vpn page = start; page < end;) {
    int64_t done = static_cast<int64_t>((page - start).n);
    if (machine.current_task().fatal_signal) return done != 0 ? done : -EINTR;
    if (!fault_in) {
      // mlock all present pages, but do not fault in new ones.
      auto entry = NextEntry(machine, mm, page, end);
      if (!entry) break;
      page = std::max(page, entry->page);
    }
    AtPoint(machine, Point::kPopulatePage);
    Mapping mapping = Lookup(machine, mm, page);
    if (area.Is(kVmHugetlb) || !mapping.present || (write && !mapping.write)) {
      if (!fault_in) {
        ++page;
        continue;
      }
      // Up to 4.11 mlock passes over the guard page of a stack.
      if (area.Is(kVmGrowsdown) &&
          IsStackGuardPage(machine, machine.mms[mm],
                           machine.mms[mm].FindVma(page), page)) {
        ++page;
        continue;
      }
      FaultResult result = HandleMmFault(machine, mm, page, write);
      if (result != FaultResult::kDone) {
        return done != 0 ? done : ErrnoOf(result);
      }
      mapping = Lookup(machine, mm, page);
    }
    if (mlock && !IsForgottenBySwapin(machine, mapping)) {
      MlockFollowedPage(machine, mapping);
    }
    page = mapping.huge ? TableEnd(machine, page, end) : page + Pages{1};
  }
  return static_cast<int64_t>((end - start).n);
}

void MlockPresentPages(Machine& machine, int mm, Vpn start, Vpn end) {
  while (auto entry = NextEntry(machine, mm, start, end)) {
    const Mapping mapping = Lookup(machine, mm, entry->page);
    if (mapping.present) MlockFollowedPage(machine, mapping);
    start = entry->page + (entry->huge ? TableSpan(machine) : Pages{1});
  }
}

int64_t MmPopulate(Machine& machine, int mm, Vpn start, Vpn end,
                   bool ignore_errors) {
  Mm& space = machine.mms[mm];
  if (space.held_by_other) space.held_by_other = false;  // waits for the lock
  MmapLockHolder lock(machine, mm, MmapLock::kRead);
  for (Vpn page = start; page < end;) {
    size_t vma = space.FindVma(page);
    if (vma == space.vmas.size() || space.vmas[vma].start >= end) break;
    Vpn vma_end = std::min(end, space.vmas[vma].end);
    if (!space.vmas[vma].Is(kVmIo | kVmPfnmap)) {
      page = std::max(page, space.vmas[vma].start);
      int64_t result = PopulateVmaPageRange(machine, mm, vma, page, vma_end);
      if (result < 0 && !ignore_errors) return result;
      if (result >= 0) vma_end = page + Pages{static_cast<uint64_t>(result)};
    }
    page = vma_end;
  }
  return 0;
}

}  // namespace lockstep::reference
