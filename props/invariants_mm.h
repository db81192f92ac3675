// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Invariants of an address space. The table in invariants.cc says what
// each one states.

#ifndef LOCKSTEP_PROPS_INVARIANTS_MM_H_
#define LOCKSTEP_PROPS_INVARIANTS_MM_H_

#include "props/invariants.h"

namespace lockstep {

bool LockedVmHolds(const InvariantContext& context, int mm, Mismatch* mismatch);
bool PageTablesHold(const InvariantContext& context, int mm,
                    Mismatch* mismatch);
// Both of the above, in one call. Which one does not hold is not said.
bool AddressSpaceHolds(const InvariantContext& context, int mm,
                       Mismatch* mismatch);

}  // namespace lockstep

#endif  // LOCKSTEP_PROPS_INVARIANTS_MM_H_
