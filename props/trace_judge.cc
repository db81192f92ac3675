// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/trace_judge.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "engine/linux/wire.h"
#include "engine/uapi.h"
#include "engine/units.h"
#include "props/contract_support.h"

namespace lockstep {

TraceJudge::TraceJudge(const std::string& engine)
    : real_(engine), runner_(&real_) {}

absl::StatusOr<std::optional<Violation>> TraceJudge::CheckContracts(
    const Program& program, const Trace& trace) {
  if (trace.end == wire::End::kRefused) return std::nullopt;
  real_.Load(&trace);
  absl::Status started = runner_.Start(AsTraced(program.config, trace));
  if (!started.ok()) return started;
  const size_t steps = std::min(program.steps.size(), trace.steps.size());
  for (size_t i = 0; i < steps; ++i) {
    std::optional<Violation> violation = runner_.Run(program.steps[i]);
    if (violation) return violation;
  }
  return std::nullopt;
}

namespace {

// Pages of the image that are locked: no program's expectations count them.
Pages LockedImage(const TaskState& task, const Trace& trace) {
  const Vpn start = PageOf(kImageBase);
  return contracts::LockedPages(task, start, start + trace.image_lockable);
}

// What a program says of a machine of its own size, real ones have otherwise.
bool ExpectsThisMachine(const Config& config) {
  const Config usual;
  return config.memory_pages == usual.memory_pages &&
         config.max_map_count == usual.max_map_count &&
         config.image_pages == 0 && config.image_lockable_pages == 0 &&
         config.nr_hugepages == 0 && !config.stack_guard_gap &&
         config.transparent_hugepage == TransparentHugepage::kNever;
}

bool ImageDecides(const Step& step, const TaskState& before) {
  return step.op == Op::kMlockall && (step.flags & uapi::kMclCurrent) != 0 &&
         !before.cap_ipc_lock && before.memlock_limit != kRlimInfinity;
}

// The expectation as it is on the machine of the trace.
Expectation AsSeen(Expectation wanted, const TaskState& task,
                   const Trace& trace) {
  if (wanted.locked_vm) *wanted.locked_vm += LockedImage(task, trace).n;
  wanted.map_count.reset();
  wanted.counters.clear();
  for (Expectation::PageRange& pages : wanted.pages) {
    if ((trace.sees & wire::kSeesPageFlags) == 0) pages.mlocked.reset();
    if ((trace.sees & wire::kSeesOnfault) == 0) pages.onfault.reset();
    // Fault-around and reclaim decide about pages that are not locked.
    if (pages.locked != true) pages.resident.reset();
  }
  return wanted;
}

}  // namespace

std::optional<Violation> TraceJudge::CheckTheExpectations(
    const Program& program, const Trace& trace) {
  if (trace.end == wire::End::kRefused || !ExpectsThisMachine(program.config)) {
    return std::nullopt;
  }
  real_.Load(&trace);
  if (!real_.Reset(program.config).ok()) return std::nullopt;
  const size_t steps = std::min(program.steps.size(), trace.steps.size());
  for (size_t i = 0; i < steps; ++i) {
    const int task = program.steps[i].task % kTaskSlots;
    TaskState state;
    real_.Observe(task, &state);
    if (ImageDecides(program.steps[i], state)) return std::nullopt;
    const Outcome outcome = real_.Run(program.steps[i]);
    if (outcome.kind == Outcome::Kind::kUnsupported) return std::nullopt;
    real_.Observe(task, &state);
    Program seen = program;
    for (Expectation& wanted : seen.expectations) {
      wanted = AsSeen(std::move(wanted), state, trace);
    }
    if (auto violation = CheckExpectations(seen, i, outcome, real_)) {
      return violation;
    }
  }
  return std::nullopt;
}

absl::StatusOr<std::optional<Violation>> TraceJudge::CheckAgreement(
    const Program& program, const Trace& trace) {
  if (trace.end == wire::End::kRefused) return std::nullopt;
  real_.Load(&trace);
  Comparison comparison(&model_, &real_, trace.sees);
  absl::Status started = comparison.Start(AsTraced(program.config, trace));
  if (!started.ok()) return started;
  std::vector<Violation> parting = comparison.RunAll(
      program, trace.steps.size(), nullptr, &trace, /*most=*/1);
  if (parting.empty()) return std::nullopt;
  return std::move(parting.front());
}

std::optional<Violation> TraceJudge::CheckEnd(const Program& program,
                                              const Trace& trace) const {
  return HowItEnded(program, trace.steps.size(), nullptr, &trace);
}

absl::StatusOr<std::optional<Violation>> TraceJudge::Judge(
    const Program& program, const Trace& trace) {
  absl::StatusOr<std::optional<Violation>> contract =
      CheckContracts(program, trace);
  if (!contract.ok()) return contract;
  absl::StatusOr<std::optional<Violation>> parted =
      CheckAgreement(program, trace);
  if (!parted.ok() || !parted->has_value()) {
    return parted.ok() ? contract : parted;
  }
  if (contract->has_value() && (*contract)->step <= (*parted)->step) {
    return contract;
  }
  return parted;
}

}  // namespace lockstep
