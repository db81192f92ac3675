// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// What a program must do on a kernel that keeps its documentation: the outcome
// of each step and the state after it, taken from a model without defects.
// Where kernels from v4.9 on differ by design, each of their answers is right.
//
// Only what a user-space process can do and see on any Linux is in it. What the
// rest of the machine does (environment actions, interleavings) and what is
// newer than the documented kernel is left out, with the reason.

#ifndef LOCKSTEP_TOOLS_DOCUMENTED_H_
#define LOCKSTEP_TOOLS_DOCUMENTED_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/engine.h"
#include "engine/outcome.h"
#include "engine/program.h"
#include "engine/step.h"
#include "engine/units.h"

namespace lockstep {

struct PageSpan {
  Vpn start, end;
  bool operator==(const PageSpan&) const = default;
};

struct DocumentedStep {
  size_t index = 0;      // in the program
  Step step;             // without interleavings
  std::string left_out;  // why it cannot be done here; empty: it is done
  // The outcomes that are right: one, or several where kernels differ.
  std::vector<Outcome> outcomes;
  // An allocation failed in it: the program's machine has too little memory.
  bool out_of_memory = false;
  // The step's task as it is before the step.
  TaskState before;
  // After the step: pages of locked_vm of the step's task, where it is known.
  std::optional<Pages> locked_vm;
  bool cap_ipc_lock = false;
  // Some of locked_vm is where the kernel chose to put it, outside the arena.
  bool locked_elsewhere = false;
  // Pages of locked mappings that must be resident, and pages of lock-on-fault
  // mappings that must not be, both in the arena and by address.
  std::vector<PageSpan> resident, absent;
  // Private pages of locked mappings, in the arena, that must be Mlocked.
  std::vector<PageSpan> mlocked;
};

struct DocumentedProgram {
  const Profile* profile = nullptr;
  std::vector<DocumentedStep> steps;
  // What makes the program useless on a real kernel; empty: it can be run.
  std::vector<std::string> obstacles;
  // The program has environment actions or interleavings.
  bool needs_environment = false;
};

// The most bytes a reproducer asks a real kernel to populate.
inline constexpr uint64_t kPopulateBudget = 64 << 20;

// The engine is used and left in some state. `any_machine`: the program must
// mean the same wherever it runs, so what hangs on the processor or on how the
// kernel was configured is left out. A finding of a real kernel is a fact of
// that one: false.
absl::StatusOr<DocumentedProgram> Document(const Program& program,
                                           Engine* engine,
                                           bool any_machine = true);

// The profile whose rules the program is held to: its own, or the default one
// where its own lacks documented calls (mlock2).
const Profile& DocumentedProfile(const Program& program);

// Where a heap address of the model, or an arena address, is.
bool InArena(uint64_t address);
bool InHeap(uint64_t address);

}  // namespace lockstep

#endif  // LOCKSTEP_TOOLS_DOCUMENTED_H_
