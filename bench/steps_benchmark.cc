// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Steps per second of random 16-step programs on the reference engine, with
// every property checked after every step and, beside it, without checks. The
// same programs run on arenas and memories of 64, 4096 and a million pages: a
// step's cost grows with what it touches, not with the machine.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "engine/profile.h"
#include "engine/program.h"
#include "engine/reference/reference_engine.h"
#include "props/property.h"
#include "props/random.h"
#include "props/runner.h"
#include "props/vocabulary.h"

namespace lockstep {
namespace {

constexpr uint64_t kDefaultPages = 64;
// Enough that neither branch predictor nor cache learns them by heart.
constexpr size_t kPrograms = 4096;
constexpr uint64_t kSeed = 1;

// Random programs for the default machine of the profile, every defect off: a
// violation would end a program early.
std::vector<Program> MakePrograms(const Profile& profile) {
  VocabularyOptions options;
  options.profile = &profile;
  options.defects = DefectSet();
  options.vary_config = false;
  options.config.SetProfile(profile);
  options.config.defects = DefectSet();
  Vocabulary vocabulary(options);
  std::vector<Program> programs(kPrograms);
  for (size_t i = 0; i < programs.size(); ++i) {
    Random random(kSeed, i);
    vocabulary.Generate(random, &programs[i]);
  }
  return programs;
}

// Runs the program to its end; false, with why, if it was cut short.
bool RunProgram(const Program& program, Runner& runner, std::string& why) {
  if (absl::Status status = runner.Start(program.config); !status.ok()) {
    why = status.ToString();
    return false;
  }
  for (const Step& step : program.steps) {
    if (std::optional<Violation> violation = runner.Run(step)) {
      why = absl::StrCat("violated: ", violation->property);
      return false;
    }
  }
  return true;
}

void RunSteps(benchmark::State& state, const Profile& profile,
              Checking checking) {
  std::vector<Program> programs = MakePrograms(profile);
  for (Program& program : programs) {
    program.config.arena_pages = static_cast<uint64_t>(state.range(0));
    program.config.memory_pages = static_cast<uint64_t>(state.range(1));
  }
  reference::ReferenceEngine engine;
  Runner runner(&engine, checking);
  std::string why;
  size_t steps = 0;
  size_t next = 0;
  for (auto _ : state) {
    const Program& program = programs[next];
    next = (next + 1) % programs.size();
    if (!RunProgram(program, runner, why)) {
      // The steps that were left out would make the number a flattering one.
      state.SkipWithError(why.c_str());
      break;
    }
    steps += program.steps.size();
  }
  state.SetItemsProcessed(static_cast<int64_t>(steps));
}

void Machines(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"arena_pages", "memory_pages"});
  // The default machine first.
  benchmark->Args({kDefaultPages, static_cast<int64_t>(Config().memory_pages)});
  for (int64_t pages : {int64_t{64}, int64_t{4096}, int64_t{1} << 20}) {
    benchmark->Args({pages, pages});
  }
}

BENCHMARK_CAPTURE(RunSteps, v3_12_checked, *FindProfile("v3.12").value(),
                  Checking::kIncremental)
    ->Apply(Machines);
BENCHMARK_CAPTURE(RunSteps, v3_12_unchecked, *FindProfile("v3.12").value(),
                  Checking::kNone)
    ->Apply(Machines);
BENCHMARK_CAPTURE(RunSteps, v4_9_checked, *FindProfile("v4.9").value(),
                  Checking::kIncremental)
    ->Apply(Machines);
BENCHMARK_CAPTURE(RunSteps, v4_9_unchecked, *FindProfile("v4.9").value(),
                  Checking::kNone)
    ->Apply(Machines);

}  // namespace
}  // namespace lockstep
