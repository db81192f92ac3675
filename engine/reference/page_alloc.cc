// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/page_alloc.h"

#include <algorithm>

#include "engine/check.h"
#include "engine/reference/lru.h"

namespace lockstep::reference {
namespace {

// Counts an allocation; true if it is the one that must fail.
bool AllocationFails(Machine& machine) {
  if (machine.fail_allocation == 0 || --machine.fail_allocation != 0) {
    return false;
  }
  machine.step_events.allocation_failed = true;
  return true;
}

void InitPage(Machine& machine, Pfn pfn, Pfn head, uint16_t flags) {
  Page& page = machine.pages[pfn];
  uint32_t touched = page.touched;
  page = Page();
  page.touched = touched;
  page.head = head;
  page.flags = flags;
  page.zone = machine.allocation_zone;
  machine.Touch(pfn);
}

// Frame numbers there are: twice the memory, because what is left of a split
// huge page never becomes a block again, and the hugetlb pool on top.
uint64_t FrameLimit(const Machine& machine) {
  uint64_t wanted = 2 * machine.config.memory_pages +
                    uint64_t{machine.config.nr_hugepages} * machine.huge_pages;
  return std::min<uint64_t>(wanted, kPtePfnMask);
}

// Frames from the end of what was used; 0 if there are none.
Pfn ExtendFrames(Machine& machine, uint32_t count, uint64_t limit) {
  if (machine.frame_end + uint64_t{count} > limit + 1) return 0;
  Pfn first = machine.frame_end;
  machine.frame_end += count;
  if (machine.pages.size() < machine.frame_end) {
    machine.pages.resize(
        std::max<size_t>(machine.frame_end, machine.pages.size() * 2));
  }
  return first;
}

// A block of huge_pages frames as a compound page; 0 if there is none.
Pfn TakeBlock(Machine& machine) {
  Pfn pfn;
  if (!machine.free_huge.empty()) {
    pfn = machine.free_huge.back();
    machine.free_huge.pop_back();
  } else {
    pfn = ExtendFrames(machine, machine.huge_pages, FrameLimit(machine));
    if (pfn == 0) return 0;
  }
  for (uint32_t i = 0; i < machine.huge_pages; ++i) {
    InitPage(machine, pfn + i, pfn, i == 0 ? kPageHead : kPageTail);
  }
  machine.page(pfn).refcount = 1;
  return pfn;
}

void FreePage(Machine& machine, Pfn pfn) {
  Page& page = machine.page(pfn);
  if (page.Is(kPageLru)) RemoveFromLru(machine, pfn);
  if (page.Is(kPageMlocked)) {
    // free_pages_check() finds the flag: "Bad page state". The counter stays.
    machine.events.freed_mlocked += machine.SizeOf(pfn);
  }
  bool huge = page.Is(kPageHead);
  if (page.Is(kPageHugetlb)) {
    ++machine.hugetlb_free;
  } else {
    machine.free_frames += machine.SizeOf(pfn);
  }
  (huge ? machine.free_huge : machine.free_small).push_back(pfn);
  uint32_t count = machine.SizeOf(pfn);
  for (Pfn i = pfn; i < pfn + count; ++i) {
    machine.page(i).flags = kPageFree;
    machine.Touch(i);
  }
}

}  // namespace

Pfn AllocPage(Machine& machine) {
  if (AllocationFails(machine)) return 0;
  Pfn pfn = 0;
  if (machine.free_frames >= 1) {
    if (!machine.free_small.empty()) {
      pfn = machine.free_small.back();
      machine.free_small.pop_back();
    } else {
      pfn = ExtendFrames(machine, 1, FrameLimit(machine));
    }
  }
  if (pfn == 0) {
    machine.step_events.allocation_failed = true;
    return 0;
  }
  --machine.free_frames;
  InitPage(machine, pfn, pfn, 0);
  machine.page(pfn).refcount = 1;
  return pfn;
}

Pfn AllocHugePage(Machine& machine) {
  if (AllocationFails(machine)) return 0;
  Pfn pfn = machine.free_frames >= machine.huge_pages ? TakeBlock(machine) : 0;
  if (pfn == 0) {
    machine.step_events.allocation_failed = true;
    return 0;
  }
  machine.free_frames -= machine.huge_pages;
  return pfn;
}

Pfn AllocHugetlbPage(Machine& machine) {
  Pfn pfn = machine.hugetlb_free > 0 ? TakeBlock(machine) : 0;
  if (pfn == 0) return 0;
  --machine.hugetlb_free;
  machine.page(pfn).Set(kPageHugetlb);
  return pfn;
}

void PutPage(Machine& machine, Pfn pfn) {
  machine.Touch(pfn);
  Page& page = machine.page(pfn);
  LOCKSTEP_CHECK(!page.Is(kPageTail) && page.refcount > 0);
  if (--page.refcount == 0) FreePage(machine, pfn);
}

}  // namespace lockstep::reference
