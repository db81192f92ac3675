// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "fuzzers/mutator.h"

namespace lockstep {
namespace {

MutatorOptions Over(const VocabularyOptions& vocabulary) {
  MutatorOptions options;
  options.vocabulary = vocabulary;
  return options;
}

}  // namespace

Mutator::Mutator(const VocabularyOptions& options) : Mutator(Over(options)) {}

Mutator::Mutator(const MutatorOptions& options)
    : options_(options), vocabulary_(options.vocabulary) {}

void Mutator::Mutate(Random& random, Program* program) {
  program->expectations.clear();
  program->description.clear();
  if (program->steps.empty()) {
    vocabulary_.Generate(random, program);
  } else {
    const size_t at = random.Below(program->steps.size() + 1);
    const Step step = vocabulary_.NextStep(
        random, program->config,
        absl::MakeConstSpan(program->steps).subspan(0, at));
    program->steps.insert(program->steps.begin() + static_cast<int64_t>(at),
                          step);
  }
  Normalise(program);
}

void Mutator::CrossOver(Random& random, const Program& other,
                        Program* program) {
  if (!other.steps.empty()) {
    program->steps.push_back(other.steps[random.Below(other.steps.size())]);
  }
  Normalise(program);
}

void Mutator::Normalise(Program* program) const {
  if (!options_.any_kernel) {
    program->config.profile = options_.vocabulary.profile;
    program->config.defects = options_.vocabulary.defects;
  }
  if (program->steps.size() > options_.max_steps) {
    program->steps.resize(options_.max_steps);
  }
}

}  // namespace lockstep
