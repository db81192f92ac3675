// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The system calls of mm/mlock.c in every profile.

#ifndef LOCKSTEP_ENGINE_REFERENCE_MLOCK_H_
#define LOCKSTEP_ENGINE_REFERENCE_MLOCK_H_

#include "engine/outcome.h"
#include "engine/reference/machine.h"

namespace lockstep::reference {

// mlock (flags 0) and mlock2 of the current task. The address is the raw 64-bit
// argument, the length in bytes.
Outcome SysMlock(Machine& machine, uint64_t start, uint64_t length);
Outcome SysMlock2(Machine& machine, uint64_t start, uint64_t length,
                  uint32_t flags);
Outcome SysMunlock(Machine& machine, uint64_t start, uint64_t length);
Outcome SysMlockall(Machine& machine, uint32_t flags);
Outcome SysMunlockall(Machine& machine);

// can_do_mlock.
bool CanDoMlock(const Task& task);
// mlock_future_check: may the address space lock this many pages more?
bool MayLockMore(const Machine& machine, const Mm& mm, uint32_t vm_flags,
                 Pages pages);

// user_shm_lock and user_shm_unlock: the charge of segments against their user.
bool UserShmLock(Machine& machine, const Task& task, uint64_t size,
                 uint8_t uid);
void UserShmUnlock(Machine& machine, uint64_t size, uint8_t uid);

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_MLOCK_H_
