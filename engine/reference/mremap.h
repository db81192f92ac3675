// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// mremap (mm/mremap.c).

#ifndef LOCKSTEP_ENGINE_REFERENCE_MREMAP_H_
#define LOCKSTEP_ENGINE_REFERENCE_MREMAP_H_

#include "engine/outcome.h"
#include "engine/reference/machine.h"

namespace lockstep::reference {

Outcome SysMremap(Machine& machine, uint64_t addr, uint64_t old_length,
                  uint64_t new_length, uint32_t flags, uint64_t new_addr);

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_MREMAP_H_
