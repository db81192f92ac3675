// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/progress.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace lockstep {
namespace {

// Back to the start of the line, and clear to its end.
constexpr absl::string_view kRewrite = "\r\x1b[K";

void Write(std::FILE* out, absl::string_view text) {
  std::fwrite(text.data(), 1, text.size(), out);
  std::fflush(out);
}

}  // namespace

std::string FormatAmount(double amount) {
  if (amount >= 1e9) return absl::StrFormat("%.1fG", amount / 1e9);
  if (amount >= 1e6) return absl::StrFormat("%.1fM", amount / 1e6);
  if (amount >= 1e4) return absl::StrFormat("%.1fk", amount / 1e3);
  return absl::StrFormat("%.0f", amount);
}

std::string FormatProgress(absl::string_view label,
                           const HuntProgress& progress) {
  return absl::StrFormat(
      "%s: %.0f s, %s programs, %s steps, %s steps/s, %d finding%s", label,
      progress.seconds, FormatAmount(static_cast<double>(progress.programs)),
      FormatAmount(static_cast<double>(progress.steps)),
      FormatAmount(progress.steps_per_second()), progress.findings,
      progress.findings == 1 ? "" : "s");
}

ProgressReporter::ProgressReporter(std::FILE* out, bool terminal,
                                   std::string label)
    : out_(out), terminal_(terminal), label_(std::move(label)) {}

void ProgressReporter::Update(const HuntProgress& progress) {
  Update(progress.seconds, FormatProgress(label_, progress));
}

void ProgressReporter::Update(double seconds, absl::string_view line) {
  if (terminal_) {
    Write(out_, absl::StrCat(kRewrite, line));
    return;
  }
  if (seconds - last_line_ < kSecondsBetweenLines) return;
  last_line_ = seconds;
  Write(out_, absl::StrCat(line, "\n"));
}

void ProgressReporter::Say(absl::string_view line) {
  Write(out_, absl::StrCat(terminal_ ? kRewrite : "", line, "\n"));
}

void ProgressReporter::Finish() {
  if (terminal_) Write(out_, kRewrite);
}

}  // namespace lockstep
