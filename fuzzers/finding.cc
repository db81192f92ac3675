// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "fuzzers/finding.h"

#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/step.h"

namespace lockstep {
namespace {

std::string& InputName() {
  static std::string& name = *new std::string("FILE");
  return name;
}

}  // namespace

void SetInputName(absl::string_view path) { InputName() = std::string(path); }

std::string FormatFinding(absl::string_view target, const Program& program,
                          const Violation& violation,
                          absl::string_view replay) {
  const std::string where =
      violation.step < program.steps.size()
          ? absl::StrCat(", ", DebugString(program.steps[violation.step]))
          : std::string();
  return absl::StrCat(
      target, ": ", violation.property, " after step ", violation.step, where,
      ": expected ", violation.expected, ", seen ", violation.seen,
      "\nThe program, ", program.steps.size(), " steps:\n",
      FormatProgramText(program), "Replay: ", replay, " ", InputName(),
      InputName() == "FILE" ? "    (FILE: this input, as the engine saved it)"
                            : "",
      "\n");
}

void ExpectMessage(absl::string_view target, absl::string_view message) {
  if (!message.empty()) return;
  absl::FPrintF(stderr, "%s: an error without a message\n", target);
  std::abort();
}

void ReportAndAbort(absl::string_view target, const Program& program,
                    const Violation& violation, absl::string_view replay) {
  const std::string text = FormatFinding(target, program, violation, replay);
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
  std::abort();
}

}  // namespace lockstep
