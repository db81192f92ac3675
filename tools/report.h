// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// report.md: a finding for a person who has never seen the program.

#ifndef LOCKSTEP_TOOLS_REPORT_H_
#define LOCKSTEP_TOOLS_REPORT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/program.h"
#include "props/property.h"

namespace lockstep {

// Runs the program again for its trace and states. `found` is one line about
// where the program comes from, such as the seed of the hunt; may be empty.
// InvalidArgument if the program shows no such violation.
absl::StatusOr<std::string> WriteReport(const Program& program,
                                        const Violation& violation,
                                        absl::string_view found);

// The defects that are on in the program and without each of which, alone, this
// violation is gone: what explains it.
absl::StatusOr<std::vector<Defect>> ExplainingDefects(
    const Program& program, const Violation& violation);

}  // namespace lockstep

#endif  // LOCKSTEP_TOOLS_REPORT_H_
