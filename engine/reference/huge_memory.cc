// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/huge_memory.h"

#include <vector>

#include "engine/check.h"
#include "engine/reference/fault.h"
#include "engine/reference/lru.h"
#include "engine/reference/mlock_page.h"
#include "engine/reference/page_alloc.h"
#include "engine/reference/page_table.h"
#include "engine/reference/rmap.h"

namespace lockstep::reference {
namespace {

// The PMD entry becomes PTEs of the same page; the rmap follows. References:
// the PMD's single one must become one a PTE, which is the caller's to see to.
void RemapPmdByPtes(Machine& machine, int mm, Vpn start, uint32_t pmd) {
  Pfn head = PfnOf(pmd);
  ClearHugePmd(machine, mm, start);
  for (uint32_t i = 0; i < machine.huge_pages; ++i) {
    SetPte(machine, mm, start + Pages{i}, (pmd & ~kPtePfnMask) | (head + i));
    PageAddRmap(machine, head + i, mm, start + Pages{i}, /*huge=*/false);
  }
}

// __split_huge_page_refcount up to 4.4, __split_huge_page_tail later: the tails
// become pages of their own, with the head's flags, next to it on its list.
void MakeTailsPages(Machine& machine, Pfn head) {
  uint16_t copied =
      machine.page(head).flags & (kPageSwapBacked | kPageAnon | kPageMlocked |
                                  kPageActive | kPageUnevictable | kPageDirty);
  machine.Touch(head);
  machine.page(head).Clear(kPageHead | kPageDoubleMap);
  for (uint32_t i = 1; i < machine.huge_pages; ++i) {
    Pfn pfn = head + i;
    Page& tail = machine.page(pfn);
    machine.Touch(pfn);
    tail.head = pfn;
    tail.flags = copied;
    tail.zone = machine.page(head).zone;
    tail.refcount = tail.mapcount;
    machine.page(head).refcount -= tail.mapcount;
    if (tail.refcount == 0) {
      // Nothing maps this part any more: it is freed.
      tail.refcount = 1;
      PutPage(machine, pfn);
      continue;
    }
    Lru lru = PageEvictable(machine, pfn) ? EvictableLru(tail) : kUnevictable;
    if (lru == kUnevictable) {
      tail.Set(kPageUnevictable);
    } else {
      tail.Clear(kPageUnevictable);
    }
    AddPageToLruList(machine, pfn, lru);
  }
}

int TotalMapcount(const Machine& machine, Pfn head) {
  int total = machine.page(head).pmd_mapcount;
  for (uint32_t i = 0; i < machine.huge_pages; ++i) {
    total += machine.page(head + i).mapcount;
  }
  return total;
}

struct PmdMapping {
  int mm;
  Vpn page;
};

std::vector<PmdMapping> PmdMappings(const Machine& machine, Pfn head) {
  std::vector<PmdMapping> mappings;
  for (uint32_t node = FirstMapping(machine, head); node != 0;
       node = machine.rmap[node].next) {
    if (machine.rmap[node].huge) {
      mappings.push_back({machine.rmap[node].mm, machine.rmap[node].page});
    }
  }
  return mappings;
}

// Up to 4.4: all of the page, in every address space, under anon_vma's lock and
// lru_lock; neither pins nor the page lock are in the way.
void SplitWhole(Machine& machine, Pfn head) {
  for (const PmdMapping& at : PmdMappings(machine, head)) {
    uint32_t pmd = GetHugePmd(machine, at.mm, at.page);
    PageForgetRmap(machine, head, at.mm, at.page, /*huge=*/true);
    machine.page(head).refcount += static_cast<int>(machine.huge_pages) - 1;
    RemapPmdByPtes(machine, at.mm, at.page, pmd);
    machine.TouchTables(at.mm);
  }
  MakeTailsPages(machine, head);
}

// __split_huge_pmd from 4.5: only this mapping, and Mlocked goes.
void SplitMappingOnly(Machine& machine, int mm, Vpn start, uint32_t pmd) {
  Pfn head = PfnOf(pmd);
  if (machine.page(head).Is(kPageMlocked)) ClearPageMlock(machine, head);
  Page& page = machine.page(head);
  page.refcount += static_cast<int>(machine.huge_pages) - 1;
  if (page.pmd_mapcount > 1) page.Set(kPageDoubleMap);
  PageForgetRmap(machine, head, mm, start, /*huge=*/true);
  if (page.pmd_mapcount == 0) page.Clear(kPageDoubleMap);
  RemapPmdByPtes(machine, mm, start, pmd);
  machine.TouchTables(mm);
}

// The tail pages of VM_LOCKED VMAs are Mlocked again when the migration entries
// that the split used go (remove_migration_pte).
void MlockSplitPages(Machine& machine, Pfn first) {
  for (Pfn pfn = first; pfn < first + machine.huge_pages; ++pfn) {
    for (uint32_t node = FirstMapping(machine, pfn); node != 0;
         node = machine.rmap[node].next) {
      const RmapNode& mapping = machine.rmap[node];
      if (VmaOf(machine, mapping.mm, mapping.page).Is(kVmLocked)) {
        MlockVmaPage(machine, pfn);
        break;
      }
    }
  }
}

}  // namespace

bool HugePageAllowed(const Machine& machine, const Vma& vma, Vpn page) {
  switch (machine.config.transparent_hugepage) {
    case TransparentHugepage::kNever:
      return false;
    case TransparentHugepage::kMadvise:
      if (!vma.Is(kVmHugepage)) return false;
      break;
    case TransparentHugepage::kAlways:
      break;
  }
  return HugePagePossible(machine, vma, page);
}

bool HugePagePossible(const Machine& machine, const Vma& vma, Vpn page) {
  if (vma.object != 0 || vma.Is(kVmNohugepage | kVmSpecial | kVmHugetlb)) {
    return false;
  }
  Vpn start = TableStart(machine, page);
  return vma.start <= start && start + TableSpan(machine) <= vma.end;
}

void MapHugePage(Machine& machine, int mm, Vpn page, Pfn head, bool write) {
  Vpn start = TableStart(machine, page);
  SetHugePmd(machine, mm, start, kPtePresent | (write ? kPteWrite : 0u) | head);
  PageAddRmap(machine, head, mm, start, /*huge=*/true);
}

void UnmapHugePage(Machine& machine, int mm, Vpn page) {
  Vpn start = TableStart(machine, page);
  Pfn head = PfnOf(GetHugePmd(machine, mm, start));
  ClearHugePmd(machine, mm, start);
  PageRemoveRmap(machine, head, mm, start, /*huge=*/true);
  PutPage(machine, head);
}

void SplitHugePmd(Machine& machine, int mm, Vpn page) {
  Vpn start = TableStart(machine, page);
  uint32_t pmd = GetHugePmd(machine, mm, start);
  if (pmd == 0 || machine.page(PfnOf(pmd)).Is(kPageHugetlb)) return;
  if (machine.Has(Behaviour::kPteMappedThp)) {
    SplitMappingOnly(machine, mm, start, pmd);
  } else {
    SplitWhole(machine, PfnOf(pmd));
  }
}

void SplitHugePmdAtEdge(Machine& machine, int mm, Vpn edge) {
  if (edge != TableStart(machine, edge)) SplitHugePmd(machine, mm, edge);
}

bool SplitHugePage(Machine& machine, Pfn head) {
  Page& page = machine.page(head);
  if (!page.Is(kPageHead) || page.Is(kPageHugetlb)) return false;
  if (!machine.Has(Behaviour::kPteMappedThp)) {
    SplitWhole(machine, head);
    return true;
  }
  if (machine.locked_page == head) return false;
  if (page.refcount != TotalMapcount(machine, head)) return false;
  // Nothing maps it and nothing holds it: it would be freed already.
  LOCKSTEP_CHECK(page.refcount > 0);
  GetPage(machine, head);
  bool mlocked = page.Is(kPageMlocked);
  for (const PmdMapping& at : PmdMappings(machine, head)) {
    SplitMappingOnly(machine, at.mm, at.page,
                     GetHugePmd(machine, at.mm, at.page));
  }
  // clear_page_mlock() may have put it into a batch.
  if (mlocked) LruAddDrain(machine);
  MakeTailsPages(machine, head);
  MlockSplitPages(machine, head);
  PutPage(machine, head);
  return true;
}

bool CollapseHugePage(Machine& machine, int mm, Vpn page, bool asked_for) {
  const Vma* vma = machine.mms[mm].VmaAt(page);
  if (vma == nullptr || vma->anon_vma == 0 ||
      !(asked_for ? HugePagePossible(machine, *vma, page)
                  : HugePageAllowed(machine, *vma, page))) {
    return false;
  }
  Vpn start = TableStart(machine, page), end = start + TableSpan(machine);
  const Table* table = FindTable(machine, mm, start);
  if (table == nullptr || table->huge != 0) return false;
  LruAddDrain(machine);
  bool writable = false;
  for (Vpn at = start; auto entry = NextEntry(machine, mm, at, end);) {
    at = entry->page + Pages{1};
    if ((entry->raw & kPtePresent) == 0) return false;  // swapped out, a guard
    Pfn pfn = PfnOf(entry->raw);
    if (pfn == 0) continue;  // the zero page counts as a hole
    const Page& old = machine.page(pfn);
    if (!old.Is(kPageAnon) || old.compound() || old.refcount != 1 ||
        !old.Is(kPageLru) || machine.locked_page == pfn) {
      return false;
    }
    writable |= (entry->raw & kPteWrite) != 0;
  }
  if (!writable) return false;
  Pfn head = AllocHugePage(machine);
  if (head == 0) return false;
  while (auto entry = NextEntry(machine, mm, start, end)) {
    Pfn pfn = PfnOf(entry->raw);
    ClearPte(machine, mm, entry->page);
    if (pfn == 0) continue;
    // Isolated before the copy and put back after it, so the page still is on
    // its list when the mapping goes.
    PageRemoveRmap(machine, pfn, mm, entry->page, /*huge=*/false);
    PutPage(machine, pfn);
  }
  AddNewAnonPage(machine, head, *vma);
  MapHugePage(machine, mm, start, head, vma->Is(kVmWrite));
  machine.TouchTables(mm);
  return true;
}

}  // namespace lockstep::reference
