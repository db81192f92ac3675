// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The hunt for defects: kernel and defects are those of the input, or those
// that the environment names (kernel_choice.h). A defect that a program reaches
// is a finding.

#include <optional>

#include "fuzzers/kernel_choice.h"
#include "fuzzers/program_target.h"
#include "fuzzers/target.h"

namespace lockstep {
namespace {

const std::optional<KernelChoice>& Choice() {
  static const std::optional<KernelChoice>& choice =
      *new std::optional<KernelChoice>(KernelFromEnvironment());
  return choice;
}

}  // namespace

MutatorOptions TargetMutatorOptions() { return MutatorOptionsFor(Choice()); }

}  // namespace lockstep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using lockstep::Choice;
  static lockstep::ProgramTarget& target = *new lockstep::ProgramTarget(
      LOCKSTEP_FUZZER, Choice() ? Choice()->profile : nullptr,
      Choice() ? Choice()->defects : lockstep::DefectSet());
  return target.Run(data, size);
}
