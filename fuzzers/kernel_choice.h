// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The kernel that a target or mutator without one of its own is told to use:
//   LOCKSTEP_FUZZ_KERNEL   a profile: "v4.9"
//   LOCKSTEP_FUZZ_DEFECTS  changes to its defects: "none,+overlap-double-count"
//                          (without it those it shipped with)

#ifndef LOCKSTEP_FUZZERS_KERNEL_CHOICE_H_
#define LOCKSTEP_FUZZERS_KERNEL_CHOICE_H_

#include <optional>

#include "engine/defect.h"
#include "engine/profile.h"
#include "fuzzers/mutator.h"

namespace lockstep {

struct KernelChoice {
  const Profile* profile;
  DefectSet defects;
};

// Nothing if LOCKSTEP_FUZZ_KERNEL is not set. Exits with status 2, saying what
// was expected, if a name is unknown: a run of hours must not be about another
// kernel than was asked for.
std::optional<KernelChoice> KernelFromEnvironment();

// Mutation within that kernel and its defects; of any, if none is chosen.
MutatorOptions MutatorOptionsFor(const std::optional<KernelChoice>& choice);

// LOCKSTEP_FUZZ_DEFECTS alone, over this profile; `otherwise` if it is not set.
DefectSet DefectsFromEnvironment(const Profile& profile, DefectSet otherwise);

}  // namespace lockstep

#endif  // LOCKSTEP_FUZZERS_KERNEL_CHOICE_H_
