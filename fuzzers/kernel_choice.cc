// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "fuzzers/kernel_choice.h"

#include <cstdlib>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"

namespace lockstep {
namespace {

[[noreturn]] void Refuse(const char* variable, const absl::Status& status) {
  absl::FPrintF(stderr, "%s: %s\n", variable, status.message());
  std::exit(2);
}

}  // namespace

std::optional<KernelChoice> KernelFromEnvironment() {
  const char* kernel = std::getenv("LOCKSTEP_FUZZ_KERNEL");
  if (kernel == nullptr) {
    if (std::getenv("LOCKSTEP_FUZZ_DEFECTS") == nullptr) return std::nullopt;
    Refuse("LOCKSTEP_FUZZ_DEFECTS",
           absl::InvalidArgumentError(
               "expected LOCKSTEP_FUZZ_KERNEL, the profile, beside it"));
  }
  const absl::StatusOr<const Profile*> profile = FindProfile(kernel);
  if (!profile.ok()) Refuse("LOCKSTEP_FUZZ_KERNEL", profile.status());
  return KernelChoice{*profile,
                      DefectsFromEnvironment(**profile, (*profile)->shipped)};
}

MutatorOptions MutatorOptionsFor(const std::optional<KernelChoice>& choice) {
  MutatorOptions options;
  options.any_kernel = !choice.has_value();
  if (choice) {
    options.vocabulary.profile = choice->profile;
    options.vocabulary.defects = choice->defects;
  }
  return options;
}

DefectSet DefectsFromEnvironment(const Profile& profile, DefectSet otherwise) {
  const char* changes = std::getenv("LOCKSTEP_FUZZ_DEFECTS");
  if (changes == nullptr) return otherwise;
  const absl::StatusOr<DefectSet> defects = ParseDefects(profile, changes);
  if (!defects.ok()) Refuse("LOCKSTEP_FUZZ_DEFECTS", defects.status());
  return *defects;
}

}  // namespace lockstep
