// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// hugetlb mappings: pages of a pool, never on an LRU list, never locked
// (mm/hugetlb.c, as far as mlock and its neighbours meet it).

#ifndef LOCKSTEP_ENGINE_REFERENCE_HUGETLB_H_
#define LOCKSTEP_ENGINE_REFERENCE_HUGETLB_H_

#include "engine/reference/fault.h"
#include "engine/reference/machine.h"

namespace lockstep::reference {

// hugetlb_reserve_pages for a new object of this many huge pages; false if the
// pool cannot promise them.
bool HugetlbReserve(Machine& machine, ObjectId object, uint64_t huge_pages);
// The same for what it has no reservation of any more, when it is mapped whole
// once more (hugetlbfs_file_mmap).
bool HugetlbReserveAgain(Machine& machine, ObjectId object);

FaultResult HugetlbFault(Machine& machine, int mm, size_t vma, Vpn page,
                         bool write);

// The owner of a private mapping unmaps [start, end): what was reserved for it
// and never used goes back to the pool.
void HugetlbUnreserve(Machine& machine, int mm, const Vma& vma, Vpn start,
                      Vpn end);

// hugetlbfs_punch_hole: the whole huge pages in [first, end), which counts
// small pages, go back to the pool, out of every address space.
void HugetlbPunchHole(Machine& machine, ObjectId object, uint64_t first,
                      uint64_t end);

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_HUGETLB_H_
