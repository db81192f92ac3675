// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Random programs and what the host's executor makes of them, byte by byte.

#ifndef LOCKSTEP_BENCH_HOST_RESULTS_H_
#define LOCKSTEP_BENCH_HOST_RESULTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/linux/wire.h"
#include "engine/program.h"

namespace lockstep {

// Programs of 16 steps for the default machine.
std::vector<Program> RandomPrograms(uint64_t count, uint64_t seed);

// The ProgramResults and all that follows them, of a new executor. Batches are
// the same for the same programs.
absl::StatusOr<std::string> ResultBytes(const std::vector<Program>& programs,
                                        wire::Look look, wire::Mode mode);

// Where two such results first differ: program and step; "" if they do not.
std::string FirstDifference(absl::string_view a, absl::string_view b);

}  // namespace lockstep

#endif  // LOCKSTEP_BENCH_HOST_RESULTS_H_
