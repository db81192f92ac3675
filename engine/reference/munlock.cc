// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/munlock.h"

#include "engine/reference/interleave.h"
#include "engine/reference/lru.h"
#include "engine/reference/mlock_page.h"
#include "engine/reference/page_alloc.h"
#include "engine/reference/page_table.h"

namespace lockstep::reference {
namespace {

// page_zone_id of batches: node and zone.
bool SameZone(const Machine& machine, Pfn a, Pfn b) {
  return machine.page(a).zone == machine.page(b).zone;
}

// __putback_lru_fast_prepare: may the page skip the per-CPU batch?
bool PutbackFast(const Machine& machine, Pfn pfn) {
  return machine.MapcountOf(pfn) <= 1 && PageEvictable(machine, pfn);
}

// __munlock_pagevec: the batch holds a pin on each page, all of one zone.
void MunlockPagevec(Machine& machine, const Pagevec& pagevec) {
  AtPoint(machine, Point::kMunlockBeforeIsolation);

  // Phase 1, under lru_lock: clear the flags and isolate.
  Pagevec isolated, released;
  int64_t cleared = 0;
  for (int i = 0; i < pagevec.count; ++i) {
    Pfn pfn = pagevec.pages[i];
    Page& page = machine.page(pfn);
    if (page.Is(kPageMlocked)) {
      machine.Touch(pfn);
      page.Clear(kPageMlocked);
      ++cleared;
      if (IsolateLruPagePinned(machine, pfn)) {
        isolated.Add(pfn);
        continue;
      }
      MunlockIsolationFailed(machine, pfn);
    }
    released.Add(pfn);
  }
  uint8_t zone = machine.page(pagevec.pages[0]).zone;
  // D1 counts what goes on to phase 2: pages whose flag was cleared but that
  // could not be isolated stay in NR_MLOCK for ever.
  machine.nr_mlock[zone] -=
      machine.Has(Defect::kPagevecIsolationLeak) ? isolated.count : cleared;
  for (int i = 0; i < released.count; ++i) PutPage(machine, released.pages[i]);

  AtPoint(machine, Point::kMunlockIsolated);

  // Phase 2: finish, page by page.
  Pagevec fast;
  int64_t rescued = 0;
  for (int i = 0; i < isolated.count; ++i) {
    Pfn pfn = isolated.pages[i];
    PageLockHolder lock(machine, pfn);
    if (PutbackFast(machine, pfn)) {
      machine.Touch(pfn);
      if (machine.page(pfn).Is(kPageUnevictable)) ++rescued;
      machine.page(pfn).Clear(kPageUnevictable);
      fast.Add(pfn);
    } else {
      GetPage(machine, pfn);  // for PutbackLruPage
      MunlockIsolatedPage(machine, pfn);
      PutPage(machine, pfn);  // the pin
    }
  }

  // Phase 3: past the per-CPU batch; takes the pins over.
  machine.events.munlocked += fast.count;
  PagevecLruAdd(machine, fast);
  machine.events.rescued += rescued;
}

// __munlock_pagevec_fill: pins the following pages as long as they are mapped
// by the same page table, of the same zone and not part of a huge page.
// Returns the page to go on with.
Vpn FillPagevec(Machine& machine, int mm, Pagevec& pagevec, Vpn start,
                Vpn end) {
  end = TableEnd(machine, start, end);
  for (++start; start < end;) {
    Mapping mapping = Lookup(machine, mm, start);
    if (!mapping.present || mapping.pfn == 0) break;
    if (!SameZone(machine, mapping.pfn, pagevec.pages[0])) break;
    if (machine.page(mapping.pfn).compound()) break;
    GetPage(machine, mapping.pfn);
    pagevec.Add(mapping.pfn);
    ++start;
    if (pagevec.full()) break;
  }
  return start;
}

}  // namespace

void MunlockVmaPagesRange(Machine& machine, int mm, size_t vma, Vpn start,
                          Vpn end) {
  machine.mms[mm].vmas[vma].flags &= ~kVmLockedMask;
  machine.TouchMm(mm);
  while (auto entry = NextEntry(machine, mm, start, end)) {
    // follow_page finds neither holes, swap entries nor the zero page.
    if (entry->page > start) start = entry->page;
    if ((entry->raw & kPtePresent) == 0 || PfnOf(entry->raw) == 0) {
      ++start;
      continue;
    }
    Pfn pfn = Lookup(machine, mm, start).pfn;
    const Page& page = machine.page(pfn);
    if (page.Is(kPageTail)) {
      ++start;
      continue;
    }
    GetPage(machine, pfn);
    if (page.Is(kPageHead)) {
      uint32_t mask;
      {
        PageLockHolder lock(machine, pfn);
        mask = MunlockVmaPage(machine, pfn);
      }
      PutPage(machine, pfn);
      start += Pages{1 + uint64_t{mask}};
    } else {
      Pagevec pagevec;
      pagevec.Add(pfn);
      start = FillPagevec(machine, mm, pagevec, start, end);
      MunlockPagevec(machine, pagevec);
    }
    if (start < end) AtPoint(machine, Point::kMunlockNextBatch);
  }
}

}  // namespace lockstep::reference
