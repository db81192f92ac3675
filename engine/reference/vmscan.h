// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Reclaim (mm/vmscan.c): what it does to a page, without its choice of pages.

#ifndef LOCKSTEP_ENGINE_REFERENCE_VMSCAN_H_
#define LOCKSTEP_ENGINE_REFERENCE_VMSCAN_H_

#include "engine/reference/machine.h"

namespace lockstep::reference {

// Every page on an evictable list, or one of them, as if it were the coldest.
void ReclaimAll(Machine& machine);
// False if the page is on no evictable list.
bool ReclaimPage(Machine& machine, Pfn pfn);

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_VMSCAN_H_
