// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Running one program on the reference engine, as every command does it.

#ifndef LOCKSTEP_TOOLS_SESSION_H_
#define LOCKSTEP_TOOLS_SESSION_H_

#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/outcome.h"
#include "engine/program.h"
#include "engine/reference/reference_engine.h"
#include "props/property.h"
#include "props/runner.h"

namespace lockstep {

struct SessionOptions {
  Checking checking = Checking::kIncremental;
  bool expectations = true;
};

// Called after each step, the one that violates something included.
using AfterStep = std::function<void(size_t step, const Outcome& outcome,
                                     const reference::ReferenceEngine& engine)>;

// Runs the program up to the first violation on an engine of its own.
absl::StatusOr<std::optional<Violation>> RunProgram(
    const Program& program, const SessionOptions& options,
    const AfterStep& after_step = nullptr);

// Incrementally, and if that shows nothing, in full form too.
absl::StatusOr<std::optional<Violation>> Judge(const Program& program);

// "mlock-errno after step 3, task 0: mlock(...): expected ..., seen ...".
std::string DebugString(const Program& program, const Violation& violation);

// What --kernel and --defect ask for, on top of the program's own
// configuration. Empty strings change nothing. Another kernel keeps the
// program's own changes of the defects; a list of defects replaces them.
absl::Status ChangeConfig(absl::string_view kernel, absl::string_view defects,
                          Config* config);

// The machine and the segments, as lines for a person.
std::string DescribeState(const reference::ReferenceEngine& engine);

}  // namespace lockstep

#endif  // LOCKSTEP_TOOLS_SESSION_H_
