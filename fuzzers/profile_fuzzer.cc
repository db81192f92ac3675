// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// One kernel without its defects: every property must hold, whatever the
// program. LOCKSTEP_FUZZER_KERNEL names the profile. LOCKSTEP_FUZZ_DEFECTS in
// the environment, a list as --defect= takes it, switches defects on.

#include "engine/profile.h"
#include "fuzzers/kernel_choice.h"
#include "fuzzers/program_target.h"
#include "fuzzers/target.h"

namespace lockstep {
namespace {

const Profile& Kernel() {
  static const Profile& kernel = **FindProfile(LOCKSTEP_FUZZER_KERNEL);
  return kernel;
}

DefectSet Defects() {
  static const DefectSet defects =
      DefectsFromEnvironment(Kernel(), DefectSet());
  return defects;
}

}  // namespace

MutatorOptions TargetMutatorOptions() {
  MutatorOptions options;
  options.vocabulary.profile = &Kernel();
  options.vocabulary.defects = Defects();
  return options;
}

}  // namespace lockstep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static lockstep::ProgramTarget& target = *new lockstep::ProgramTarget(
      LOCKSTEP_FUZZER, &lockstep::Kernel(), lockstep::Defects());
  return target.Run(data, size);
}
