// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/runner.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>
#include <vector>

#include "engine/reference/reference_engine.h"
#include "props/agreement.h"
#include "props/invariants.h"

namespace lockstep {
namespace {

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

// The contracts that concern an op: those that look before the step, then those
// that speak of every step, then those that speak of changes only.
struct OpContracts {
  std::vector<const Contract*> rows;
  size_t preparing = 0;  // rows of the first kind
  size_t always = 0;     // rows of the first two
};
const OpContracts& ContractsOf(Op op) {
  static const auto& by_op = *[] {
    auto* table = new std::array<OpContracts, kOpCount>();
    auto kind = [](const Contract& contract) {
      if (contract.prepare != nullptr) return 0;
      return contract.only_of_changes ? 2 : 1;
    };
    for (int wanted = 0; wanted < 3; ++wanted) {
      for (const Contract& contract : AllContracts()) {
        if (kind(contract) != wanted) continue;
        for (int i = 0; i < kOpCount; ++i) {
          if ((contract.ops >> i & 1) == 0) continue;
          OpContracts& entry = (*table)[i];
          entry.rows.push_back(&contract);
          if (wanted == 0) ++entry.preparing;
          if (wanted <= 1) ++entry.always;
        }
      }
    }
    return table;
  }();
  return by_op[static_cast<int>(op)];
}

Violation MakeViolation(absl::string_view property, size_t step,
                        const Mismatch& mismatch) {
  return {std::string(property), step, mismatch.expected, mismatch.seen};
}

}  // namespace

struct Runner::State {
  Config config;
  World before;
  World after;
  InvariantChecker invariants;
  Mismatch mismatch;  // of a property that fails; kept to keep its memory
  std::vector<uint64_t> prepared;  // by the step's preparing contracts
};

Runner::Runner(Engine* engine, Checking checking)
    : engine_(engine),
      reference_(dynamic_cast<reference::ReferenceEngine*>(engine)),
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
  for (int task = 0; task < kTaskSlots; ++task) {
    engine_->Observe(task, &state_->before.tasks[task]);
    state_->after.tasks[task] = state_->before.tasks[task];
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
  const OpContracts& contracts = ContractsOf(step.op);
  state_->prepared.resize(
      std::max(state_->prepared.size(), contracts.preparing));
  for (size_t i = 0; i < contracts.preparing; ++i) {
    state_->prepared[i] =
        contracts.rows[i]->prepare(step, state_->before, *engine_);
  }
  outcome_ = engine_->Run(step);
  std::optional<Violation> violation = Check(step);
  ++steps_;
  return violation;
}

std::optional<Violation> Runner::Check(const Step& step) {
  State& state = *state_;
  bool full = checking_ == Checking::kFull;
  uint32_t changed = full ? (1u << kTaskSlots) - 1 : engine_->ChangedTasks();
  for (uint32_t left = changed; left != 0; left &= left - 1) {
    int task = std::countr_zero(left);
    engine_->Observe(task, &state.after.tasks[task]);
  }
  StepEvents events = engine_->Events();
  bool shared = full || MayChangeShared(step.op, state.before, events);
  if (shared) ObserveShared(*engine_, &state.after);

  std::optional<Violation> violation;
  Mismatch& mismatch = state.mismatch;
  if (reference_ != nullptr) {
    const reference::Machine& machine = reference_->machine();
    const Invariant* failed =
        full ? state.invariants.CheckAll(machine, &mismatch)
             : state.invariants.CheckTouched(machine, &mismatch);
    if (failed != nullptr) {
      violation = MakeViolation(failed->name, steps_, mismatch);
    }
  }
  if (!violation) {
    StepContext context{.config = state.config,
                        .step = step,
                        .outcome = outcome_,
                        .before = state.before,
                        .after = state.after,
                        .engine = *engine_,
                        .events = events,
                        .changed = changed};
    const OpContracts& contracts = ContractsOf(step.op);
    size_t count = changed != 0 ? contracts.rows.size() : contracts.always;
    for (size_t i = 0; i < count; ++i) {
      const Contract& contract = *contracts.rows[i];
      context.prepared = i < contracts.preparing ? state.prepared[i] : 0;
      if (contract.holds(context, &mismatch)) continue;
      violation = MakeViolation(contract.name, steps_, mismatch);
      break;
    }
  }
  for (uint32_t left = changed; left != 0; left &= left - 1) {
    int task = std::countr_zero(left);
    state.before.tasks[task] = state.after.tasks[task];
  }
  if (shared) CopyShared(state.after, &state.before);
  return violation;
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
