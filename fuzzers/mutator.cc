// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "fuzzers/mutator.h"

#include <algorithm>

#include "fuzzers/mutator_operations.h"

namespace lockstep {
namespace {

using namespace mutator_internal;  // NOLINT(google-build-using-namespace)

constexpr MutationOperation kMutations[] = {
    // Which steps.
    {"insert-step", "a step of the vocabulary, at any place", 12, InsertStep},
    {"insert-steps", "two to four steps of the vocabulary", 4, InsertRun},
    {"delete-step", "one step goes", 6, DeleteStep},
    {"delete-steps", "a run of steps goes", 3, DeleteRun},
    {"duplicate-step", "a step again somewhere else", 4, DuplicateStep},
    {"repeat-steps", "a run of steps again somewhere else", 3, RepeatRun},
    {"move-step", "a step goes somewhere else", 4, MoveStep},
    {"move-steps", "a run of steps goes somewhere else", 2, MoveRun},
    {"swap-steps", "two steps change places, neighbours mostly", 3, SwapSteps},
    {"replace-step", "a step of the vocabulary in place of another", 5,
     ReplaceStep},
    {"replace-tail", "all steps behind a place are drawn again", 2,
     ReplaceTail},
    {"start-anew", "a random program", 2, StartAnew},
    // What they say.
    {"redraw-fields", "the call stays, its arguments are drawn again", 5,
     RedrawFields},
    {"redraw-field", "one argument is drawn again", 6, RedrawOneField},
    {"share-range", "the range or page of another step", 8, ShareRange},
    {"touch-boundary", "begins or ends where the range of another step does", 6,
     TouchBoundary},
    {"shift-address", "some pages up or down, or a huge page", 5, ShiftAddress},
    {"resize",
     "a page more or less, a huge page, another step's length, the "
     "limit",
     5, ResizeRange},
    {"leave-page", "address or length not at the boundary of a page", 2,
     LeavePage},
    {"flip-flag", "another flag, advice or command", 6, FlipFlag},
    {"flip-protection", "READ, WRITE or EXEC", 2, FlipProtection},
    {"change-call", "another call with the same arguments", 4, ChangeCall},
    {"change-task", "another task makes the call", 3, ChangeTask},
    {"change-task-of-run", "another task makes a run of calls", 2,
     ChangeTaskOfRun},
    {"change-slot", "another file, segment, user, CPU, zone or child", 3,
     ChangeSlot},
    // What happens inside calls.
    {"add-interleaving", "something happens inside a call", 4, AddInterleaving},
    {"drop-interleaving", "it does not", 2, DropInterleaving},
    {"change-interleaving", "at another point, later, to another page", 4,
     ChangeInterleaving},
    {"move-into-call", "an action beside a call happens inside it", 3,
     MoveIntoCall},
    {"move-out-of-call", "what happens inside a call happens beside it", 1,
     MoveOutOfCall},
    // What they start with.
    {"redraw-config", "another machine", 1, RedrawConfig},
    {"redraw-config-field", "another limit, user, memory, ...", 3,
     RedrawConfigField},
    {"limit-at-boundary", "RLIMIT_MEMLOCK at what the steps lock", 3,
     LimitAtBoundary},
    {"change-kernel", "another profile, as it was released", 2, ChangeKernel},
    {"flip-defect", "a defect of the profile on or off", 2, FlipDefect},
};

constexpr MutationOperation kCrossOvers[] = {
    {"splice-tail", "goes on as the other does from some step on", 4,
     SpliceTail},
    {"splice-steps", "a run of the other's steps in addition", 4, SpliceRun},
    {"exchange-steps", "a run of the other's steps in place of one's own", 3,
     ExchangeRun},
    {"interleave", "the steps of both, each in its order", 2, Interleave},
    {"take-config", "the other's machine", 1, TakeConfig},
};

// One of the table by weight.
const MutationOperation& Draw(Random& random,
                              absl::Span<const MutationOperation> table) {
  uint64_t sum = 0;
  for (const MutationOperation& row : table) sum += row.weight;
  uint64_t at = random.Below(sum);
  for (const MutationOperation& row : table) {
    if (at < row.weight) return row;
    at -= row.weight;
  }
  return table.back();
}

// Rows that have nothing to change here are drawn over.
void ApplyOne(const MutationContext& context,
              absl::Span<const MutationOperation> table, Program* program) {
  constexpr int kTries = 16;
  for (int i = 0; i < kTries; ++i) {
    if (Draw(context.random, table).apply(context, program)) return;
  }
}

MutatorOptions Over(const VocabularyOptions& vocabulary) {
  MutatorOptions options;
  options.vocabulary = vocabulary;
  return options;
}

// A real process has no machine of its own.
void KeepRealConfig(Config* config) {
  Config real;
  real.profile = config->profile;
  real.defects = config->defects;
  real.memlock_limit =
      std::min(config->memlock_limit, VocabularyOptions::kMostRealLimit);
  real.cap_ipc_lock = config->cap_ipc_lock;
  real.uid = config->uid;
  real.file_size = config->file_size;
  *config = real;
}

}  // namespace

absl::Span<const MutationOperation> AllMutations() { return kMutations; }
absl::Span<const MutationOperation> AllCrossOvers() { return kCrossOvers; }

Mutator::Mutator(const VocabularyOptions& options) : Mutator(Over(options)) {}

Mutator::Mutator(const MutatorOptions& options)
    : options_(options), vocabulary_(options.vocabulary) {}

void Mutator::Mutate(Random& random, Program* program) {
  const MutationContext context = {random, vocabulary_, options_};
  if (program->steps.empty()) {
    StartAnew(context, program);
  } else {
    // One change as often as more: some bugs are a step away, others two.
    size_t changes = 1;
    while (changes < 8 && random.OneIn(2)) ++changes;
    for (size_t i = 0; i < changes; ++i) {
      ApplyOne(context, kMutations, program);
    }
  }
  Normalise(program);
}

void Mutator::CrossOver(Random& random, const Program& other,
                        Program* program) {
  const MutationContext context = {random, vocabulary_, options_, &other};
  if (program->steps.empty()) {
    *program = other;
  } else if (!other.steps.empty()) {
    ApplyOne(context, kCrossOvers, program);
  }
  Normalise(program);
}

void Mutator::Normalise(Program* program) const {
  program->expectations.clear();
  program->description.clear();
  Config& config = program->config;
  if (!options_.any_kernel) {
    config.profile = options_.vocabulary.profile;
    config.defects = options_.vocabulary.defects;
  }
  if (!options_.vocabulary.vary_config) {
    const Config own = config;
    config = options_.vocabulary.config;
    if (options_.any_kernel) {
      config.profile = own.profile;
      config.defects = own.defects;
    }
  }
  std::vector<Step>& steps = program->steps;
  if (options_.vocabulary.real_kernel) {
    KeepRealConfig(&config);
    steps.erase(std::remove_if(steps.begin(), steps.end(),
                               [](const Step& step) {
                                 return !Vocabulary::RunsForReal(step);
                               }),
                steps.end());
    for (Step& step : steps) step.during_count = 0;
  }
  if (steps.size() > options_.max_steps) steps.resize(options_.max_steps);
  for (Step& step : steps) NormaliseStep(config, &step);
}

}  // namespace lockstep
