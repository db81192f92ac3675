// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/vmscan.h"

#include "engine/reference/huge_memory.h"
#include "engine/reference/lru.h"
#include "engine/reference/mlock_page.h"
#include "engine/reference/object.h"
#include "engine/reference/page_alloc.h"
#include "engine/reference/page_table.h"
#include "engine/reference/rmap.h"

namespace lockstep::reference {
namespace {

// try_to_unmap for reclaim: stops at a mapping in a VM_LOCKED VMA, and leaves
// the page Mlocked. True if nothing maps the page any more.
bool TryToUnmap(Machine& machine, Pfn pfn) {
  bool anon = machine.page(pfn).Is(kPageAnon);
  for (uint32_t node = FirstMapping(machine, pfn); node != 0;) {
    const RmapNode mapping = machine.rmap[node];
    node = mapping.next;
    const uint32_t flags = VmaOf(machine, mapping.mm, mapping.page).flags;
    if ((flags & kVmLocked) != 0) {
      if (MlockFromRmap(machine, pfn, mapping.mm)) return false;
      continue;
    }
    if (anon && (flags & kVmDroppable) == 0) {
      SetPte(machine, mapping.mm, mapping.page, kPteSwap);
    } else {
      ClearPte(machine, mapping.mm, mapping.page);
    }
    machine.TouchTables(mapping.mm);
    machine.evictions.push_back({mapping.mm, mapping.page, flags});
    PageRemoveRmap(machine, pfn, mapping.mm, mapping.page, /*huge=*/false);
    PutPage(machine, pfn);
  }
  return machine.page(pfn).mapcount == 0;
}

// shrink_page_list for one isolated small page.
void ShrinkPage(Machine& machine, Pfn pfn) {
  Page& page = machine.page(pfn);
  if (machine.locked_page == pfn || !PageEvictable(machine, pfn)) {
    PutbackLruPage(machine, pfn);
    return;
  }
  PageLockHolder lock(machine, pfn);
  int expected = page.mapping != 0 ? 2 : 1;
  if (!TryToUnmap(machine, pfn) || page.refcount != expected) {
    PutbackLruPage(machine, pfn);
    return;
  }
  if (page.mapping != 0) RemoveObjectPage(machine, page.mapping, page.index);
  PutPage(machine, pfn);
}

}  // namespace

bool ReclaimPage(Machine& machine, Pfn pfn) {
  const Page& page = machine.page(pfn);
  if (!page.Is(kPageLru) || page.lru == kUnevictable) return false;
  // add_to_swap() splits huge pages; one that cannot be split stays.
  if (page.Is(kPageHead)) {
    if (PageEvictable(machine, pfn)) {
      if (!SplitHugePage(machine, pfn)) return false;
    } else {
      IsolateLruPage(machine, pfn);
      PutbackLruPage(machine, pfn);
      return true;
    }
    if (!page.Is(kPageLru) || page.lru == kUnevictable) return true;
  }
  IsolateLruPage(machine, pfn);
  ShrinkPage(machine, pfn);
  return true;
}

void ReclaimAll(Machine& machine) {
  LruAddDrain(machine);
  for (Lruvec& lruvec : machine.lruvecs) {
    for (int lru = kInactiveAnon; lru < kUnevictable; ++lru) {
      // From the cold end, each page that is there now once.
      uint32_t count = lruvec.lists[lru].size;
      Pfn pfn = lruvec.lists[lru].last;
      for (; count > 0 && pfn != 0; --count) {
        Pfn before = machine.page(pfn).prev;
        ReclaimPage(machine, pfn);
        // The neighbour may have left with it (a batch was flushed).
        pfn = before != 0 && machine.page(before).lru == lru
                  ? before
                  : lruvec.lists[lru].last;
      }
    }
  }
}

}  // namespace lockstep::reference
