// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Every other kernel beside the input's, no defects: they part only where
// props/profile_differences says so.

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "engine/profile.h"
#include "fuzzers/finding.h"
#include "fuzzers/program_input.h"
#include "fuzzers/statistics.h"
#include "fuzzers/target.h"
#include "props/profile_differences.h"
#include "props/shrink.h"

namespace lockstep {
namespace {

class ProfilesTarget {
 public:
  int Run(const uint8_t* data, size_t size) {
    absl::StatusOr<const Program*> input =
        ProgramInput::Shared().Parse(data, size);
    if (!input.ok()) return -1;
    const Program& program = **input;
    for (const Profile& other : AllProfiles()) {
      if (&other == program.config.profile) continue;
      if (Differs(program, other)) Report(program, other);
      CountProgram(comparison_.steps());
    }
    return 0;
  }

 private:
  std::optional<Violation> Differs(const Program& program,
                                   const Profile& other) {
    absl::StatusOr<std::optional<Violation>> violation =
        comparison_.Check(program, *program.config.profile, other);
    // A machine that no engine can be is a program without steps.
    return violation.ok() ? *violation : std::nullopt;
  }

  // No command shrinks for two kernels: that is done here.
  [[noreturn]] void Report(const Program& program, const Profile& other) {
    const Profile* const kernel = program.config.profile;
    Program failing;
    failing.config = program.config;
    failing.config.defects = DefectSet();
    failing.steps = program.steps;
    const ShrinkResult shrunk = Shrink(
        failing, [&](const Program& candidate) -> std::optional<Violation> {
          if (candidate.config.profile != kernel) return std::nullopt;
          return Differs(candidate, other);
        });
    ReportAndAbort(LOCKSTEP_FUZZER, shrunk.program, shrunk.violation,
                   LOCKSTEP_FUZZER);
  }

#ifdef LOCKSTEP_FUZZER_WITHOUT_TABLE
  // For a test: nothing may differ.
  ProfileComparison comparison_{absl::Span<const ProfileDifference>()};
#else
  ProfileComparison comparison_;
#endif
};

}  // namespace

MutatorOptions TargetMutatorOptions() {
  MutatorOptions options;
  options.any_kernel = true;
  return options;
}

}  // namespace lockstep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static lockstep::ProfilesTarget& target = *new lockstep::ProfilesTarget();
  return target.Run(data, size);
}
