// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// How a hunt is getting on, on standard error: one line that is written over on
// a terminal, a line every ten seconds elsewhere.

#ifndef LOCKSTEP_TOOLS_PROGRESS_H_
#define LOCKSTEP_TOOLS_PROGRESS_H_

#include <cstdio>
#include <string>

#include "absl/strings/string_view.h"
#include "props/hunt.h"

namespace lockstep {

class ProgressReporter {
 public:
  // Writes to `out`, which outlives the reporter. `label` begins every line.
  ProgressReporter(std::FILE* out, bool terminal, std::string label);
  // Called now and then, at most once a second.
  void Update(const HuntProgress& progress);
  // The same with the text of the line, label included.
  void Update(double seconds, absl::string_view line);
  // A line that stays.
  void Say(absl::string_view line);
  // Takes the line on the terminal away.
  void Finish();

 private:
  static constexpr double kSecondsBetweenLines = 10;

  std::FILE* out_;
  bool terminal_;
  std::string label_;
  double last_line_ = 0;
};

// "v4.9: 12 s, 1.2M programs, 19.5M steps, 1.6M steps/s, 2 findings".
std::string FormatProgress(absl::string_view label,
                           const HuntProgress& progress);
// "950", "1.2k", "19.5M".
std::string FormatAmount(double amount);

}  // namespace lockstep

#endif  // LOCKSTEP_TOOLS_PROGRESS_H_
