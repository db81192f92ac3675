// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Page migration (mm/migrate.c: unmap_and_move).

#ifndef LOCKSTEP_ENGINE_REFERENCE_MIGRATE_H_
#define LOCKSTEP_ENGINE_REFERENCE_MIGRATE_H_

#include "engine/reference/machine.h"

namespace lockstep::reference {

// Moves the page to another frame. False if it is on no list, pinned, locked or
// there is no memory; it stays where it is then.
bool MigratePage(Machine& machine, Pfn pfn);

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_MIGRATE_H_
