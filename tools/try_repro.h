// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Compiles a reproducer and runs it on the kernel underneath.

#ifndef LOCKSTEP_TOOLS_TRY_REPRO_H_
#define LOCKSTEP_TOOLS_TRY_REPRO_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace lockstep {

struct ReproResult {
  bool compiled = false;
  bool ran = false;
  int status = -1;      // exit status, if it ended by itself
  std::string summary;  // one line for a person
  std::string output;   // of the compiler if it failed, else of the program
};

// `compiler` is looked up in PATH. Needs a directory for temporary files; takes
// at most `limit` for each of the two. What cannot be done is in the summary.
ReproResult TryRepro(absl::string_view source, const std::string& compiler,
                     absl::Duration limit = absl::Seconds(20));

}  // namespace lockstep

#endif  // LOCKSTEP_TOOLS_TRY_REPRO_H_
