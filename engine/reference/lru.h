// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// LRU lists, isolation and the per-CPU batches of pages on their way to a list
// (mm/swap.c, mm/vmscan.c: isolate_lru_page, putback_lru_page).

#ifndef LOCKSTEP_ENGINE_REFERENCE_LRU_H_
#define LOCKSTEP_ENGINE_REFERENCE_LRU_H_

#include "engine/reference/machine.h"

namespace lockstep::reference {

// Takes the page off its list; its LRU flag stays the caller's business.
void RemoveFromLru(Machine& machine, Pfn pfn);

// isolate_lru_page: off the list, with a reference. False if it is on none.
bool IsolateLruPage(Machine& machine, Pfn pfn);
// The same without a reference of its own: the caller has one to spare.
bool IsolateLruPagePinned(Machine& machine, Pfn pfn);

// putback_lru_page: to the list that the flags say, the batch first if it is
// evictable; drops the reference of the isolation.
void PutbackLruPage(Machine& machine, Pfn pfn);

// page_evictable: neither Mlocked nor of an unevictable mapping.
inline bool PageEvictable(const Machine& machine, Pfn pfn) {
  const Page& page = machine.page(pfn);
  if (page.Is(kPageMlocked)) return false;
  return page.mapping == 0 || !machine.objects[page.mapping].unevictable;
}

// lru_cache_add: into the batch of this CPU, with a reference.
void LruCacheAdd(Machine& machine, Pfn pfn);
// __pagevec_lru_add of pages that are in no batch: takes over a reference each.
void PagevecLruAdd(Machine& machine, Pagevec& pagevec);
// add_page_to_unevictable_list: past the batches.
void AddPageToUnevictableList(Machine& machine, Pfn pfn);
// The list for a page that is put on one now, Unevictable aside.
inline Lru EvictableLru(const Page& page) {
  bool active = page.Is(kPageActive);
  if (page.Is(kPageSwapBacked)) return active ? kActiveAnon : kInactiveAnon;
  return active ? kActiveFile : kInactiveFile;
}
// Puts a page without LRU flag on its list, at the end that is reclaimed last.
void AddPageToLruList(Machine& machine, Pfn pfn, Lru lru);

void DrainCpu(Machine& machine, int cpu);
inline void LruAddDrain(Machine& machine) {  // of this CPU
  if (machine.lru_add[machine.cpu].count != 0) DrainCpu(machine, machine.cpu);
}
void LruAddDrainAll(Machine& machine);  // of every CPU

// check_move_unevictable_pages: an object is no longer unevictable.
void CheckMoveUnevictablePages(Machine& machine, ObjectId object);

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_LRU_H_
