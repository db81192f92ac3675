// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The programs whose traces lockstep_trace_fuzzer reads.

#ifndef LOCKSTEP_FUZZERS_TRACE_PROGRAMS_H_
#define LOCKSTEP_FUZZERS_TRACE_PROGRAMS_H_

#include <vector>

#include "engine/program.h"

namespace lockstep {

// 128 programs of 1 to 4 steps that a real kernel can run, always the same.
const std::vector<Program>& TracePrograms();

}  // namespace lockstep

#endif  // LOCKSTEP_FUZZERS_TRACE_PROGRAMS_H_
