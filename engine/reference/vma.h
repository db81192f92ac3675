// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// VMAs: split, merge, and the objects they refer to (mm/mmap.c).

#ifndef LOCKSTEP_ENGINE_REFERENCE_VMA_H_
#define LOCKSTEP_ENGINE_REFERENCE_VMA_H_

#include <optional>

#include "engine/reference/machine.h"

namespace lockstep::reference {

// calc_vm_prot_bits.
uint32_t VmAccessOf(uint32_t prot);
// VM_EXEC alone, where there are protection keys: kVmExecuteOnly.
uint32_t ExecuteOnlyOf(const Machine& machine, uint32_t prot);

// Adds a VMA where there is none; refers to its object once more.
// Returns its number.
size_t InsertVma(Machine& machine, int mm, const Vma& vma);
// Removes it, with its reference to the object; a SysV segment that was waiting
// for its last detach goes. Its pages are the caller's business.
void RemoveVma(Machine& machine, int mm, size_t vma);

// split_vma: after it a VMA starts at the page. 0, or the errno: ENOMEM at
// max_map_count, EINVAL inside a hugetlb page.
int SplitVma(Machine& machine, int mm, size_t vma, Vpn at);
// __split_vma: the same without the limit, which munmap checks in its own way.
int SplitVmaUnlimited(Machine& machine, int mm, size_t vma, Vpn at);

// vma_merge: gives [start, end), a hole or a part of one VMA that touches one
// of its ends, to the neighbours that have these attributes. Returns the number
// of the VMA that has the range then, or nothing if neither neighbour fits.
std::optional<size_t> MergeVma(Machine& machine, int mm, Vpn start, Vpn end,
                               const Vma& attributes);

// What mlock_fixup, mprotect_fixup and madvise_behavior share: [start, end) of
// a VMA gets these flags by merging or splitting. On success *vma is the number
// of the VMA with the range, whose flags are set unless it merged; returns an
// errno otherwise.
int ModifyVma(Machine& machine, int mm, size_t* vma, Vpn start, Vpn end,
              uint32_t flags);

// anon_vma_prepare: before the first anonymous page.
void AnonVmaPrepare(Machine& machine, int mm, size_t vma);

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_VMA_H_
