// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// System V shared memory (ipc/shm.c, shmem_lock in mm/shmem.c).

#ifndef LOCKSTEP_ENGINE_REFERENCE_SHM_H_
#define LOCKSTEP_ENGINE_REFERENCE_SHM_H_

#include "engine/outcome.h"
#include "engine/reference/machine.h"

namespace lockstep::reference {

// Into an empty slot.
Outcome SysShmget(Machine& machine, int slot, uint64_t size, bool hugetlb);
Outcome SysShmat(Machine& machine, int slot, uint64_t addr, uint32_t flags);
Outcome SysShmdt(Machine& machine, uint64_t addr);
Outcome SysShmctl(Machine& machine, int slot, uint32_t command);

// shm_close: a VMA of the object is gone. Destroys a removed segment whose last
// VMA it was.
void ShmClose(Machine& machine, ObjectId object);

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_SHM_H_
