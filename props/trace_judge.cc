// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/trace_judge.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <utility>
#include <vector>

#include "engine/linux/wire.h"
#include "engine/uapi.h"
#include "engine/units.h"

namespace lockstep {

namespace {

// Guard pages that the trace does not show, so that no contract can know them:
// of 6.13 and 6.14, or outside arena and heap.
bool MakesHiddenGuards(const Program& program, const Trace& trace,
                       const Step& step) {
  if (step.op != Op::kMadvise || step.flags != uapi::kMadvGuardInstall) {
    return false;
  }
  if ((trace.sees & wire::kSeesGuards) == 0) return true;
  const uint64_t start = step.addr.Resolve();
  const auto within = [&](uint64_t base, uint64_t pages) {
    const uint64_t bytes = pages * kPageSize;
    return start - base <= bytes && step.length <= bytes - (start - base);
  };
  return !within(kArenaBase, program.config.arena_pages) &&
         !within(kHeapBase, wire::kHeapPages);
}

}  // namespace

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
    const Step& step = program.steps[i];
    const Outcome& outcome = trace.steps[i].outcome;
    if (outcome.ran() && !outcome.Is(EINVAL) &&
        MakesHiddenGuards(program, trace, step)) {
      return std::nullopt;
    }
    std::optional<Violation> violation = runner_.Run(step);
    if (violation) return violation;
  }
  return std::nullopt;
}

namespace {

// What a program says of a machine of its own size, real ones have otherwise.
bool ExpectsThisMachine(const Program& program, const Trace& trace) {
  const Config& config = program.config;
  const Config usual;
  const bool keys = (trace.sees & wire::kHasProtectionKeys) != 0;
  if (config.protection_keys != keys && HasExecuteOnly(program.steps)) {
    return false;
  }
  return config.memory_pages == usual.memory_pages &&
         config.max_map_count == usual.max_map_count &&
         config.image_pages == 0 && config.image_lockable_pages == 0 &&
         config.nr_hugepages == 0 && !config.stack_guard_gap &&
         config.transparent_hugepage == TransparentHugepage::kNever;
}

// The expectation as it is on the machine of the trace.
Expectation AsSeen(Expectation wanted, const TaskState& task,
                   const Trace& trace) {
  // No program's expectations count the image.
  if (wanted.locked_vm) {
    *wanted.locked_vm += LockedImage(task, trace.image_lockable).n;
  }
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
  if (trace.end == wire::End::kRefused || !ExpectsThisMachine(program, trace)) {
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

std::optional<Defect> TraceJudge::Explain(const Program& program,
                                          const Trace& trace,
                                          const Violation& violation) {
  Program run = WithoutUnsupported(program, trace);
  run.config = AsTraced(program.config, trace);
  run.steps.resize(violation.step + 1);
  // The model as any other engine: its inside is not what was violated.
  Runner runner(&model_, Checking::kIncremental, Rules::kContracts);
  // What the model with these defects shows there; empty: nothing.
  const auto seen = [&](DefectSet defects) -> std::string {
    run.config.defects = defects;
    absl::StatusOr<std::optional<Violation>> found = runner.Run(run);
    const bool same = found.ok() && found->has_value() &&
                      (*found)->property == violation.property &&
                      (*found)->step == violation.step;
    return same ? (*found)->seen : "";
  };
  const DefectSet all = program.config.defects;
  const std::string with_all = seen(all);
  if (with_all.empty() || !seen(DefectSet()).empty()) return std::nullopt;
  std::optional<Defect> alone;
  for (const DefectInfo& info : AllDefects()) {
    if (!all.Has(info.defect)) continue;
    DefectSet others = all;
    others.Remove(info.defect);
    if (seen(others).empty()) return info.defect;
    // Several violate it in one step: the one whose trace is to be seen.
    const std::string by_itself = seen({info.defect});
    if (by_itself == with_all || (!alone && !by_itself.empty())) {
      alone = info.defect;
    }
  }
  return alone;
}

absl::StatusOr<std::optional<Violation>> TraceJudge::Judge(
    const Program& program, const Trace& trace,
    std::optional<Defect>* explained) {
  absl::StatusOr<std::optional<Violation>> contract =
      CheckContracts(program, trace);
  if (!contract.ok()) return contract;
  absl::StatusOr<std::optional<Violation>> parted =
      CheckAgreement(program, trace);
  if (!parted.ok()) return parted;
  if (!contract->has_value()) return parted;
  if (parted->has_value() && (*parted)->step < (*contract)->step) return parted;
  const bool agree =
      !parted->has_value() || (*parted)->step > (*contract)->step;
  if (explained != nullptr && agree) {
    *explained = Explain(program, trace, **contract);
    if (*explained) return parted;
  }
  return contract;
}

}  // namespace lockstep
