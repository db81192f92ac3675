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

  kOverlapClampsEnd,  // what is locked already is counted to the end of the
                      // address space where the range wraps (6.1)
  kMlockWalksPages,   // pages that are there become Mlocked with VM_LOCKED,
                      // not by populate (5.18)

  // mmap and brk.
  kExecuteOnlyPkey,      // protection EXEC alone takes a protection key, where
                         // the CPU has them (4.6)
  kMapSharedValidate,    // MAP_SHARED_VALIDATE (4.15)
  kMapFixedNoreplace,    // MAP_FIXED_NOREPLACE (4.17)
  kMemfdSecret,          // memfd_secret (5.14)
  kSecretmemPerUser,     // its pages are charged to the user by the fault, and
                         // its mappings are not locked (stable 2026)
  kMapDroppable,         // MAP_DROPPABLE (6.11)
  kBrkShrinkNeedsHeap,   // a break does not go down over a hole (6.1)
  kMapStackNoThp,        // MAP_STACK memory gets no huge pages (6.7)
  kThpAlignedPlacement,  // anonymous memory of whole huge pages is put where
                         // they fit (6.7)
  kMmapUnmapsLast,       // mmap unmaps what it replaces when nothing of its own
                         // can fail any more, and says why it cannot (6.12)

  kMprotectUnaccounts,  // private memory without a page of its own that
                        // mprotect makes read-only loses VM_ACCOUNT (6.7)

  // mremap.
  kMremapEmptyOverlapsNothing,  // old length 0 onto its own start is no overlap
                                // (4.3)
  kMremapNoPrivateCopy,   // old length 0 of a private mapping is EINVAL (4.14)
  kMremapFixedNeedsMaps,  // MREMAP_FIXED near max_map_count is ENOMEM before
                          // it unmaps (5.1)
  kMremapDontunmap,       // MREMAP_DONTUNMAP (5.7; of any memory 5.13)
  kMremapHugetlb,       // moves and cuts hugetlb memory; looks for the mapping
                        // before all else (5.16)
  kMremapChecksFirst,   // all checks come before MREMAP_FIXED unmaps (6.17)
  kMremapMovesSeveral,  // a move without a change of size takes any number of
                        // VMAs (6.17)

  // madvise.
  kMadvWipeonfork,      // MADV_WIPEONFORK, MADV_KEEPONFORK (4.14)
  kMadvCold,            // MADV_COLD, MADV_PAGEOUT (5.4)
  kMadvPopulate,        // MADV_POPULATE_READ, MADV_POPULATE_WRITE (5.14)
  kMadvDontneedLocked,  // MADV_DONTNEED_LOCKED; hugetlb memory too (5.18)
  kMadvCollapse,        // MADV_COLLAPSE (6.1)
  kMadvRemoveMaywrite,  // MADV_REMOVE asks for VM_MAYWRITE only (6.7, 6.1.y)
  kMadvRemoveHugetlb,   // MADV_REMOVE of hugetlb memory (4.3)
  kMadvPopulateStops,   // MADV_POPULATE_* ends at a hole (6.9)
  kMadvGuard,           // MADV_GUARD_INSTALL, _REMOVE (6.13; of files 6.15)

  // Faults, fork and VMAs.
  kMergeIntoUntouched,      // a VMA with anonymous pages becomes one with a
                            // neighbour that never had any (6.16)
  kThpCowSplits,            // a huge page is not copied whole after fork (5.8)
  kForkSkipsSharedHugetlb,  // the child faults shared hugetlb pages (5.19)
};
inline constexpr int kBehaviourCount =
    static_cast<int>(Behaviour::kForkSkipsSharedHugetlb) + 1;

struct BehaviourInfo {
  Behaviour behaviour;
  absl::string_view name;
  absl::string_view source;
};
absl::Span<const BehaviourInfo> AllBehaviours();

struct Profile {
  absl::string_view name;        // "v4.9"
  absl::string_view title;       // which mm/mlock.c it is
  uint64_t behaviours = 0;       // bits of Behaviour
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
