// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/trace_judge.h"

#include <algorithm>
#include <cstddef>

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

absl::StatusOr<std::optional<Violation>> TraceJudge::CheckAgreement(
    const Program& program, const Trace& trace) {
  if (trace.end == wire::End::kRefused) return std::nullopt;
  real_.Load(&trace);
  Comparison comparison(&model_, &real_, trace.sees);
  absl::Status started = comparison.Start(AsTraced(program.config, trace));
  if (!started.ok()) return started;
  return comparison.RunAll(program, trace.steps.size(), nullptr, &trace);
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
