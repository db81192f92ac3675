// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Shrink passes over steps, interleavings, calls and flags.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <utility>

#include "props/shrink_order.h"
#include "props/shrink_passes.h"

namespace lockstep::shrink_internal {
namespace {

// The position of the `index`-th set bit. REQUIRES: there is one.
int NthBit(uint32_t bits, uint64_t index) {
  while (index-- > 0) bits &= bits - 1;
  return std::countr_zero(bits);
}

Program WithoutSteps(const Program& program, size_t first, size_t count) {
  Program result;
  result.config = program.config;
  result.steps.reserve(program.steps.size() - count);
  const auto begin = program.steps.begin();
  result.steps.insert(result.steps.end(), begin,
                      begin + static_cast<ptrdiff_t>(first));
  result.steps.insert(result.steps.end(),
                      begin + static_cast<ptrdiff_t>(first + count),
                      program.steps.end());
  return result;
}

}  // namespace

Program Bare(const Program& program) {
  Program result;
  result.config = program.config;
  result.steps = program.steps;
  return result;
}

std::optional<Program> DropNotes(const Program& program, uint64_t index) {
  if (index > 0) return std::nullopt;
  return Bare(program);
}

std::optional<Program> ClearUnused(const Program& program, uint64_t index) {
  if (index > 0) return std::nullopt;
  Program result = Bare(program);
  for (Step& step : result.steps) ClearUnusedFields(&step);
  return result;
}

// Halves, quarters, ... down to two steps, each from the end: what comes after
// the violation goes first.
std::optional<Program> DeleteChunk(const Program& program, uint64_t index) {
  const size_t steps = program.steps.size();
  for (size_t size = steps / 2; size >= 2; size /= 2) {
    const size_t chunks = (steps + size - 1) / size;
    if (index >= chunks) {
      index -= chunks;
      continue;
    }
    const size_t end = steps - index * size;
    const size_t first = end > size ? end - size : 0;
    return WithoutSteps(program, first, end - first);
  }
  return std::nullopt;
}

std::optional<Program> DeleteStep(const Program& program, uint64_t index) {
  const size_t steps = program.steps.size();
  if (index >= steps) return std::nullopt;
  return WithoutSteps(program, steps - 1 - index, 1);
}

// Two steps that undo each other can only go together. Quadratic, so only for
// programs that are short already.
std::optional<Program> DeletePair(const Program& program, uint64_t index) {
  constexpr size_t kMost = 24;
  const size_t steps = program.steps.size();
  if (steps > kMost) return std::nullopt;
  for (size_t second = 1; second < steps; ++second) {
    if (index < second) {
      const Program without_second = WithoutSteps(program, second, 1);
      return WithoutSteps(without_second, index, 1);
    }
    index -= second;
  }
  return std::nullopt;
}

std::optional<Program> DeleteDuring(const Program& program, uint64_t index) {
  for (size_t i = 0; i < program.steps.size(); ++i) {
    const int count = program.steps[i].during_count;
    if (index >= static_cast<uint64_t>(count)) {
      index -= static_cast<uint64_t>(count);
      continue;
    }
    Program result = Bare(program);
    Step& step = result.steps[i];
    for (int j = static_cast<int>(index); j + 1 < count; ++j) {
      step.during[j] = step.during[j + 1];
    }
    step.during[count - 1] = During();
    --step.during_count;
    return result;
  }
  return std::nullopt;
}

std::optional<Program> SimplifyOp(const Program& program, uint64_t index) {
  if (index >= program.steps.size()) return std::nullopt;
  const Op simpler = SimplerOp(program.steps[index].op);
  Program result = Bare(program);
  if (simpler == Op::kNone) return result;
  Step& step = result.steps[index];
  step.op = simpler;
  // What was a flag of the old call means nothing to the new one.
  ClearUnusedFields(&step);
  return result;
}

// For each step first all unusual bits at once, then each alone.
std::optional<Program> DropFlag(const Program& program, uint64_t index) {
  for (size_t i = 0; i < program.steps.size(); ++i) {
    const Step& step = program.steps[i];
    const uint32_t flags = UnusualFlags(step);
    const uint32_t prot = UnusualProtection(step);
    const uint64_t flag_bits = static_cast<uint64_t>(std::popcount(flags));
    const uint64_t prot_bits = static_cast<uint64_t>(std::popcount(prot));
    const uint64_t candidates = 1 + flag_bits + prot_bits;
    if (index >= candidates) {
      index -= candidates;
      continue;
    }
    Program result = Bare(program);
    Step& changed = result.steps[i];
    if (index == 0) {
      changed.flags ^= flags;
      changed.prot ^= prot;
    } else if (index <= flag_bits) {
      changed.flags ^= uint32_t{1} << NthBit(flags, index - 1);
    } else {
      changed.prot ^= uint32_t{1} << NthBit(prot, index - 1 - flag_bits);
    }
    return result;
  }
  return std::nullopt;
}

// Steps, and actions of one step, that can change places get one order.
std::optional<Program> SwapSteps(const Program& program, uint64_t index) {
  const size_t steps = program.steps.size();
  if (steps == 0) return std::nullopt;
  if (index < steps - 1) {
    Program result = Bare(program);
    std::swap(result.steps[index], result.steps[index + 1]);
    return result;
  }
  index -= steps - 1;
  if (index >= steps) return std::nullopt;
  Program result = Bare(program);
  Step& step = result.steps[index];
  if (step.during_count == 2) std::swap(step.during[0], step.during[1]);
  return result;
}

}  // namespace lockstep::shrink_internal
