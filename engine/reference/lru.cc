// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/lru.h"

#include "engine/check.h"
#include "engine/reference/page_alloc.h"

namespace lockstep::reference {
namespace {

void Link(Machine& machine, Pfn pfn, Lru lru) {
  Page& page = machine.page(pfn);
  LruList& list = machine.LruvecOf(page).lists[lru];
  page.prev = 0;
  page.next = list.first;
  if (list.first != 0) {
    machine.page(list.first).prev = pfn;
  } else {
    list.last = pfn;
  }
  list.first = pfn;
  ++list.size;
  page.lru = lru;
}

}  // namespace

void RemoveFromLru(Machine& machine, Pfn pfn) {
  Page& page = machine.page(pfn);
  LOCKSTEP_CHECK(page.lru != kNoLru);
  machine.Touch(pfn);
  LruList& list = machine.LruvecOf(page).lists[page.lru];
  (page.prev != 0 ? machine.page(page.prev).next : list.first) = page.next;
  (page.next != 0 ? machine.page(page.next).prev : list.last) = page.prev;
  --list.size;
  page.next = page.prev = 0;
  page.lru = kNoLru;
}

void AddPageToLruList(Machine& machine, Pfn pfn, Lru lru) {
  Page& page = machine.page(pfn);
  LOCKSTEP_CHECK(!page.Is(kPageLru | kPageTail));
  machine.Touch(pfn);
  page.Set(kPageLru);
  Link(machine, pfn, lru);
}

bool IsolateLruPagePinned(Machine& machine, Pfn pfn) {
  Page& page = machine.page(pfn);
  if (!page.Is(kPageLru)) return false;
  RemoveFromLru(machine, pfn);
  page.Clear(kPageLru);
  return true;
}

bool IsolateLruPage(Machine& machine, Pfn pfn) {
  if (!IsolateLruPagePinned(machine, pfn)) return false;
  GetPage(machine, pfn);
  return true;
}

void PutbackLruPage(Machine& machine, Pfn pfn) {
  Page& page = machine.page(pfn);
  machine.Touch(pfn);
  bool was_unevictable = page.Is(kPageUnevictable);
  page.Clear(kPageUnevictable);
  if (PageEvictable(machine, pfn)) {
    LruCacheAdd(machine, pfn);
    if (was_unevictable) ++machine.events.rescued;
  } else {
    AddPageToUnevictableList(machine, pfn);
    if (!was_unevictable) ++machine.events.culled;
  }
  PutPage(machine, pfn);
}

void AddPageToUnevictableList(Machine& machine, Pfn pfn) {
  machine.page(pfn).Clear(kPageActive);
  machine.page(pfn).Set(kPageUnevictable);
  AddPageToLruList(machine, pfn, kUnevictable);
}

void LruCacheAdd(Machine& machine, Pfn pfn) {
  Pagevec& batch = machine.lru_add[machine.cpu];
  GetPage(machine, pfn);
  if (!machine.Has(Behaviour::kFlushWhenFull) && batch.full()) {
    DrainCpu(machine, machine.cpu);
  }
  batch.Add(pfn);
  Page& page = machine.page(pfn);
  page.Set(kPageInBatch);
  bool flush = machine.Has(Behaviour::kFlushWhenFull) && batch.full();
  flush |= machine.Has(Behaviour::kFlushOnCompound) && page.compound();
  if (flush) DrainCpu(machine, machine.cpu);
}

void PagevecLruAdd(Machine& machine, Pagevec& pagevec) {
  // The batch is emptied first: putting a page must find it consistent.
  Pagevec pages = pagevec;
  pagevec.count = 0;
  for (int i = 0; i < pages.count; ++i) {
    Pfn pfn = pages.pages[i];
    AddPageToLruList(machine, pfn, EvictableLru(machine.page(pfn)));
    PutPage(machine, pfn);
  }
}

void DrainCpu(Machine& machine, int cpu) {
  Pagevec& batch = machine.lru_add[cpu];
  for (int i = 0; i < batch.count; ++i) {
    machine.page(batch.pages[i]).Clear(kPageInBatch);
  }
  PagevecLruAdd(machine, batch);
}

void LruAddDrainAll(Machine& machine) {
  for (uint32_t cpu = 0; cpu < machine.config.cpus; ++cpu) {
    if (machine.lru_add[cpu].count == 0) continue;
    DrainCpu(machine, static_cast<int>(cpu));
  }
}

void CheckMoveUnevictablePages(Machine& machine, ObjectId object) {
  for (const auto& [index, pfn] : machine.objects[object].cache) {
    Page& page = machine.page(pfn);
    ++machine.events.scanned;
    if (!page.Is(kPageLru) || !page.Is(kPageUnevictable)) continue;
    if (!PageEvictable(machine, pfn)) continue;
    RemoveFromLru(machine, pfn);
    page.Clear(kPageUnevictable | kPageLru);
    AddPageToLruList(machine, pfn, EvictableLru(page));
    ++machine.events.rescued;
  }
}

}  // namespace lockstep::reference
