// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Reverse mapping: from a page to what maps it (mm/rmap.c).

#ifndef LOCKSTEP_ENGINE_REFERENCE_RMAP_H_
#define LOCKSTEP_ENGINE_REFERENCE_RMAP_H_

#include "engine/reference/machine.h"

namespace lockstep::reference {

// page_add_*_rmap: the PTE (or, huge, the PMD) at `at` maps the page. The
// reference of the mapping is the caller's to give.
void PageAddRmap(Machine& machine, Pfn pfn, int mm, Vpn at, bool huge);
// page_remove_rmap: the last mapping to go clears PG_mlocked. The reference
// goes back to the caller.
void PageRemoveRmap(Machine& machine, Pfn pfn, int mm, Vpn at, bool huge);
// The reverse map forgets a mapping, with none of the consequences that the
// last one has: something else takes its place.
void PageForgetRmap(Machine& machine, Pfn pfn, int mm, Vpn at, bool huge);
// The mapping moved within its address space (mremap).
void PageMoveRmap(Machine& machine, Pfn pfn, int mm, Vpn from, Vpn to);

// The node that is first in the page's chain, 0 if none; see RmapNode::next.
inline uint32_t FirstMapping(const Machine& machine, Pfn pfn) {
  return machine.page(pfn).rmap;
}

// The VMA of a mapping: no page is mapped outside of one.
const Vma& VmaOf(const Machine& machine, int mm, Vpn mapped);

// try_to_munlock: does another VMA hold the page locked? If so it is Mlocked
// again. REQUIRES: the page is isolated and locked.
bool TryToMunlock(Machine& machine, Pfn pfn);

// What the walk does at one mapping in a VM_LOCKED VMA: sets PG_mlocked, unless
// it needs the other mmap_sem (D19) and cannot have it.
bool MlockFromRmap(Machine& machine, Pfn pfn, int mm);

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_RMAP_H_
