// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// A finding on disk: <out>/<property>-<hash>/ with program.txtpb, repro.c and
// report.md. The directory is whole or not there.

#ifndef LOCKSTEP_TOOLS_FINDINGS_H_
#define LOCKSTEP_TOOLS_FINDINGS_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/program.h"
#include "props/property.h"

namespace lockstep {

struct FindingFiles {
  // File name and contents.
  std::vector<std::pair<std::string, std::string>> files;
};

// "<property>-<hash>": the same for the same shrunk program everywhere.
std::string FindingName(const Program& program, const Violation& violation);

// What the directory holds. REQUIRES: the program shows the violation.
absl::StatusOr<FindingFiles> RenderFinding(const Program& program,
                                           const Violation& violation,
                                           absl::string_view found);

// Makes `out` if it is missing and sees that it can be written to.
absl::Status PrepareFindings(const std::string& out);

// Writes the directory beside and renames it. Returns its path; a finding that
// is already there stays as it is.
absl::StatusOr<std::string> SaveFinding(const std::string& out,
                                        const std::string& name,
                                        const FindingFiles& files);

// repro.c alone. `shown_by`: the real kernel that showed the violation, as
// "host 6.18.44"; empty: the model.
absl::StatusOr<std::string> RenderReproducerC(
    const Program& program, const std::optional<Violation>& violation,
    absl::string_view shown_by = "");

}  // namespace lockstep

#endif  // LOCKSTEP_TOOLS_FINDINGS_H_
