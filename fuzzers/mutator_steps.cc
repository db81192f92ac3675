// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Mutations of the sequence of steps, and crossovers.

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "fuzzers/mutator_operations.h"

namespace lockstep::mutator_internal {
namespace {

using Steps = std::vector<Step>;

Steps::iterator At(Steps* steps, size_t index) {
  return steps->begin() + static_cast<std::ptrdiff_t>(index);
}
Steps::const_iterator At(const Steps& steps, size_t index) {
  return steps.begin() + static_cast<std::ptrdiff_t>(index);
}

// How many steps may still be added; the program may be longer than mutation
// makes one.
size_t RoomIn(const MutationContext& context, const Program& program) {
  const size_t most = context.options.max_steps;
  return most - std::min(most, program.steps.size());
}

Steps Copy(const Steps& steps, Run run) {
  return {At(steps, run.first), At(steps, run.first + run.count)};
}
void Insert(const Steps& run, size_t at, Steps* steps) {
  steps->insert(At(steps, at), run.begin(), run.end());
}
void Erase(Run run, Steps* steps) {
  steps->erase(At(steps, run.first), At(steps, run.first + run.count));
}

Step DrawStep(const MutationContext& context, const Program& program,
              size_t at) {
  return context.vocabulary.NextStep(
      context.random, program.config,
      absl::MakeConstSpan(program.steps).first(at));
}

constexpr size_t kLongRun = 16;

}  // namespace

Run PickRun(Random& random, size_t steps, size_t most) {
  most = std::min(most, steps);
  Run run;
  // The shorter of two draws.
  const size_t a = static_cast<size_t>(1 + random.Below(most));
  const size_t b = static_cast<size_t>(1 + random.Below(most));
  run.count = std::min(a, b);
  run.first = static_cast<size_t>(random.Below(steps - run.count + 1));
  return run;
}

bool InsertStep(const MutationContext& context, Program* program) {
  if (RoomIn(context, *program) == 0) return false;
  // What comes last sees the most done before it.
  const size_t size = program->steps.size();
  const size_t at = context.random.OneIn(3) ? size : context.Pick(size + 1);
  const Step step = DrawStep(context, *program, at);
  program->steps.insert(At(&program->steps, at), step);
  return true;
}

bool InsertRun(const MutationContext& context, Program* program) {
  const size_t room = std::min<size_t>(RoomIn(context, *program), 4);
  if (room < 2) return false;
  const size_t count = 2 + context.Pick(room - 1);
  const size_t at = context.Pick(program->steps.size() + 1);
  for (size_t i = 0; i < count; ++i) {
    const Step step = DrawStep(context, *program, at + i);
    program->steps.insert(At(&program->steps, at + i), step);
  }
  return true;
}

bool DeleteStep(const MutationContext& context, Program* program) {
  if (program->steps.size() < 2) return false;
  Erase({context.Pick(program->steps.size()), 1}, &program->steps);
  return true;
}

bool DeleteRun(const MutationContext& context, Program* program) {
  const size_t size = program->steps.size();
  if (size < 3) return false;
  Erase(PickRun(context.random, size, size - 1), &program->steps);
  return true;
}

bool DuplicateStep(const MutationContext& context, Program* program) {
  if (RoomIn(context, *program) == 0) return false;
  const Step step = program->steps[context.Pick(program->steps.size())];
  const size_t at = context.Pick(program->steps.size() + 1);
  program->steps.insert(At(&program->steps, at), step);
  return true;
}

bool RepeatRun(const MutationContext& context, Program* program) {
  const size_t room = RoomIn(context, *program);
  if (room == 0) return false;
  const size_t size = program->steps.size();
  const Run run = PickRun(context.random, size, std::min(room, kLongRun));
  const Steps copy = Copy(program->steps, run);
  const size_t at = context.Pick(size + 1);
  Insert(copy, at, &program->steps);
  return true;
}

bool MoveStep(const MutationContext& context, Program* program) {
  if (program->steps.size() < 2) return false;
  const size_t from = context.Pick(program->steps.size());
  const Step step = program->steps[from];
  Erase({from, 1}, &program->steps);
  const size_t at = context.Pick(program->steps.size() + 1);
  program->steps.insert(At(&program->steps, at), step);
  return true;
}

bool MoveRun(const MutationContext& context, Program* program) {
  const size_t size = program->steps.size();
  if (size < 3) return false;
  const Run run = PickRun(context.random, size, std::min(size - 1, kLongRun));
  const Steps copy = Copy(program->steps, run);
  Erase(run, &program->steps);
  const size_t at = context.Pick(program->steps.size() + 1);
  Insert(copy, at, &program->steps);
  return true;
}

bool SwapSteps(const MutationContext& context, Program* program) {
  const size_t size = program->steps.size();
  if (size < 2) return false;
  const size_t first = context.Pick(size - 1);
  // Neighbours half of the time.
  const size_t second = context.random.OneIn(2)
                            ? first + 1
                            : first + 1 + context.Pick(size - first - 1);
  std::swap(program->steps[first], program->steps[second]);
  return true;
}

bool ReplaceStep(const MutationContext& context, Program* program) {
  const size_t at = context.Pick(program->steps.size());
  program->steps[at] = DrawStep(context, *program, at);
  return true;
}

bool ReplaceTail(const MutationContext& context, Program* program) {
  const size_t size = program->steps.size();
  if (size < 2) return false;
  size_t at = 1 + context.Pick(size - 1);
  at = std::max(at, size - std::min(size, kLongRun));
  for (; at < size; ++at) {
    program->steps[at] = DrawStep(context, *program, at);
  }
  return true;
}

bool StartAnew(const MutationContext& context, Program* program) {
  const Config before = program->config;
  context.vocabulary.Generate(context.random, program);
  if (context.options.any_kernel) {
    program->config.profile = before.profile;
    program->config.defects = before.defects;
  }
  return true;
}

// ---- Crossovers ----

bool SpliceTail(const MutationContext& context, Program* program) {
  const size_t keep = 1 + context.Pick(program->steps.size());
  const size_t from = context.Pick(context.other->steps.size());
  program->steps.resize(keep);
  Insert(Copy(context.other->steps, {from, context.other->steps.size() - from}),
         keep, &program->steps);
  return true;
}

bool SpliceRun(const MutationContext& context, Program* program) {
  const size_t room = RoomIn(context, *program);
  if (room == 0) return false;
  const Run run = PickRun(context.random, context.other->steps.size(),
                          std::min(room, kLongRun));
  const size_t at = context.Pick(program->steps.size() + 1);
  Insert(Copy(context.other->steps, run), at, &program->steps);
  return true;
}

bool ExchangeRun(const MutationContext& context, Program* program) {
  const Run out = PickRun(context.random, program->steps.size(), kLongRun);
  const Run in = PickRun(context.random, context.other->steps.size(), kLongRun);
  Erase(out, &program->steps);
  Insert(Copy(context.other->steps, in), out.first, &program->steps);
  return true;
}

bool Interleave(const MutationContext& context, Program* program) {
  const Steps& a = program->steps;
  const Steps& b = context.other->steps;
  const size_t most =
      std::min(a.size() + b.size(),
               std::max(context.options.max_steps, program->steps.size()));
  Steps merged;
  merged.reserve(most);
  size_t i = 0, j = 0;
  while (merged.size() < most) {
    const bool take_a =
        j == b.size() || (i < a.size() && context.random.OneIn(2));
    merged.push_back(take_a ? a[i++] : b[j++]);
  }
  program->steps = std::move(merged);
  return true;
}

bool TakeConfig(const MutationContext& context, Program* program) {
  if (program->config == context.other->config) return false;
  program->config = context.other->config;
  return true;
}

}  // namespace lockstep::mutator_internal
