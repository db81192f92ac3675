// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Invariants of sums and events over the whole machine. The table in
// invariants.cc says what each one states.

#ifndef LOCKSTEP_PROPS_INVARIANTS_MACHINE_H_
#define LOCKSTEP_PROPS_INVARIANTS_MACHINE_H_

#include "props/invariants.h"

namespace lockstep {

bool NrMlockHolds(const InvariantContext& context, Mismatch* mismatch);
bool EventLawHolds(const InvariantContext& context, Mismatch* mismatch);
bool LruSizeHolds(const InvariantContext& context, Mismatch* mismatch);
bool LockedNeverReclaimed(const InvariantContext& context, Mismatch* mismatch);
bool NoBadPageState(const InvariantContext& context, Mismatch* mismatch);
bool ShmChargeHolds(const InvariantContext& context, Mismatch* mismatch);
bool FrameCountHolds(const InvariantContext& context, Mismatch* mismatch);
bool HugetlbReserveHolds(const InvariantContext& context, Mismatch* mismatch);
// All of the above, in one call. Which one does not hold is not said.
bool SumsHold(const InvariantContext& context, Mismatch* mismatch);

}  // namespace lockstep

#endif  // LOCKSTEP_PROPS_INVARIANTS_MACHINE_H_
