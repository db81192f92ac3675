// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The one definition of "simpler": a lazy list of simpler candidates of a
// program. Order: fewer steps, simpler steps, smaller configuration, smaller
// numbers (short-lex).

#ifndef LOCKSTEP_PROPS_SHRINK_H_
#define LOCKSTEP_PROPS_SHRINK_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/program.h"
#include "props/property.h"

namespace lockstep {

// One kind of simplification: a row of the passes' table.
struct ShrinkPass {
  absl::string_view name;  // "delete-step"
  absl::string_view what;
  // Candidate number `index` of this program, or nothing when there are no
  // more. An index whose candidate would equal the program is passed over by
  // returning the program itself.
  std::optional<Program> (*candidate)(const Program& program, uint64_t index);
};
absl::Span<const ShrinkPass> AllShrinkPasses();

// The simpler candidates of a program, one after the other, in the order of the
// passes. Never yields the program itself.
class SimplerPrograms {
 public:
  explicit SimplerPrograms(Program program);
  std::optional<Program> Next();
  // The pass that the last candidate came from.
  const ShrinkPass& pass() const;

 private:
  Program program_;
  size_t pass_ = 0;
  uint64_t index_ = 0;
};

// Short-lex: fewer steps first, then simpler steps, configuration, numbers. A
// strict weak order; every candidate of SimplerPrograms is before its program.
bool IsSimpler(const Program& a, const Program& b);

// The program without what does not matter: no expectations or description,
// unused fields zeroed, slots and pages renumbered from 0 where the order of
// first use allows. Behaviour is not promised to be the same: a caller checks.
Program Canonical(const Program& program);

struct ShrinkResult {
  Program program;      // a fixpoint: no candidate still fails
  Violation violation;  // of the shrunk program
  uint64_t tried = 0;   // candidates run
};
// Does the program still fail the same property in the same way? Returns its
// violation if so.
using StillFails =
    std::function<std::optional<Violation>(const Program& program)>;
// Shrinks to a fixpoint, remembering candidates already tried.
// REQUIRES: still_fails(program) has a value.
ShrinkResult Shrink(const Program& program, const StillFails& still_fails);

// Same property, in the same way: what two violations must share to count as
// one finding. The property and the outcome seen, not the numbers; for a
// contract the call that broke it, too. An invariant is about the state of the
// machine, which many calls can spoil by one bug.
bool SameViolation(const Program& program_a, const Violation& a,
                   const Program& program_b, const Violation& b);

// 64 bits that name a shrunk program's finding, equal on every machine.
uint64_t Fingerprint(const Program& program);

}  // namespace lockstep

#endif  // LOCKSTEP_PROPS_SHRINK_H_
