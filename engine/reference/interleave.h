// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Interleaving points: where a step's `during` actions happen.

#ifndef LOCKSTEP_ENGINE_REFERENCE_INTERLEAVE_H_
#define LOCKSTEP_ENGINE_REFERENCE_INTERLEAVE_H_

#include "engine/reference/machine.h"

namespace lockstep::reference {

// Runs the actions of the step that wait for this passage of the point. They
// may change whatever no lock of the call protects: look things up again
// afterwards.
void AtPointSlow(Machine& machine, Point point);
inline void AtPoint(Machine& machine, Point point) {
  if (machine.during_pending != 0) [[unlikely]] {
    AtPointSlow(machine, point);
  }
}

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_INTERLEAVE_H_
