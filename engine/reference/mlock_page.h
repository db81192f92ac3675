// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// PG_mlocked of single pages, with its counters and events: the first half of
// mm/mlock.c in v3.12 and v4.9, function by function.

#ifndef LOCKSTEP_ENGINE_REFERENCE_MLOCK_PAGE_H_
#define LOCKSTEP_ENGINE_REFERENCE_MLOCK_PAGE_H_

#include "engine/reference/machine.h"

namespace lockstep::reference {

// mlock_vma_page: sets the flag and moves the page to the unevictable list.
// Nothing if it is set. REQUIRES: the page is not a tail.
void MlockVmaPage(Machine& machine, Pfn pfn);

// The flag, NR_MLOCK and PGMLOCKED for a new page that goes straight to the
// unevictable list (mlocked_vma_newpage).
void SetNewPageMlocked(Machine& machine, Pfn pfn);

// clear_page_mlock: the page lost its last mapping, or is being truncated.
void ClearPageMlock(Machine& machine, Pfn pfn);

// munlock_vma_page: the page in a VMA that is being unlocked. Returns the pages
// to go on after, less one: the mask of a huge page, or 0.
// REQUIRES: the caller holds the page lock and a reference.
uint32_t MunlockVmaPage(Machine& machine, Pfn pfn);

// __munlock_isolated_page: looks for another locker, puts the page back.
void MunlockIsolatedPage(Machine& machine, Pfn pfn);
// __munlock_isolation_failed: only the event.
void MunlockIsolationFailed(Machine& machine, Pfn pfn);

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_MLOCK_PAGE_H_
