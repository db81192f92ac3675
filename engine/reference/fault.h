// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Page faults: handle_mm_fault and what brings a page in (mm/memory.c).

#ifndef LOCKSTEP_ENGINE_REFERENCE_FAULT_H_
#define LOCKSTEP_ENGINE_REFERENCE_FAULT_H_

#include "engine/reference/machine.h"

namespace lockstep::reference {

enum class FaultResult : uint8_t { kDone, kOom, kSigbus, kSigsegv };

// handle_mm_fault for a page inside a VMA. Permissions are the caller's
// business, as in the kernel: get_user_pages may force a write.
// REQUIRES: mmap_sem is held.
FaultResult HandleMmFault(Machine& machine, int mm, Vpn page, bool write);

// An access by a task: finds or grows the VMA, checks permissions, faults.
FaultResult AccessPage(Machine& machine, int mm, Vpn page, bool write);

// page_add_new_anon_rmap and lru_cache_add_active_or_unevictable, less the rmap
// itself: a new page in a VM_LOCKED VMA is born Mlocked and unevictable.
void AddNewAnonPage(Machine& machine, Pfn pfn, const Vma& vma);

// There is memory for one more PTE; else an allocation has failed.
bool PageTablesMayGrow(Machine& machine);

// Whether guard markers go with the pages (ZAP_FLAG_DROP_MARKER).
enum class Guards : uint8_t { kKeep, kDrop };
// Unmaps whatever PTEs are in the range, with the references
// (zap_page_range); huge pages that it cuts are split first.
void ZapRange(Machine& machine, int mm, Vpn start, Vpn end,
              Guards guards = Guards::kDrop);

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_FAULT_H_
