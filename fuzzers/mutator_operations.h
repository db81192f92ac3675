// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The operations behind Mutator: a row each. Only for the mutator and its
// tests.
//
// A draw inside an argument list would depend on the compiler's order of
// evaluation: in these files every draw that another one stands beside is a
// statement of its own.

#ifndef LOCKSTEP_FUZZERS_MUTATOR_OPERATIONS_H_
#define LOCKSTEP_FUZZERS_MUTATOR_OPERATIONS_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/program.h"
#include "engine/step.h"
#include "fuzzers/mutator.h"
#include "props/random.h"
#include "props/vocabulary.h"

namespace lockstep {

struct MutationContext {
  Random& random;
  Vocabulary& vocabulary;
  const MutatorOptions& options;
  // The program that steps come from in a crossover; null in a mutation.
  const Program* other = nullptr;

  // The position of an item among so many. REQUIRES: count > 0.
  size_t Pick(size_t count) const {
    return static_cast<size_t>(random.Below(count));
  }
};

// False if the program has nothing that this operation could change; it is then
// as it was. True does not promise that it changed: a field may be drawn again
// as it is.
using MutationFunction = bool (*)(const MutationContext& context,
                                  Program* program);

struct MutationOperation {
  absl::string_view name;  // "move-steps"
  absl::string_view what;
  uint32_t weight;  // how likely beside the others of its table
  MutationFunction apply;
};

// REQUIRES (of every one): the program has at least one step.
absl::Span<const MutationOperation> AllMutations();
// REQUIRES (of every one): both programs have at least one step.
absl::Span<const MutationOperation> AllCrossOvers();

namespace mutator_internal {

// A run of steps: program->steps[first, first + count).
struct Run {
  size_t first = 0;
  size_t count = 0;
};
// A run of at least one step, short ones more often.
// REQUIRES: 0 < steps, 0 < most.
Run PickRun(Random& random, size_t steps, size_t most);

// mutator_steps.cc: which steps, in which order.
bool InsertStep(const MutationContext& context, Program* program);
bool InsertRun(const MutationContext& context, Program* program);
bool DeleteStep(const MutationContext& context, Program* program);
bool DeleteRun(const MutationContext& context, Program* program);
bool DuplicateStep(const MutationContext& context, Program* program);
bool RepeatRun(const MutationContext& context, Program* program);
bool MoveStep(const MutationContext& context, Program* program);
bool MoveRun(const MutationContext& context, Program* program);
bool SwapSteps(const MutationContext& context, Program* program);
bool ReplaceStep(const MutationContext& context, Program* program);
bool ReplaceTail(const MutationContext& context, Program* program);
bool StartAnew(const MutationContext& context, Program* program);
bool SpliceTail(const MutationContext& context, Program* program);
bool SpliceRun(const MutationContext& context, Program* program);
bool ExchangeRun(const MutationContext& context, Program* program);
bool Interleave(const MutationContext& context, Program* program);
bool TakeConfig(const MutationContext& context, Program* program);

// mutator_fields.cc: what a step says.
bool RedrawFields(const MutationContext& context, Program* program);
bool RedrawOneField(const MutationContext& context, Program* program);
bool ShareRange(const MutationContext& context, Program* program);
bool TouchBoundary(const MutationContext& context, Program* program);
bool ShiftAddress(const MutationContext& context, Program* program);
bool ResizeRange(const MutationContext& context, Program* program);
bool LeavePage(const MutationContext& context, Program* program);
bool FlipFlag(const MutationContext& context, Program* program);
bool FlipProtection(const MutationContext& context, Program* program);
bool ChangeCall(const MutationContext& context, Program* program);
bool ChangeTask(const MutationContext& context, Program* program);
bool ChangeTaskOfRun(const MutationContext& context, Program* program);
bool ChangeSlot(const MutationContext& context, Program* program);
bool AddInterleaving(const MutationContext& context, Program* program);
bool DropInterleaving(const MutationContext& context, Program* program);
bool ChangeInterleaving(const MutationContext& context, Program* program);
bool MoveIntoCall(const MutationContext& context, Program* program);
bool MoveOutOfCall(const MutationContext& context, Program* program);

// mutator_config.cc: what it starts with.
bool RedrawConfig(const MutationContext& context, Program* program);
bool RedrawConfigField(const MutationContext& context, Program* program);
bool LimitAtBoundary(const MutationContext& context, Program* program);
bool ChangeKernel(const MutationContext& context, Program* program);
bool FlipDefect(const MutationContext& context, Program* program);

// Only what a file can say: unused fields zeroed, slots within their number, so
// that what is loaded from the program's bytes equals it.
void NormaliseStep(const Config& config, Step* step);

}  // namespace mutator_internal

}  // namespace lockstep

#endif  // LOCKSTEP_FUZZERS_MUTATOR_OPERATIONS_H_
