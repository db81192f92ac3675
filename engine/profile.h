// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// A kernel version as data: which behaviours it has, which defects it carries.
// Code asks profile.Has(...) and never compares versions: stable branches take
// fixes on their own schedule.

#ifndef LOCKSTEP_ENGINE_PROFILE_H_
#define LOCKSTEP_ENGINE_PROFILE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/defect.h"

namespace lockstep {

// What a kernel does in one of several right ways. Each row of kBehaviours in
// profile.cc says where it comes from.
enum class Behaviour : uint8_t {
  kMlock2,              // mlock2, MLOCK_ONFAULT, MCL_ONFAULT (4.4)
  kKillableMmapLock,    // mlock & co. give up on a fatal signal (4.7)
  kMadvFree,            // MADV_FREE (4.5)
  kLruPerNode,          // LRU lists and their lock per node, not zone (4.8)
  kPteMappedThp,        // a huge page can be mapped by PTEs; splitting a
                        // PMD leaves the page whole (4.5)
  kFlushOnCompound,     // a compound page flushes the LRU-add batch (4.7)
  kFlushWhenFull,       // the batch is flushed by the page that fills it, not
                        // by the one after (4.8)
  kStackGuardGap,       // stack growth keeps a gap of 256 pages (4.12, and
                        // 4.9.34), not one guard page inside the VMA
  kOnfaultNeedsAccess,  // lock-on-fault of PROT_NONE is ENOMEM (to 5.17)
};
inline constexpr int kBehaviourCount =
    static_cast<int>(Behaviour::kOnfaultNeedsAccess) + 1;

struct BehaviourInfo {
  Behaviour behaviour;
  absl::string_view name;
  absl::string_view source;
};
absl::Span<const BehaviourInfo> AllBehaviours();

struct Profile {
  absl::string_view name;        // "v4.9"
  absl::string_view title;       // which mm/mlock.c it is
  uint32_t behaviours = 0;       // bits of Behaviour
  DefectSet shipped;             // defects this kernel was released with
  DefectSet applicable;          // defects that make sense over this mechanism
  uint32_t stack_guard_gap = 0;  // pages

  constexpr bool Has(Behaviour behaviour) const {
    return (behaviours >> static_cast<int>(behaviour) & 1) != 0;
  }
};

absl::Span<const Profile> AllProfiles();
const Profile& DefaultProfile();  // v4.9
// NotFound names what is known.
absl::StatusOr<const Profile*> FindProfile(absl::string_view name);

// The profile's defects changed by a list such as "+overlap-double-count,
// -mcl-onfault-alone" or "none,+..."; unknown names and defects that make no
// sense over the profile are InvalidArgument.
absl::StatusOr<DefectSet> ParseDefects(const Profile& profile,
                                       absl::string_view changes);
// The shortest list that ParseDefects reads as the set.
std::string FormatDefects(const Profile& profile, DefectSet defects);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PROFILE_H_
