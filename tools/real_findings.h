// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// A finding on a real kernel as files: the program, a report with both sides'
// words, a reproducer that has been tried.

#ifndef LOCKSTEP_TOOLS_REAL_FINDINGS_H_
#define LOCKSTEP_TOOLS_REAL_FINDINGS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "props/real_hunt.h"
#include "tools/findings.h"
#include "tools/real_engine.h"
#include "tools/try_repro.h"

namespace lockstep {

// As a table: each step with what the model and the kernel say.
std::string WriteRealReport(const RealFinding& finding, const RealEngine& real,
                            absl::string_view found, const ReproResult& repro);

// program.txtpb, repro.c, report.md. The reproducer is compiled and run on the
// finding's kernel; that takes a second or so on the host, and the start of a
// guest in one.
absl::StatusOr<FindingFiles> RenderRealFinding(const RealFinding& finding,
                                               const RealEngine& real,
                                               absl::string_view found);

}  // namespace lockstep

#endif  // LOCKSTEP_TOOLS_REAL_FINDINGS_H_
