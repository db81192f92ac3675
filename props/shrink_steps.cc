// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Shrink passes over steps, interleavings, calls and flags.

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "engine/uapi.h"
#include "props/shrink_order.h"
#include "props/shrink_passes.h"

namespace lockstep::shrink_internal {
namespace {

// The call for one range in place of one for all of the address space.
Op RangedOp(Op op) {
  switch (op) {
    case Op::kMlockall:
      return Op::kMlock;
    case Op::kMunlockall:
    case Op::kExec:
    case Op::kExit:
      return Op::kMunlock;
    default:
      return Op::kNone;
  }
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

// For each step the simpler call with its own arguments; then, for what
// concerns the whole address space, the call for the range of one mapping.
std::optional<Program> SimplifyOp(const Program& program, uint64_t index) {
  const size_t steps = program.steps.size();
  const size_t variants = steps + 1;
  if (index / variants >= steps) return std::nullopt;
  Program result = Bare(program);
  Step& step = result.steps[index / variants];
  if (index % variants == 0) {
    const Op simpler = SimplerOp(step.op);
    if (simpler == Op::kNone) return result;
    step.op = simpler;
  } else {
    const Step& mapping = program.steps[index % variants - 1];
    const Op simpler = RangedOp(step.op);
    if (simpler == Op::kNone || mapping.op != Op::kMmap) return result;
    step.op = simpler;
    step.addr = mapping.addr;
    step.length = mapping.length;
  }
  // What was a flag of the old call means nothing to the new one.
  ClearUnusedFields(&step);
  return result;
}

// Without a step that locks, but with a mapping that is locked from the start.
std::optional<Program> MergeLock(const Program& program, uint64_t index) {
  const size_t steps = program.steps.size();
  if (steps == 0 || index / steps >= steps) return std::nullopt;
  const size_t lock = index / steps;
  const size_t mapping = index % steps;
  const Op op = program.steps[lock].op;
  if ((op != Op::kMlock && op != Op::kMlock2 && op != Op::kMlockall) ||
      program.steps[mapping].op != Op::kMmap) {
    return Bare(program);
  }
  Program result = Bare(program);
  result.steps[mapping].flags |= uapi::kMapLocked;
  result.steps.erase(result.steps.begin() + static_cast<ptrdiff_t>(lock));
  return result;
}

// For each step first all unusual bits at once, then the protection, then the
// map type, which only makes sense as a whole, then each bit alone.
std::optional<Program> DropFlag(const Program& program, uint64_t index) {
  for (size_t i = 0; i < program.steps.size(); ++i) {
    const Step& step = program.steps[i];
    const uint32_t flags = UnusualFlags(step);
    const uint32_t prot = UnusualProtection(step);
    const uint32_t type = step.op == Op::kMmap ? flags & uapi::kMapType : 0;
    std::vector<std::pair<uint32_t, uint32_t>> changes = {
        {flags, prot}, {0, prot}, {type, 0}};
    for (uint32_t bits = flags; bits != 0; bits &= bits - 1) {
      changes.emplace_back(bits & (~bits + 1), 0);
    }
    for (uint32_t bits = prot; bits != 0; bits &= bits - 1) {
      changes.emplace_back(0, bits & (~bits + 1));
    }
    if (index >= changes.size()) {
      index -= changes.size();
      continue;
    }
    Program result = Bare(program);
    result.steps[i].flags ^= changes[index].first;
    result.steps[i].prot ^= changes[index].second;
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
