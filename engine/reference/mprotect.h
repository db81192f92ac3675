// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// mprotect (mm/mprotect.c).

#ifndef LOCKSTEP_ENGINE_REFERENCE_MPROTECT_H_
#define LOCKSTEP_ENGINE_REFERENCE_MPROTECT_H_

#include "engine/outcome.h"
#include "engine/reference/machine.h"

namespace lockstep::reference {

Outcome SysMprotect(Machine& machine, uint64_t addr, uint64_t length,
                    uint32_t prot);

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_MPROTECT_H_
