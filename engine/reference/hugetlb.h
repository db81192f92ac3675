// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// hugetlb mappings: pages of a pool, never on an LRU list, never locked
// (mm/hugetlb.c, as far as mlock and its neighbours meet it).

#ifndef LOCKSTEP_ENGINE_REFERENCE_HUGETLB_H_
#define LOCKSTEP_ENGINE_REFERENCE_HUGETLB_H_

#include "engine/reference/fault.h"
#include "engine/reference/machine.h"

namespace lockstep::reference {

// hugetlb_reserve_pages for all huge pages of the object that have neither been
// reserved nor brought in; false, and nothing is, if the pool cannot promise
// them.
bool HugetlbReservePages(Machine& machine, ObjectId object);
// hugetlbfs_file_mmap of a VMA to be: reserves what it maps, unless by
// MAP_NORESERVE it takes what the pool has to spare when it is touched. False
// if it cannot be.
bool HugetlbFileMmap(Machine& machine, Vma* vma);

FaultResult HugetlbFault(Machine& machine, int mm, size_t vma, Vpn page,
                         bool write);

// hugetlb_vm_op_close: what was reserved for the owner of a private mapping and
// never used goes back to the pool.
void HugetlbVmClose(Machine& machine, const Vma& vma);
// mremap has moved [start, end) of the private VMA `old` away. What stays keeps
// its reservation (but for D29).
void HugetlbMovedFrom(Machine& machine, int mm, const Vma& old, Vpn start,
                      Vpn end);

// hugetlbfs_punch_hole: the whole huge pages in [first, end), which counts
// small pages, go back to the pool, out of every address space.
void HugetlbPunchHole(Machine& machine, ObjectId object, uint64_t first,
                      uint64_t end);

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_HUGETLB_H_
