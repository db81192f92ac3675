// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Real kernels as the commands use them: opened once, with the profile that
// speaks for them, and what they cannot do said on standard error.

#ifndef LOCKSTEP_TOOLS_REAL_ENGINE_H_
#define LOCKSTEP_TOOLS_REAL_ENGINE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/defect.h"
#include "engine/linux/kernel.h"
#include "engine/linux/trace.h"
#include "engine/profile.h"
#include "engine/program.h"

namespace lockstep {

// The engines there are, for errors.
inline constexpr absl::string_view kEngineNames =
    "reference, host, guest:VERSION or guest:BZIMAGE";

// "host", "guest:..." with something behind the colon.
bool IsRealEngine(absl::string_view engine);

// A real kernel and what the model is to be when it is compared with it.
struct RealEngine {
  std::unique_ptr<Kernel> kernel;
  const Profile* profile = nullptr;
  DefectSet defects;

  // The program with this profile and these defects.
  void Apply(Config* config) const;
  std::string Label() const;  // "host 6.18.44"
};

// `profile_name` empty or "host": the profile that fits its release. Says on
// standard error, as `command`, what the kernel cannot do here and how far it
// is from the profile. Unavailable if the kernel cannot be had, InvalidArgument
// for names that are none.
absl::StatusOr<RealEngine> OpenRealEngine(absl::string_view command,
                                          absl::string_view engine,
                                          absl::string_view profile_name,
                                          absl::string_view defects,
                                          const KernelOptions& options);

// Why this program was not run; empty if it was.
std::string WhyRefused(const Program& program, const Trace& trace);

}  // namespace lockstep

#endif  // LOCKSTEP_TOOLS_REAL_ENGINE_H_
