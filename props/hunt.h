// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Hunt: random programs, each checked step by step; what breaks a property is
// shrunk and told apart from what was found before. The loop behind
// `lockstep fuzz`.

#ifndef LOCKSTEP_PROPS_HUNT_H_
#define LOCKSTEP_PROPS_HUNT_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/engine.h"
#include "engine/outcome.h"
#include "engine/program.h"
#include "engine/step.h"
#include "props/property.h"
#include "props/runner.h"
#include "props/vocabulary.h"

namespace lockstep {

// One bug as far as a hunt can tell: one shrunk program.
struct HuntFinding {
  Program program;  // shrunk
  Violation violation;
  uint64_t fingerprint = 0;
  uint64_t index = 0;  // of the program that showed it first
  uint64_t hits = 1;   // violations that were shrunk to this program
};

// How often each call returned what.
class OutcomeCounts {
 public:
  void Add(Op op, const Outcome& outcome) {
    ++counts_[static_cast<size_t>(op)][SlotOf(outcome)];
  }
  void Merge(const OutcomeCounts& other);

  uint64_t Calls(Op op) const;
  // By OutcomeName, each that occurred.
  std::map<std::string, uint64_t> ByName(Op op) const;

 private:
  // Errnos, then signals, then the other kinds.
  static constexpr size_t kErrnos = 160;
  static constexpr size_t kSignals = 65;
  static constexpr size_t kSlots = kErrnos + kSignals + 3;
  static size_t SlotOf(const Outcome& outcome);
  static Outcome OutcomeOf(size_t slot);

  std::array<std::array<uint64_t, kSlots>, kOpCount> counts_{};
};

struct HuntProgress {
  uint64_t programs = 0;
  uint64_t steps = 0;       // of the programs, not of shrinking
  uint64_t violations = 0;  // hits, not findings
  uint64_t findings = 0;
  double seconds = 0;
  double steps_per_second() const {
    return seconds > 0 ? static_cast<double>(steps) / seconds : 0;
  }
};

struct HuntStatistics : HuntProgress {
  uint64_t refused = 0;  // programs whose configuration the engine cannot be in
  uint64_t shrinks = 0;  // violations that were shrunk
  uint64_t shrink_runs = 0;  // programs run for that
  OutcomeCounts outcomes;
  std::map<std::string, uint64_t> hits;  // violations by property
};

struct HuntOptions {
  static constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

  VocabularyOptions vocabulary;
  uint64_t seed = 1;
  // The first of these that is reached ends the hunt. A program that has begun
  // is run to its end.
  uint64_t max_programs = kNoLimit;
  uint64_t max_steps = kNoLimit;
  std::chrono::nanoseconds max_time = std::chrono::nanoseconds::max();
  const std::atomic<bool>* stop = nullptr;  // set by a signal handler

  int jobs = 1;
  Checking checking = Checking::kIncremental;
  // Makes the engine of one job.
  std::function<std::unique_ptr<Engine>()> make_engine;

  // A finding that is not like those before, as soon as it is shrunk. One call
  // at a time, from any thread.
  std::function<void(const HuntFinding& finding)> on_finding;
  // Once a second, from the thread that called Hunt.
  std::function<void(const HuntProgress& progress)> on_progress;
};

struct HuntResult {
  std::vector<HuntFinding> findings;  // by index of the program
  HuntStatistics statistics;
};

// With one job and no limit of time the result depends on the options alone.
// More jobs run the same programs, and may choose other violations to shrink.
// The error of the engine if it refuses every configuration.
absl::StatusOr<HuntResult> Hunt(const HuntOptions& options);

}  // namespace lockstep

#endif  // LOCKSTEP_PROPS_HUNT_H_
