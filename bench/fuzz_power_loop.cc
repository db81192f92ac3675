// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include <sys/resource.h>

#include <optional>

#include "bench/fuzz_power_search.h"
#include "engine/program.h"
#include "engine/reference/reference_engine.h"
#include "props/random.h"
#include "props/runner.h"
#include "props/vocabulary.h"

namespace lockstep {

bool IsOver(const SearchTask& task) {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) +
           static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime) >= task.cpu_seconds;
}

SearchResult SearchByLoop(const SearchTask& task) {
  constexpr uint64_t kProgramsBetweenLooks = 64;
  VocabularyOptions options;
  options.profile = task.profile;
  options.defects = task.defects;
  Vocabulary vocabulary(options);
  reference::ReferenceEngine engine;
  Runner runner(&engine);
  Program program;
  SearchResult result;
  for (uint64_t index = 0;; ++index) {
    if (index % kProgramsBetweenLooks == 0 && IsOver(task)) return result;
    Random random(task.seed, index);
    vocabulary.Generate(random, &program);
    const absl::StatusOr<std::optional<Violation>> violation =
        runner.Run(program);
    // A configuration that the engine cannot be in has no steps.
    if (!violation.ok()) continue;
    result.steps += runner.steps();
    if (violation->has_value()) {
      result.found = true;
      return result;
    }
  }
}

}  // namespace lockstep
