// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Where two kernels may part: a row for each behaviour in which profiles can
// differ, with the calls after which a program may see the difference first.
// Two profiles without their defects agree on a program until a step that such
// a row names, and with the behaviours of these rows made the same they agree
// there, too. A difference that no row explains is a bug of the model or of the
// table.

#ifndef LOCKSTEP_PROPS_PROFILE_DIFFERENCES_H_
#define LOCKSTEP_PROPS_PROFILE_DIFFERENCES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/profile.h"
#include "engine/program.h"
#include "engine/step.h"
#include "props/property.h"

namespace lockstep {

struct ProfileDifference {
  Behaviour behaviour;
  // What a program sees.
  absl::string_view what;
  // Bits of Op (OpBit): a step with such a call, or with such an action inside
  // it, may be the first that shows it. 0: programs do not see it.
  uint64_t ops;
};
// In the order of Behaviour, each once.
absl::Span<const ProfileDifference> AllProfileDifferences();

// Where two kernels first did not do the same: a result, the state after the
// step that a process can see (tasks, mappings, charges, limits, segments, file
// sizes; pages that are there), or what only a later call meets (the allocation
// that will fail, a fatal signal, the pool of huge pages).
struct Parting {
  size_t step = 0;
  std::string a, b;  // each side's word
};

class ProfileComparison {
 public:
  // The table outlives the comparison.
  explicit ProfileComparison(
      absl::Span<const ProfileDifference> table = AllProfileDifferences());
  ~ProfileComparison();

  // Runs the program on both, no defect on either. A violation of
  // "profile-differences" if they part at a step where no row lets them, or if
  // the rows that let them do not explain it. An error if an engine refuses the
  // configuration.
  absl::StatusOr<std::optional<Violation>> Check(const Program& program,
                                                 const Profile& a,
                                                 const Profile& b);

  // Where the two part; nothing if they do not.
  absl::StatusOr<std::optional<Parting>> FirstParting(const Program& program,
                                                      const Profile& a,
                                                      const Profile& b);

  // Steps run by the last Check or FirstParting on all engines together.
  uint64_t steps() const { return steps_; }

 private:
  struct Sides;
  // The first `count` steps; with `pages`, pages are compared after each step
  // and not only after the last.
  std::optional<Parting> RunBoth(absl::Span<const Step> steps, bool pages);
  absl::Status Start(const Program& program, const Profile& a,
                     const Profile& b);

  const absl::Span<const ProfileDifference> table_;
  uint64_t steps_ = 0;
  std::unique_ptr<Sides> sides_;
};

// The profile with these behaviours (bits of Behaviour) as `other` has them,
// and the stack's guard gap with kStackGuardGap.
Profile WithBehavioursOf(const Profile& profile, const Profile& other,
                         uint64_t behaviours);

// The name of the property.
inline constexpr absl::string_view kProfileDifferences = "profile-differences";

}  // namespace lockstep

#endif  // LOCKSTEP_PROPS_PROFILE_DIFFERENCES_H_
