// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Property: a rule with a name that is checked after every step.
//
// A contract speaks about steps, outcomes and observations of any engine. An
// invariant looks inside the reference machine. An agreement says that two
// engines show the same. All compute what must hold from first principles and
// compare; they never change state and never abort.

#ifndef LOCKSTEP_PROPS_PROPERTY_H_
#define LOCKSTEP_PROPS_PROPERTY_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/engine.h"
#include "engine/outcome.h"
#include "engine/program.h"
#include "engine/step.h"

namespace lockstep {

enum class PropertyKind : uint8_t { kInvariant, kContract, kAgreement };
// "invariant", "contract", "agreement".
absl::string_view NameOf(PropertyKind kind);

// Where a property that does not hold says why. Filled only on failure, so a
// property that holds builds no string.
struct Mismatch {
  std::string expected;
  std::string seen;
};

// Everything that can be observed between two steps, task by task.
struct World {
  std::array<TaskState, kTaskSlots> tasks;
  std::array<ShmState, kShmSlots> shm;
  std::array<Pages, kUsers> locked_shm;
  std::array<uint64_t, kFileSlots> file_size{};
};

// One step as a contract sees it.
struct StepContext {
  const Config& config;
  const Step& step;
  const Outcome& outcome;
  const World& before;
  const World& after;
  // For questions about single pages, as they are after the step.
  const Engine& engine;
  StepEvents events;
  // Bits of the tasks whose state the step may have changed.
  uint32_t changed = ~uint32_t{0};
  // What the contract's prepare returned before the step.
  uint64_t prepared = 0;

  const TaskState& task_before() const {
    return before.tasks[step.task % kTaskSlots];
  }
  const TaskState& task_after() const {
    return after.tasks[step.task % kTaskSlots];
  }
};

// Of which steps a contract says anything; it is not asked after the others.
enum class Asked : uint8_t {
  kAlways,
  // That were skipped, or of a task that did not exist, or with a fatal signal.
  kOfExceptions,
  // That may have changed another task than their own.
  kOfOtherTasks,
  // A law of every task that the step may have changed, whatever the step was.
  // contracts::LawsHold answers for all laws in one pass.
  kLaw,
};

// One row of the contracts' table.
struct Contract {
  absl::string_view name;       // "mlock-errno"
  absl::string_view statement;  // one line: what must hold
  absl::string_view source;  // kernel function, specification claim, book page
  // Bit i: steps with Op i concern this contract; others are not shown to it.
  uint64_t ops;
  // True if it holds; else fills *mismatch.
  bool (*holds)(const StepContext& context, Mismatch* mismatch);
  // What must be looked at before the step; may be null. Called only for steps
  // that concern the contract.
  uint64_t (*prepare)(const Step& step, const World& before,
                      const Engine& engine) = nullptr;
  Asked asked = Asked::kAlways;
};
absl::Span<const Contract> AllContracts();

constexpr uint64_t OpBit(Op op) { return uint64_t{1} << static_cast<int>(op); }
inline constexpr uint64_t kEveryOp = ~uint64_t{0};

// A property that did not hold.
struct Violation {
  std::string property;
  size_t step = 0;  // index
  std::string expected;
  std::string seen;
  bool operator==(const Violation&) const = default;
};

// What the catalogue shows of a property of either kind.
struct PropertyInfo {
  absl::string_view name;
  absl::string_view statement;
  absl::string_view source;
  PropertyKind kind;
};
// Every property: invariants, contracts, agreements. Names are unique.
absl::Span<const PropertyInfo> AllProperties();

}  // namespace lockstep

#endif  // LOCKSTEP_PROPS_PROPERTY_H_
