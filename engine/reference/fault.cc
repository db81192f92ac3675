// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/fault.h"

#include <algorithm>

#include "engine/reference/huge_memory.h"
#include "engine/reference/hugetlb.h"
#include "engine/reference/lru.h"
#include "engine/reference/mlock_page.h"
#include "engine/reference/object.h"
#include "engine/reference/page_alloc.h"
#include "engine/reference/page_table.h"
#include "engine/reference/rmap.h"
#include "engine/reference/secretmem.h"
#include "engine/reference/stack.h"
#include "engine/reference/vma.h"

namespace lockstep::reference {
namespace {

// Page tables get no further than this many entries for each frame of memory.
constexpr uint64_t kPtesPerFrame = 4;

uint32_t MakePte(Pfn pfn, bool write) {
  return kPtePresent | (write ? kPteWrite : 0u) | pfn;
}

// Maps a page whose reference is the mapping's from now on.
void MapPage(Machine& machine, int mm, Vpn page, Pfn pfn, bool write) {
  SetPte(machine, mm, page, MakePte(pfn, write));
  PageAddRmap(machine, pfn, mm, page, /*huge=*/false);
}

// A private page of its own for this address, in place of nothing.
FaultResult MapNewAnonPage(Machine& machine, int mm, size_t vma, Vpn page) {
  AnonVmaPrepare(machine, mm, vma);
  Pfn pfn = AllocPage(machine);
  if (pfn == 0) return FaultResult::kOom;
  const Vma& area = machine.mms[mm].vmas[vma];
  AddNewAnonPage(machine, pfn, area);
  MapPage(machine, mm, page, pfn, area.Is(kVmWrite));
  return FaultResult::kDone;
}

// do_huge_pmd_anonymous_page. False: falls back to a small page.
bool MapNewHugePage(Machine& machine, int mm, size_t vma, Vpn page) {
  AnonVmaPrepare(machine, mm, vma);
  Pfn head = AllocHugePage(machine);
  if (head == 0) return false;
  const Vma& area = machine.mms[mm].vmas[vma];
  AddNewAnonPage(machine, head, area);
  MapHugePage(machine, mm, page, head, area.Is(kVmWrite));
  return true;
}

FaultResult DoAnonymousPage(Machine& machine, int mm, size_t vma, Vpn page,
                            bool write) {
  const Vma& area = machine.mms[mm].vmas[vma];
  if (FindTable(machine, mm, page) == nullptr &&
      HugePageAllowed(machine, area, page) &&
      MapNewHugePage(machine, mm, vma, page)) {
    return FaultResult::kDone;
  }
  if (area.Is(kVmGrowsdown) && !machine.Has(Behaviour::kStackGuardGap)) {
    if (!CheckStackGuardPage(machine, mm, vma, page)) {
      return FaultResult::kSigbus;
    }
    // A thread may have been here first while the stack grew: pte_none is asked
    // again under the page table lock.
    if (Lookup(machine, mm, page).present) return FaultResult::kDone;
    vma = machine.mms[mm].FindVma(page);
  }
  if (!write) {
    SetPte(machine, mm, page, MakePte(0, false));
    return FaultResult::kDone;
  }
  return MapNewAnonPage(machine, mm, vma, page);
}

FaultResult DoObjectFault(Machine& machine, int mm, size_t vma, Vpn page,
                          bool write) {
  const Vma& area = machine.mms[mm].vmas[vma];
  bool shared = area.Is(kVmShared);
  // do_cow_fault prepares before it asks the file, so a write behind its end
  // leaves an anon_vma, too.
  if (write && !shared) AnonVmaPrepare(machine, mm, vma);
  if (area.IndexOf(page) >= ObjectPages(machine, area.object)) {
    return FaultResult::kSigbus;
  }
  if (area.Is(kVmSecret) &&
      FindObjectPage(machine, area.object, area.IndexOf(page)) == 0 &&
      !ChargeSecretPage(machine, machine.objects[area.object])) {
    return FaultResult::kSigbus;
  }
  Pfn pfn = FindOrAddObjectPage(machine, area.object, area.IndexOf(page));
  if (pfn == 0) return FaultResult::kOom;
  if (write && !shared) return MapNewAnonPage(machine, mm, vma, page);
  GetPage(machine, pfn);
  if (write) machine.page(pfn).Set(kPageDirty);
  MapPage(machine, mm, page, pfn, write);
  return FaultResult::kDone;
}

// The page comes back from swap. Contents are not modelled, so each mapping
// gets a page of its own, as if the sharers had broken COW before.
FaultResult DoSwapPage(Machine& machine, int mm, Vpn page, bool write) {
  Pfn pfn = AllocPage(machine);
  if (pfn == 0) return FaultResult::kOom;
  machine.page(pfn).Set(kPageAnon | kPageSwapBacked);
  LruCacheAdd(machine, pfn);
  MapPage(machine, mm, page, pfn, write);
  return FaultResult::kDone;
}

// The most mappings that any part of the page has (page_trans_huge_mapcount).
int SharersOf(const Machine& machine, Pfn pfn) {
  Pfn head = machine.HeadOf(pfn);
  int most = 0;
  for (Pfn i = head; i < head + machine.SizeOf(head); ++i) {
    most = std::max(most, machine.page(i).mapcount);
  }
  return most + machine.page(head).pmd_mapcount;
}

FaultResult DoWpPage(Machine& machine, int mm, size_t vma, Vpn page) {
  const Vma& area = machine.mms[mm].vmas[vma];
  Pfn old = PfnOf(GetPte(machine, mm, page));
  if (area.Is(kVmShared)) {
    machine.page(old).Set(kPageDirty);
    SetPte(machine, mm, page, MakePte(old, true));
    return FaultResult::kDone;
  }
  // PageAnon asks the head.
  if (old != 0 && machine.page(machine.HeadOf(old)).Is(kPageAnon) &&
      SharersOf(machine, old) == 1) {
    SetPte(machine, mm, page, MakePte(old, true));
    return FaultResult::kDone;
  }
  AnonVmaPrepare(machine, mm, vma);
  Pfn pfn = AllocPage(machine);
  if (pfn == 0) return FaultResult::kOom;
  const Vma& prepared = machine.mms[mm].vmas[vma];
  AddNewAnonPage(machine, pfn, prepared);
  MapPage(machine, mm, page, pfn, true);
  if (old == 0) return FaultResult::kDone;
  PageRemoveRmap(machine, old, mm, page, /*huge=*/false);
  // Another task, perhaps without a lock, must not keep the page Mlocked.
  Pfn head = machine.HeadOf(old);
  if (prepared.Is(kVmLocked) && machine.page(head).Is(kPageMlocked)) {
    PageLockHolder lock(machine, head);
    MunlockVmaPage(machine, head);
  }
  PutPage(machine, head);
  return FaultResult::kDone;
}

// do_huge_pmd_wp_page. Without a huge page for the copy, and from 5.8 on
// always, the mapping is split.
FaultResult DoHugePmdWpPage(Machine& machine, int mm, size_t vma, Vpn page) {
  Vpn start = TableStart(machine, page);
  Pfn old = PfnOf(GetHugePmd(machine, mm, start));
  if (SharersOf(machine, old) == 1) {
    FindTable(machine, mm, start)->huge |= kPteWrite;
    return FaultResult::kDone;
  }
  Pfn head = machine.Has(Behaviour::kThpCowSplits) ? 0 : AllocHugePage(machine);
  if (head == 0) {
    SplitHugePmd(machine, mm, page);
    return DoWpPage(machine, mm, vma, page);
  }
  const Vma& area = machine.mms[mm].vmas[vma];
  GetPage(machine, old);
  UnmapHugePage(machine, mm, start);
  // As for small pages: who still maps the old page need not have it locked.
  // Up to 5.7 this was forgotten (D24).
  if (area.Is(kVmLocked) && machine.page(old).Is(kPageMlocked) &&
      !machine.Has(Defect::kThpCowStaleMlocked)) {
    PageLockHolder lock(machine, old);
    MunlockVmaPage(machine, old);
  }
  PutPage(machine, old);
  AddNewAnonPage(machine, head, area);
  MapHugePage(machine, mm, start, head, true);
  return FaultResult::kDone;
}

}  // namespace

void AddNewAnonPage(Machine& machine, Pfn pfn, const Vma& vma) {
  machine.Touch(pfn);
  machine.page(pfn).Set(kPageAnon | kPageSwapBacked);
  if (vma.Is(kVmLocked) && !vma.Is(kVmSpecial)) {
    SetNewPageMlocked(machine, pfn);
    AddPageToUnevictableList(machine, pfn);
  } else {
    machine.page(pfn).Set(kPageActive);
    LruCacheAdd(machine, pfn);
  }
}

FaultResult HandleMmFault(Machine& machine, int mm, Vpn page, bool write) {
  size_t vma = machine.mms[mm].FindVma(page);
  const Vma& area = machine.mms[mm].vmas[vma];
  if (area.Is(kVmIo | kVmPfnmap)) return FaultResult::kDone;
  machine.TouchTables(mm);
  if (area.Is(kVmHugetlb)) return HugetlbFault(machine, mm, vma, page, write);
  const Table* table = FindTable(machine, mm, page);
  if (table != nullptr && table->huge != 0) {
    if (!write || (table->huge & kPteWrite) != 0) return FaultResult::kDone;
    return DoHugePmdWpPage(machine, mm, vma, page);
  }
  uint32_t pte = table == nullptr ? 0 : PteIn(machine, *table, page);
  if (pte == 0) {
    if (!PageTablesMayGrow(machine)) return FaultResult::kOom;
    return area.object == 0 ? DoAnonymousPage(machine, mm, vma, page, write)
                            : DoObjectFault(machine, mm, vma, page, write);
  }
  if ((pte & kPteSwap) != 0) return DoSwapPage(machine, mm, page, write);
  if ((pte & kPteGuard) != 0) return FaultResult::kSigsegv;
  if (write && (pte & kPteWrite) == 0) return DoWpPage(machine, mm, vma, page);
  return FaultResult::kDone;
}

bool PageTablesMayGrow(Machine& machine) {
  if (machine.pte_entries < kPtesPerFrame * machine.config.memory_pages) {
    return true;
  }
  machine.step_events.allocation_failed = true;
  return false;
}

FaultResult AccessPage(Machine& machine, int mm, Vpn page, bool write) {
  const Mm& space = machine.mms[mm];
  size_t vma = space.FindVma(page);
  if (vma == space.vmas.size()) return FaultResult::kSigsegv;
  if (space.vmas[vma].start > page) {
    if (!space.vmas[vma].Is(kVmGrowsdown) ||
        !ExpandStack(machine, mm, vma, page)) {
      return FaultResult::kSigsegv;
    }
  }
  const Vma* area = space.VmaAt(page);
  if (area == nullptr || !(write ? area->Is(kVmWrite) : area->readable())) {
    return FaultResult::kSigsegv;
  }
  return HandleMmFault(machine, mm, page, write);
}

void ZapRange(Machine& machine, int mm, Vpn start, Vpn end, Guards guards) {
  machine.TouchTables(mm);
  while (auto entry = NextEntry(machine, mm, start, end)) {
    if (entry->huge) {
      Vpn after = entry->page + TableSpan(machine);
      if (entry->page < start || after > end) {
        SplitHugePmd(machine, mm, entry->page);
        continue;
      }
      UnmapHugePage(machine, mm, entry->page);
      start = after;
      continue;
    }
    if ((entry->raw & kPteGuard) != 0 && guards == Guards::kKeep) {
      start = entry->page + Pages{1};
      continue;
    }
    ClearPte(machine, mm, entry->page);
    Pfn pfn = PfnOf(entry->raw);
    if ((entry->raw & kPtePresent) != 0 && pfn != 0) {
      PageRemoveRmap(machine, pfn, mm, entry->page, /*huge=*/false);
      PutPage(machine, machine.HeadOf(pfn));
    }
    start = entry->page + Pages{1};
  }
}

}  // namespace lockstep::reference
