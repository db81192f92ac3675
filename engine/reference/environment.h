// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Environment actions: what the rest of the machine does, as a step or inside
// one.

#ifndef LOCKSTEP_ENGINE_REFERENCE_ENVIRONMENT_H_
#define LOCKSTEP_ENGINE_REFERENCE_ENVIRONMENT_H_

#include "engine/outcome.h"
#include "engine/reference/machine.h"

namespace lockstep::reference {

// Runs the action; Skipped if there is nothing it could act on. A touch runs as
// its own task.
Outcome EnvironmentAction(Machine& machine, const During& action);

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_ENVIRONMENT_H_
