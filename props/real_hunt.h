// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// RealHunt: random programs on a real kernel, in batches. Each trace is judged
// by the contracts and against the model; what is wrong is shrunk on the real
// kernel and told apart from what was found before.

#ifndef LOCKSTEP_PROPS_REAL_HUNT_H_
#define LOCKSTEP_PROPS_REAL_HUNT_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/judged.h"
#include "engine/linux/kernel.h"
#include "engine/linux/trace.h"
#include "props/hunt.h"
#include "props/vocabulary.h"

namespace lockstep {

// A finding, and what the kernel did with the shrunk program.
struct RealFinding : HuntFinding {
  Trace trace;
};

struct RealHuntOptions {
  // Profile and defects are those of the model that the kernel is compared
  // with. `real_kernel` is set by RealHunt.
  VocabularyOptions vocabulary;
  uint64_t seed = 1;
  // The first that is reached ends the hunt, after the batch that runs.
  uint64_t max_programs = HuntOptions::kNoLimit;
  uint64_t max_steps = HuntOptions::kNoLimit;
  std::chrono::nanoseconds max_time = std::chrono::nanoseconds::max();
  const std::atomic<bool>* stop = nullptr;  // set by a signal handler
  size_t batch = 256;                       // programs

  Kernel* kernel = nullptr;
  // Runs what is to be confirmed and shrunk, each program in a process of its
  // own (Mode::kProcessPerProgram).
  Kernel* confirm = nullptr;
  std::vector<Judged> judged;

  // A finding that is not like those before, as soon as it is shrunk.
  std::function<void(const RealFinding& finding)> on_finding;
  // At most once a second.
  std::function<void(const HuntProgress& progress)> on_progress;
};

struct RealHuntResult {
  std::vector<RealFinding> findings;  // by index of the program
  HuntStatistics statistics;
  std::map<std::string, uint64_t> judged;  // hits by name
  // Programs that violate a contract by a defect of the configuration, by its
  // name: what the kernel was released with is no finding.
  std::map<std::string, uint64_t> explained;
  uint64_t steps_not_run = 0;  // unsupported on this kernel
  // Violations that did not show again in a process of their own, with the
  // index of the program: either the kernel is not deterministic there, or a
  // program left something behind for the next one.
  std::vector<uint64_t> unconfirmed;
  // The kernel could not go on. What was found until then is above.
  absl::Status status;
};

RealHuntResult RealHunt(const RealHuntOptions& options);

}  // namespace lockstep

#endif  // LOCKSTEP_PROPS_REAL_HUNT_H_
