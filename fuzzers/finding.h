// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// How a target ends when a property does not hold.

#ifndef LOCKSTEP_FUZZERS_FINDING_H_
#define LOCKSTEP_FUZZERS_FINDING_H_

#include <string>

#include "absl/strings/string_view.h"
#include "engine/program.h"
#include "props/property.h"

namespace lockstep {

// "mlock-errno after step 3, task 0: mlock(...): expected ..., seen ...", the
// program as text, and the command that replays it; `replay` is that command
// without the file.
std::string FormatFinding(absl::string_view target, const Program& program,
                          const Violation& violation, absl::string_view replay);

// Prints the finding to standard error and aborts, which every engine records
// as a crash of this input.
[[noreturn]] void ReportAndAbort(absl::string_view target,
                                 const Program& program,
                                 const Violation& violation,
                                 absl::string_view replay);

// Aborts if an error says nothing: who gets it must learn what was expected.
void ExpectMessage(absl::string_view target, absl::string_view message);

// The file that is replayed, if it is known: shown in the command.
void SetInputName(absl::string_view path);

}  // namespace lockstep

#endif  // LOCKSTEP_FUZZERS_FINDING_H_
