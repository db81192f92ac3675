// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The hunt by coverage: processes of a libFuzzer target on one corpus. What
// they fail on is shrunk, told apart from what was found before and written as
// every finding is; a process that has failed is started again.
//
// It may be killed at any moment. A failing input is a file until its finding
// is written; both, and the corpus, are taken up by the next start.

#ifndef LOCKSTEP_TOOLS_LIBFUZZER_DRIVER_H_
#define LOCKSTEP_TOOLS_LIBFUZZER_DRIVER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/defect.h"
#include "engine/profile.h"
#include "tools/finding_log.h"

namespace lockstep {

struct LibFuzzerProgress {
  uint64_t programs = 0;
  uint64_t corpus = 0;    // inputs in it
  uint64_t failures = 0;  // inputs that the target failed on
  uint64_t findings = 0;
  double seconds = 0;
};

// "v4.9: 12 s, 1.2M programs, 310 inputs in the corpus, 2 findings".
std::string FormatProgress(absl::string_view label,
                           const LibFuzzerProgress& progress);

struct LibFuzzerOptions {
  static constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

  std::string target;    // path of the executable
  std::string lockstep;  // path of lockstep, whose shrink is used
  std::string corpus;    // made if it is missing
  std::string out;       // of the findings; our own files are in out/.TARGET
  std::string origin;    // the command line, for reports
  // What the target runs its programs on. A defect that explains a finding is
  // off from then on, so that what it hides is found too.
  const Profile* profile = &DefaultProfile();
  DefectSet defects;

  uint64_t jobs = 1;
  uint64_t seed = 1;
  // The first of these that is reached ends the hunt.
  uint64_t max_programs = kNoLimit;
  absl::Duration max_time = absl::InfiniteDuration();
  const std::atomic<bool>* stop = nullptr;  // set by a signal handler

  std::function<void(absl::string_view line)> say;
  // Once a second.
  std::function<void(const LibFuzzerProgress& progress)> on_progress;
};

struct LibFuzzerResult {
  LibFuzzerProgress progress;
  // Of this profile and these defects, those of earlier starts included.
  std::vector<LoggedFinding> findings;
  // Directories of what the target died of though the program violates nothing:
  // bugs of the target or the model.
  std::vector<std::string> crashes;
  uint64_t left = 0;  // failing inputs that the next start takes up
};

// FailedPrecondition: another hunt works there. Unavailable: the target cannot
// be run.
absl::StatusOr<LibFuzzerResult> RunLibFuzzer(const LibFuzzerOptions& options);

}  // namespace lockstep

#endif  // LOCKSTEP_TOOLS_LIBFUZZER_DRIVER_H_
