// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// munlock of a range of pages: the batches of mm/mlock.c, 3.9 to 5.17.

#ifndef LOCKSTEP_ENGINE_REFERENCE_MUNLOCK_H_
#define LOCKSTEP_ENGINE_REFERENCE_MUNLOCK_H_

#include "engine/reference/machine.h"

namespace lockstep::reference {

// munlock_vma_pages_range: clears the lock flags of VMA number `vma` of the
// address space and munlocks its pages in [start, end).
// REQUIRES: mmap_sem is held for write, the range lies in the VMA.
void MunlockVmaPagesRange(Machine& machine, int mm, size_t vma, Vpn start,
                          Vpn end);

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_MUNLOCK_H_
