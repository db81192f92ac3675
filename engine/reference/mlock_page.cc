// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/mlock_page.h"

#include "engine/check.h"
#include "engine/reference/interleave.h"
#include "engine/reference/lru.h"
#include "engine/reference/rmap.h"

namespace lockstep::reference {
namespace {

// What an event of this page counts: up to 5.8 one a page of any size (D21).
int64_t EventSize(const Machine& machine, Pfn pfn) {
  return machine.Has(Defect::kThpSingleEvent) ? 1 : machine.SizeOf(pfn);
}

void ModNrMlock(Machine& machine, Pfn pfn, int64_t delta) {
  machine.nr_mlock[machine.page(pfn).zone] += delta;
}

// TestClearPageMlocked.
bool TestClearMlocked(Machine& machine, Pfn pfn) {
  Page& page = machine.page(pfn);
  if (!page.Is(kPageMlocked)) return false;
  machine.Touch(pfn);
  page.Clear(kPageMlocked);
  return true;
}

}  // namespace

void SetNewPageMlocked(Machine& machine, Pfn pfn) {
  Page& page = machine.page(pfn);
  LOCKSTEP_CHECK(!page.Is(kPageTail));
  if (page.Is(kPageMlocked)) return;
  machine.Touch(pfn);
  page.Set(kPageMlocked);
  ModNrMlock(machine, pfn, machine.SizeOf(pfn));
  machine.events.mlocked += EventSize(machine, pfn);
}

void MlockVmaPage(Machine& machine, Pfn pfn) {
  if (machine.page(pfn).Is(kPageMlocked)) return;
  SetNewPageMlocked(machine, pfn);
  AtPoint(machine, Point::kMlockPageMarked);
  if (IsolateLruPage(machine, pfn)) PutbackLruPage(machine, pfn);
}

void ClearPageMlock(Machine& machine, Pfn pfn) {
  if (!TestClearMlocked(machine, pfn)) return;
  ModNrMlock(machine, pfn, -int64_t{machine.SizeOf(pfn)});
  machine.events.cleared += EventSize(machine, pfn);
  AtPoint(machine, Point::kClearMlockBeforeIsolation);
  if (IsolateLruPage(machine, pfn)) {
    PutbackLruPage(machine, pfn);
  } else if (machine.page(pfn).Is(kPageUnevictable)) {
    machine.events.stranded += EventSize(machine, pfn);
    machine.events.stranded_when_cleared += EventSize(machine, pfn);
  }
}

void MunlockIsolatedPage(Machine& machine, Pfn pfn) {
  // One mapping is taken to be the caller's own: no walk then.
  bool locked_elsewhere =
      machine.MapcountOf(pfn) > 1 && TryToMunlock(machine, pfn);
  if (locked_elsewhere) {
    machine.events.relocked += EventSize(machine, pfn);
  } else {
    machine.events.munlocked += EventSize(machine, pfn);
  }
  PutbackLruPage(machine, pfn);
}

void MunlockIsolationFailed(Machine& machine, Pfn pfn) {
  if (machine.page(pfn).Is(kPageUnevictable)) {
    machine.events.stranded += EventSize(machine, pfn);
  } else {
    machine.events.munlocked += EventSize(machine, pfn);
  }
}

uint32_t MunlockVmaPage(Machine& machine, Pfn pfn) {
  bool huge = machine.page(pfn).Is(kPageHead);
  if (!TestClearMlocked(machine, pfn)) {
    // A huge page that PTEs map is gone through PTE by PTE.
    bool by_ptes = machine.Has(Behaviour::kPteMappedThp);
    return huge && !by_ptes ? machine.huge_pages - 1 : 0;
  }
  if (huge && machine.Has(Defect::kThpSplitRace)) {
    AtPoint(machine, Point::kMunlockThpCleared);
  }
  uint32_t size = machine.SizeOf(pfn);
  // The negated unsigned number is widened without its sign (D9).
  int64_t delta = machine.Has(Defect::kUnsignedNrDelta)
                      ? int64_t{static_cast<uint32_t>(-size)}
                      : -int64_t{size};
  ModNrMlock(machine, pfn, delta);
  if (IsolateLruPage(machine, pfn)) {
    MunlockIsolatedPage(machine, pfn);
  } else {
    MunlockIsolationFailed(machine, pfn);
  }
  return size - 1;
}

}  // namespace lockstep::reference
