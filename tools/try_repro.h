// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Compiles a reproducer and runs it on the kernel that it is about: the one
// underneath or that of a guest.

#ifndef LOCKSTEP_TOOLS_TRY_REPRO_H_
#define LOCKSTEP_TOOLS_TRY_REPRO_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/linux/guest_kernel.h"

namespace lockstep {

struct ReproResult {
  bool compiled = false;
  bool ran = false;
  int status = -1;      // exit status, if it ended by itself
  std::string summary;  // one line for a person
  // Of the compiler if it failed, else of the program; of the console if the
  // guest went down.
  std::string output;
};

// `compiler` is looked up in PATH, and is given a minute. Needs a directory for
// temporary files. What cannot be done is in the summary.
ReproResult TryRepro(absl::string_view source, const std::string& compiler,
                     absl::Duration limit = absl::Seconds(20));

// In a guest of its own, which is booted for it: statically linked, since a
// guest has no other file. `which` is what stands after "guest:".
ReproResult TryReproInGuest(absl::string_view source,
                            const std::string& compiler,
                            absl::string_view which,
                            absl::Duration limit = absl::Minutes(2),
                            const GuestOptions& options = {});

// With cc, on the real engine of that name: "host", "guest:6.12".
ReproResult TryReproOn(absl::string_view engine, absl::string_view source);

}  // namespace lockstep

#endif  // LOCKSTEP_TOOLS_TRY_REPRO_H_
