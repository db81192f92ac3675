// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Ways of searching that fuzz_power measures inside a process of its own.

#ifndef LOCKSTEP_BENCH_FUZZ_POWER_SEARCH_H_
#define LOCKSTEP_BENCH_FUZZ_POWER_SEARCH_H_

#include <cstdint>

#include "engine/defect.h"
#include "engine/profile.h"

namespace lockstep {

struct SearchTask {
  const Profile* profile = &DefaultProfile();
  DefectSet defects;
  uint64_t seed = 1;
  double cpu_seconds = 60;  // of this process, then the search is given up
};

struct SearchResult {
  uint64_t steps = 0;
  bool found = false;  // a property was violated
};

// Has this process used so much CPU time?
bool IsOver(const SearchTask& task);

// The programs of `lockstep fuzz`, one after the other, until the first that
// violates a property; it is not shrunk.
SearchResult SearchByLoop(const SearchTask& task);

// State-machine testing as RapidCheck has it, with generators of RapidCheck's:
// a model of what is mapped, commands that draw their arguments from it, and
// the checked engine as the system under test. Knows the calls, their flags and
// the interleavings, and nothing of our vocabulary.
SearchResult SearchByRapidCheck(const SearchTask& task);

}  // namespace lockstep

#endif  // LOCKSTEP_BENCH_FUZZ_POWER_SEARCH_H_
