// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Transparent huge pages: mapping, splitting, collapsing (mm/huge_memory.c).

#ifndef LOCKSTEP_ENGINE_REFERENCE_HUGE_MEMORY_H_
#define LOCKSTEP_ENGINE_REFERENCE_HUGE_MEMORY_H_

#include "engine/reference/machine.h"

namespace lockstep::reference {

// transparent_hugepage_enabled and the fit of the VMA: may a fault at the page
// get a huge page?
bool HugePageAllowed(const Machine& machine, const Vma& vma, Vpn page);
// The same whatever the setting of transparent_hugepage.
bool HugePagePossible(const Machine& machine, const Vma& vma, Vpn page);

// A mapping of huge page `head` at the table of `page`; takes over a reference.
void MapHugePage(Machine& machine, int mm, Vpn page, Pfn head, bool write);
// Takes away the mapping and its reference.
void UnmapHugePage(Machine& machine, int mm, Vpn page);

// split_huge_page_pmd: what covers `page` with a PMD does so with PTEs after.
// Up to 4.4 that splits the page itself, everywhere; later only this mapping.
// Nothing if no huge PMD is there.
void SplitHugePmd(Machine& machine, int mm, Vpn page);

// The same where an edge of a VMA falls inside a huge page
// (vma_adjust_trans_huge).
void SplitHugePmdAtEdge(Machine& machine, int mm, Vpn edge);

// split_huge_page: into small pages, in every address space. False if it is
// pinned, or (from 4.5) locked by someone else.
bool SplitHugePage(Machine& machine, Pfn head);

// khugepaged: the table of the page becomes a huge page. False if it cannot.
// `asked_for`: by MADV_COLLAPSE, which the setting does not stop.
bool CollapseHugePage(Machine& machine, int mm, Vpn page,
                      bool asked_for = false);

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_HUGE_MEMORY_H_
