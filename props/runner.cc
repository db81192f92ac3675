// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/runner.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>
#include <vector>

#include "absl/base/attributes.h"
#include "engine/reference/reference_engine.h"
#include "props/agreement.h"
#include "props/contracts.h"
#include "props/invariants.h"

namespace lockstep {
namespace {

constexpr uint32_t kAllTasks = (uint32_t{1} << kTaskSlots) - 1;

// Calls that change what belongs to no task: segments, files, charges; and
// those that can take the last attachment of a removed segment away.
constexpr uint64_t kSharedOps = OpBit(Op::kShmget) | OpBit(Op::kShmctl) |
                                OpBit(Op::kShmat) | OpBit(Op::kShmdt) |
                                OpBit(Op::kFtruncate);
constexpr uint64_t kUnmappingOps = OpBit(Op::kMmap) | OpBit(Op::kMunmap) |
                                   OpBit(Op::kMremap) | OpBit(Op::kBrk) |
                                   OpBit(Op::kExec) | OpBit(Op::kExit);

bool MayChangeShared(Op op, const World& before, const StepEvents& events) {
  if ((kSharedOps & OpBit(op)) != 0 || events.fatal_signal) return true;
  if ((kUnmappingOps & OpBit(op)) == 0) return false;
  for (const ShmState& segment : before.shm) {
    if (segment.removed) return true;
  }
  return false;
}

void ObserveShared(const Engine& engine, World* world) {
  for (int slot = 0; slot < kShmSlots; ++slot) {
    world->shm[slot] = engine.ObserveShm(slot);
  }
  for (int uid = 0; uid < kUsers; ++uid) {
    world->locked_shm[uid] = engine.LockedShm(uid);
  }
  for (int slot = 0; slot < kFileSlots; ++slot) {
    world->file_size[slot] = engine.FileSize(slot);
  }
}

void CopyShared(const World& from, World* to) {
  to->shm = from.shm;
  to->locked_shm = from.locked_shm;
  to->file_size = from.file_size;
}

// The contracts that concern an op: those that look before the step, then the
// others by when they are asked.
struct OpContracts {
  using Rows = std::vector<const Contract*>;
  Rows preparing, always, of_exceptions, of_other_tasks, laws;
};
using ContractTable = std::array<OpContracts, kOpCount>;
const ContractTable& ContractsByOp() {
  static const ContractTable& by_op = *[] {
    auto* table = new ContractTable();
    auto rows = [](OpContracts& entry,
                   const Contract& contract) -> OpContracts::Rows& {
      if (contract.prepare != nullptr) return entry.preparing;
      switch (contract.asked) {
        case Asked::kAlways:
          break;
        case Asked::kOfExceptions:
          return entry.of_exceptions;
        case Asked::kOfOtherTasks:
          return entry.of_other_tasks;
        case Asked::kLaw:
          return entry.laws;
      }
      return entry.always;
    };
    for (const Contract& contract : AllContracts()) {
      for (int i = 0; i < kOpCount; ++i) {
        if ((contract.ops >> i & 1) == 0) continue;
        rows((*table)[i], contract).push_back(&contract);
      }
    }
    return table;
  }();
  return by_op;
}

// The first that does not hold; nullptr if all do.
const Contract* FirstBroken(const OpContracts::Rows& rows,
                            const StepContext& context, Mismatch* mismatch) {
  for (const Contract* contract : rows) {
    if (!contract->holds(context, mismatch)) return contract;
  }
  return nullptr;
}

// Asks the contracts that have something to say about the step, or all of them.
const Contract* CheckContracts(const OpContracts& contracts,
                               const std::vector<uint64_t>& prepared, bool all,
                               StepContext& context, Mismatch* mismatch) {
  for (size_t i = 0; i < contracts.preparing.size(); ++i) {
    context.prepared = prepared[i];
    if (!contracts.preparing[i]->holds(context, mismatch)) {
      return contracts.preparing[i];
    }
  }
  context.prepared = 0;
  const Contract* broken = FirstBroken(contracts.always, context, mismatch);
  if (broken != nullptr) return broken;
  if (all || !context.task_before().exists || !context.outcome.ran() ||
      context.events.fatal_signal) {
    broken = FirstBroken(contracts.of_exceptions, context, mismatch);
    if (broken != nullptr) return broken;
  }
  const uint32_t own = uint32_t{1} << context.step.task % kTaskSlots;
  if (all || (context.changed & ~own) != 0) {
    broken = FirstBroken(contracts.of_other_tasks, context, mismatch);
    if (broken != nullptr) return broken;
  }
  // The rows are asked which law it is; a full check asks nothing but the rows,
  // so that the two ways are held against each other.
  if (!all && contracts::LawsHold(context)) return nullptr;
  return FirstBroken(contracts.laws, context, mismatch);
}

// Built apart, for Run to be small.
ABSL_ATTRIBUTE_NOINLINE std::optional<Violation> ViolationOf(
    absl::string_view property, size_t step, const Mismatch& mismatch) {
  return Violation{std::string(property), step, mismatch.expected,
                   mismatch.seen};
}

}  // namespace

struct Runner::State {
  Config config;
  const ContractTable& contracts = ContractsByOp();
  World before;
  World after;
  // Bits of the tasks whose `after` is out of date: older than `before`.
  uint32_t stale = 0;
  InvariantChecker invariants;
  Mismatch mismatch;  // of a property that fails; kept to keep its memory
  std::vector<uint64_t> prepared;  // by the step's preparing contracts
};

Runner::Runner(Engine* engine, Checking checking, Rules rules)
    : engine_(engine),
      reference_(rules == Rules::kAll
                     ? dynamic_cast<reference::ReferenceEngine*>(engine)
                     : nullptr),
      checking_(checking),
      state_(std::make_unique<State>()) {}
Runner::~Runner() = default;

const World& Runner::world() const { return state_->before; }

absl::Status Runner::Start(const Config& config) {
  if (absl::Status status = engine_->Reset(config); !status.ok()) return status;
  steps_ = 0;
  outcome_ = Outcome();
  state_->config = config;
  if (checking_ == Checking::kNone) return absl::OkStatus();
  state_->stale = 0;
  for (int task = 0; task < kTaskSlots; ++task) {
    TaskState& before = state_->before.tasks[task];
    engine_->Observe(task, &before);
    // One empty slot is like another.
    if (!before.exists && !state_->after.tasks[task].exists) continue;
    state_->stale |= uint32_t{1} << task;
  }
  ObserveShared(*engine_, &state_->before);
  CopyShared(state_->before, &state_->after);
  if (reference_ != nullptr) state_->invariants.Start(reference_->machine());
  return absl::OkStatus();
}

std::optional<Violation> Runner::Run(const Step& step) {
  if (checking_ == Checking::kNone) {
    outcome_ = engine_->Run(step);
    ++steps_;
    return std::nullopt;
  }
  const OpContracts& contracts = state_->contracts[static_cast<int>(step.op)];
  if (!contracts.preparing.empty()) Prepare(step);
  outcome_ = engine_->Run(step);
  const absl::string_view broken = Check(step);
  const size_t index = steps_++;
  if (broken.empty()) return std::nullopt;
  return ViolationOf(broken, index, state_->mismatch);
}

void Runner::Prepare(const Step& step) {
  const OpContracts& contracts = state_->contracts[static_cast<int>(step.op)];
  state_->prepared.clear();
  for (const Contract* contract : contracts.preparing) {
    state_->prepared.push_back(
        contract->prepare(step, state_->before, *engine_));
  }
}

absl::string_view Runner::Check(const Step& step) {
  State& state = *state_;
  const bool full = checking_ == Checking::kFull;
  const uint32_t changed = full ? kAllTasks : engine_->ChangedTasks();
  for (uint32_t left = changed; left != 0; left &= left - 1) {
    int task = std::countr_zero(left);
    engine_->Observe(task, &state.after.tasks[task]);
  }
  StepEvents events = engine_->Events();
  bool shared = full || MayChangeShared(step.op, state.before, events);
  if (shared) ObserveShared(*engine_, &state.after);
  // The world after a step that changed nothing is the one before it.
  const bool same = changed == 0 && !shared;
  if (!same) {
    for (uint32_t left = state.stale & ~changed; left != 0; left &= left - 1) {
      int task = std::countr_zero(left);
      state.after.tasks[task] = state.before.tasks[task];
    }
    state.stale = changed;  // once before and after have changed places, below
  }

  absl::string_view broken;
  if (reference_ != nullptr) {
    const reference::Machine& machine = reference_->machine();
    const Invariant* failed =
        full ? state.invariants.CheckAll(machine, &state.mismatch)
             : state.invariants.CheckTouched(machine, &state.mismatch);
    if (failed != nullptr) broken = failed->name;
  }
  if (broken.empty()) {
    StepContext context{.config = state.config,
                        .step = step,
                        .outcome = outcome_,
                        .before = state.before,
                        .after = same ? state.before : state.after,
                        .engine = *engine_,
                        .events = events,
                        .changed = changed};
    const Contract* failed =
        CheckContracts(state.contracts[static_cast<int>(step.op)],
                       state.prepared, full, context, &state.mismatch);
    if (failed != nullptr) broken = failed->name;
  }
  // What is now is what the next step starts from.
  for (uint32_t left = changed; left != 0; left &= left - 1) {
    int task = std::countr_zero(left);
    std::swap(state.before.tasks[task], state.after.tasks[task]);
  }
  if (shared) CopyShared(state.after, &state.before);
  return broken;
}

absl::StatusOr<std::optional<Violation>> Runner::Run(const Program& program) {
  if (absl::Status status = Start(program.config); !status.ok()) return status;
  for (const Step& step : program.steps) {
    if (std::optional<Violation> violation = Run(step)) return violation;
  }
  return std::nullopt;
}

absl::string_view NameOf(PropertyKind kind) {
  switch (kind) {
    case PropertyKind::kInvariant:
      return "invariant";
    case PropertyKind::kContract:
      return "contract";
    case PropertyKind::kAgreement:
      break;
  }
  return "agreement";
}

absl::Span<const PropertyInfo> AllProperties() {
  static const auto& all = *[] {
    auto* table = new std::vector<PropertyInfo>();
    for (const Invariant& row : AllInvariants()) {
      table->push_back(
          {row.name, row.statement, row.source, PropertyKind::kInvariant});
    }
    for (const Contract& row : AllContracts()) {
      table->push_back(
          {row.name, row.statement, row.source, PropertyKind::kContract});
    }
    for (const Agreement& row : AllAgreements()) {
      table->push_back(
          {row.name, row.statement, row.source, PropertyKind::kAgreement});
    }
    table->push_back(
        {kAgreeEnd, "a program that ends on one engine ends on the other",
         "the executor's clock and wait status", PropertyKind::kAgreement});
    return table;
  }();
  return all;
}

}  // namespace lockstep
