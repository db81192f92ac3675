// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Bringing pages in for mlock and MAP_POPULATE: __mm_populate and the part of
// get_user_pages that it uses (mm/mlock.c, mm/gup.c).

#ifndef LOCKSTEP_ENGINE_REFERENCE_POPULATE_H_
#define LOCKSTEP_ENGINE_REFERENCE_POPULATE_H_

#include "engine/reference/machine.h"

namespace lockstep::reference {

// populate_vma_page_range (__mlock_vma_pages_range up to 4.0): faults in
// [start, end) of one VMA, and sets PG_mlocked if the VMA is VM_LOCKED.
// Returns the pages done, or a negative errno if not even the first was:
// -EFAULT, -ENOMEM, -EINTR. REQUIRES: mmap_sem is held.
int64_t PopulateVmaPageRange(Machine& machine, int mm, size_t vma, Vpn start,
                             Vpn end);

// mlock_vma_pages_range: PG_mlocked for the pages that are there, whatever the
// access to them is. REQUIRES: [start, end) is of one VMA, VM_LOCKED now.
void MlockPresentPages(Machine& machine, int mm, Vpn start, Vpn end);

// __mm_populate: over all VMAs of the range, holes passed over. 0 or a negative
// errno as get_user_pages gave it; with ignore_errors failing VMAs are passed
// over too.
int64_t MmPopulate(Machine& machine, int mm, Vpn start, Vpn end,
                   bool ignore_errors);

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_POPULATE_H_
