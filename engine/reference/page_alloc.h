// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Page frames: allocation, references and freeing (mm/page_alloc.c, put_page).

#ifndef LOCKSTEP_ENGINE_REFERENCE_PAGE_ALLOC_H_
#define LOCKSTEP_ENGINE_REFERENCE_PAGE_ALLOC_H_

#include "engine/reference/machine.h"

namespace lockstep::reference {

// A small page of the current allocation zone with one reference; 0 if there is
// none, or if this allocation is the one that was made to fail.
Pfn AllocPage(Machine& machine);
// A compound page of machine.huge_pages frames; 0 as above.
Pfn AllocHugePage(Machine& machine);
// The same from the hugetlb pool, which allocation failures do not touch.
Pfn AllocHugetlbPage(Machine& machine);

// REQUIRES of both: the page is not a tail.
inline void GetPage(Machine& machine, Pfn pfn) {
  machine.Touch(pfn);
  ++machine.page(pfn).refcount;
}
// Drops a reference; the last one frees the page, off its LRU list first.
void PutPage(Machine& machine, Pfn pfn);

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_PAGE_ALLOC_H_
