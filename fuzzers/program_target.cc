// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "fuzzers/program_target.h"

#include "absl/strings/str_cat.h"
#include "fuzzers/finding.h"
#include "fuzzers/program_input.h"
#include "fuzzers/statistics.h"

namespace lockstep {

ProgramTarget::ProgramTarget(absl::string_view name, const Profile* kernel,
                             DefectSet defects)
    : name_(name), kernel_(kernel), defects_(defects), runner_(&engine_) {}

int ProgramTarget::Run(const uint8_t* data, size_t size) {
  absl::StatusOr<const Program*> program =
      ProgramInput::Shared().Parse(data, size);
  if (!program.ok()) return -1;
  Config config = (*program)->config;
  if (kernel_ != nullptr) {
    config.profile = kernel_;
    config.defects = defects_;
  }
  const std::optional<Violation> violation =
      RunSteps(config, (*program)->steps);
  if (violation) {
    Program failing = **program;
    failing.config = config;
    Report(failing, *violation);
  }
  return 0;
}

std::optional<Violation> ProgramTarget::RunSteps(
    const Config& config, const std::vector<Step>& steps) {
  // A machine that the engine cannot be is a program without steps.
  if (!runner_.Start(config).ok()) return std::nullopt;
  std::optional<Violation> violation;
  for (const Step& step : steps) {
    violation = runner_.Run(step);
    if (violation) break;
  }
  CountProgram(runner_.steps());
  return violation;
}

void ProgramTarget::Report(const Program& program, const Violation& violation) {
  // The same from nothing: what an engine keeps from one program for the next
  // must not matter.
  reference::ReferenceEngine engine;
  Runner runner(&engine);
  absl::StatusOr<std::optional<Violation>> again = runner.Run(program);
  Violation shown = violation;
  if (!again.ok() || *again != violation) {
    shown.property = absl::StrCat(violation.property,
                                  " (not on a fresh engine: the engine kept "
                                  "something from an earlier input)");
  }
  std::string replay = "lockstep run";
  if (kernel_ != nullptr) {
    absl::StrAppend(&replay, " --kernel=", kernel_->name, " --defect=none");
    for (const DefectInfo& info : AllDefects()) {
      if (defects_.Has(info.defect)) absl::StrAppend(&replay, ",+", info.name);
    }
  }
  ReportAndAbort(name_, program, shown, replay);
}

}  // namespace lockstep
