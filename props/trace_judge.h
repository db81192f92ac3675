// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// TraceJudge: what is wrong with what a real kernel did with a program. Two
// kinds of answers: a contract that its own observations violate, without the
// model; and where it parts from the model.

#ifndef LOCKSTEP_PROPS_TRACE_JUDGE_H_
#define LOCKSTEP_PROPS_TRACE_JUDGE_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "engine/defect.h"
#include "engine/linux/trace.h"
#include "engine/outcome.h"
#include "engine/program.h"
#include "engine/reference/reference_engine.h"
#include "props/comparison.h"
#include "props/property.h"
#include "props/runner.h"

namespace lockstep {

// Keeps an engine of each kind, for use with one program after the other. The
// profile and the defects are those of each program's configuration. A program
// that was refused is judged by nothing.
class TraceJudge {
 public:
  // `engine` is the name of the one that made the traces.
  explicit TraceJudge(const std::string& engine);

  // The first contract that does not hold of the trace.
  absl::StatusOr<std::optional<Violation>> CheckContracts(
      const Program& program, const Trace& trace);
  // The program's expectations for its profile, as far as a real kernel shows
  // and decides them: not counts of VMAs, not counters, nothing of what the
  // executor cannot see. They end where a step could not be run, or where the
  // size of the process's image decides (mlockall against a limit).
  std::optional<Violation> CheckTheExpectations(const Program& program,
                                                const Trace& trace);
  // Where the trace first parts from the model; agree-end if it stops short.
  absl::StatusOr<std::optional<Violation>> CheckAgreement(
      const Program& program, const Trace& trace);
  // agree-end alone: the program hung, was killed or lost.
  std::optional<Violation> CheckEnd(const Program& program,
                                    const Trace& trace) const;
  // The defect of the program's configuration that explains the violation of a
  // contract: the model with its defects violates it in the same step, and does
  // not without this one, or not without any if several do.
  std::optional<Defect> Explain(const Program& program, const Trace& trace,
                                const Violation& violation);
  // Whichever comes first; a contract before a disagreement in the same step.
  // With `explained` a contract's violation that a defect explains is none:
  // *explained gets the defect.
  absl::StatusOr<std::optional<Violation>> Judge(
      const Program& program, const Trace& trace,
      std::optional<Defect>* explained = nullptr);

 private:
  reference::ReferenceEngine model_;
  TraceEngine real_;
  Runner runner_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_PROPS_TRACE_JUDGE_H_
