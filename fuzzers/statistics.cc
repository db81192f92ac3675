// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "fuzzers/statistics.h"

#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "absl/strings/str_format.h"

namespace lockstep {
namespace {

struct Counts {
  uint64_t programs = 0;
  uint64_t steps = 0;
};

Counts& TheCounts() {
  static Counts& counts = *[] {
    if (std::getenv("LOCKSTEP_FUZZ_STATISTICS") != nullptr) {
      std::atexit(PrintStatistics);
    }
    return new Counts();
  }();
  return counts;
}

}  // namespace

void CountProgram(uint64_t steps) {
  Counts& counts = TheCounts();
  ++counts.programs;
  counts.steps += steps;
}

void PrintStatistics() {
  timespec now = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  const double seconds =
      static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
  const Counts& counts = TheCounts();
  absl::FPrintF(stderr,
                "lockstep: %d programs, %d steps, %.2f CPU seconds, %.0f steps "
                "per CPU second\n",
                counts.programs, counts.steps, seconds,
                static_cast<double>(counts.steps) / seconds);
}

}  // namespace lockstep
