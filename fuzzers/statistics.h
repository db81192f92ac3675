// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// How much a target has run, said when it exits.

#ifndef LOCKSTEP_FUZZERS_STATISTICS_H_
#define LOCKSTEP_FUZZERS_STATISTICS_H_

#include <cstdint>

namespace lockstep {

// Counts a program with so many steps that were run. With
// LOCKSTEP_FUZZ_STATISTICS in the environment a line on standard error says at
// exit: "lockstep: 1000 programs, 16000 steps, 0.02 CPU seconds, 800000 steps
// per CPU second".
void CountProgram(uint64_t steps);

// The line, as of now.
void PrintStatistics();

}  // namespace lockstep

#endif  // LOCKSTEP_FUZZERS_STATISTICS_H_
