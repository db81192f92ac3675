// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// madvise, msync and mincore (mm/madvise.c, mm/msync.c, mm/mincore.c).

#ifndef LOCKSTEP_ENGINE_REFERENCE_MADVISE_H_
#define LOCKSTEP_ENGINE_REFERENCE_MADVISE_H_

#include "engine/outcome.h"
#include "engine/reference/machine.h"

namespace lockstep::reference {

Outcome SysMadvise(Machine& machine, uint64_t addr, uint64_t length,
                   uint32_t advice);
Outcome SysMsync(Machine& machine, uint64_t addr, uint64_t length,
                 uint32_t flags);
Outcome SysMincore(Machine& machine, uint64_t addr, uint64_t length);

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_MADVISE_H_
