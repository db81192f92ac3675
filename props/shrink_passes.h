// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The candidates of the shrink passes. Each function is a row of
// AllShrinkPasses(): candidate number `index`, or nothing when there are no
// more. They may return what is not simpler: SimplerPrograms leaves that out.
// Only for the files of shrink.

#ifndef LOCKSTEP_PROPS_SHRINK_PASSES_H_
#define LOCKSTEP_PROPS_SHRINK_PASSES_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/program.h"

namespace lockstep::shrink_internal {

// Configuration and steps, without expectations and description: these say
// what was seen of the program as it was.
Program Bare(const Program& program);

// Every address of the program that its calls use, in the order of the steps.
std::vector<Address*> AddressesOf(Program* program);

// shrink_steps.cc: steps, interleavings, calls, flags.
std::optional<Program> DropNotes(const Program& program, uint64_t index);
std::optional<Program> ClearUnused(const Program& program, uint64_t index);
std::optional<Program> DeleteChunk(const Program& program, uint64_t index);
std::optional<Program> DeleteStep(const Program& program, uint64_t index);
std::optional<Program> DeletePair(const Program& program, uint64_t index);
std::optional<Program> DeleteDuring(const Program& program, uint64_t index);
std::optional<Program> SimplifyOp(const Program& program, uint64_t index);
std::optional<Program> MergeLock(const Program& program, uint64_t index);
std::optional<Program> DropFlag(const Program& program, uint64_t index);
std::optional<Program> SwapSteps(const Program& program, uint64_t index);

// shrink_numbers.cc: configuration, slots, addresses, lengths, values.
std::optional<Program> DefaultConfig(const Program& program, uint64_t index);
std::optional<Program> StepToConfig(const Program& program, uint64_t index);
std::optional<Program> DefaultLimit(const Program& program, uint64_t index);
std::optional<Program> DefaultHugePages(const Program& program, uint64_t index);
std::optional<Program> BalanceLengths(const Program& program, uint64_t index);
std::optional<Program> SmallerConfig(const Program& program, uint64_t index);
std::optional<Program> SwapSlots(const Program& program, uint64_t index);
std::optional<Program> PlainAddress(const Program& program, uint64_t index);
std::optional<Program> SqueezePages(const Program& program, uint64_t index);
std::optional<Program> SmallerLength(const Program& program, uint64_t index);
std::optional<Program> ScaleDown(const Program& program, uint64_t index);
std::optional<Program> SmallerTogether(const Program& program, uint64_t index);
std::optional<Program> SmallerPage(const Program& program, uint64_t index);
std::optional<Program> SmallerNumber(const Program& program, uint64_t index);
std::optional<Program> Renumber(const Program& program, uint64_t index);

}  // namespace lockstep::shrink_internal

#endif  // LOCKSTEP_PROPS_SHRINK_PASSES_H_
