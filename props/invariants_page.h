// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Invariants of a page frame. The table in invariants.cc says what
// each one states.

#ifndef LOCKSTEP_PROPS_INVARIANTS_PAGE_H_
#define LOCKSTEP_PROPS_INVARIANTS_PAGE_H_

#include "props/invariants.h"

namespace lockstep {

bool LruMembershipHolds(const InvariantContext& context, Pfn pfn,
                        Mismatch* mismatch);
bool NotStranded(const InvariantContext& context, Pfn pfn, Mismatch* mismatch);
bool MlockedHasLocker(const InvariantContext& context, Pfn pfn,
                      Mismatch* mismatch);
bool MunlockKeepsOtherLockers(const InvariantContext& context, Pfn pfn,
                              Mismatch* mismatch);
bool MapcountHolds(const InvariantContext& context, Pfn pfn,
                   Mismatch* mismatch);
bool RefcountHolds(const InvariantContext& context, Pfn pfn,
                   Mismatch* mismatch);
// All of the above, in one call. Which one does not hold is not said.
bool PageHolds(const InvariantContext& context, Pfn pfn, Mismatch* mismatch);

}  // namespace lockstep

#endif  // LOCKSTEP_PROPS_INVARIANTS_PAGE_H_
