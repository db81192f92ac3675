// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/profile.h"

#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/defect.h"

namespace lockstep {
namespace {

constexpr BehaviourInfo kBehaviours[] = {
    {Behaviour::kMlock2, "mlock2",
     "4.4: mlock2, MLOCK_ONFAULT, MCL_ONFAULT, VM_LOCKONFAULT"},
    {Behaviour::kKillableMmapLock, "killable-mmap-lock",
     "4.7: down_write_killable in mlock, munlock, mlockall, munlockall"},
    {Behaviour::kMadvFree, "madv-free", "4.5: MADV_FREE"},
    {Behaviour::kLruPerNode, "lru-per-node",
     "4.8: lruvec and lru_lock of the node"},
    {Behaviour::kPteMappedThp, "pte-mapped-thp",
     "4.5: new THP reference counting, PageDoubleMap"},
    {Behaviour::kFlushOnCompound, "flush-on-compound",
     "4.7: __lru_cache_add, PageCompound"},
    {Behaviour::kFlushWhenFull, "flush-when-full",
     "4.8: __lru_cache_add, !pagevec_add"},
    {Behaviour::kStackGuardGap, "stack-guard-gap",
     "4.12 and 4.9.34: stack_guard_gap"},
    {Behaviour::kOnfaultNeedsAccess, "onfault-needs-access",
     "to 5.17: populate of a lock-on-fault VMA checks access"},
    {Behaviour::kOverlapClampsEnd, "overlap-clamps-end",
     "6.1: count_mm_mlocked_page_nr, ULONG_MAX"},
    {Behaviour::kMlockWalksPages, "mlock-walks-pages",
     "5.18: mlock_vma_pages_range"},
    {Behaviour::kExecuteOnlyPkey, "execute-only-pkey",
     "4.6: do_mmap, execute_only_pkey; arch_override_mprotect_pkey"},
    {Behaviour::kMapSharedValidate, "map-shared-validate",
     "4.15: do_mmap, MAP_SHARED_VALIDATE"},
    {Behaviour::kMapFixedNoreplace, "map-fixed-noreplace",
     "4.17: do_mmap, MAP_FIXED_NOREPLACE"},
    {Behaviour::kMemfdSecret, "memfd-secret",
     "5.14: mm/secretmem.c; up to 6.4 at secretmem.enable=1"},
    {Behaviour::kSecretmemPerUser, "secretmem-per-user",
     "stable, by 6.1.192 and 6.12.117, not in 6.18.44: secretmem_fault"},
    {Behaviour::kMapDroppable, "map-droppable", "6.11: do_mmap, MAP_DROPPABLE"},
    {Behaviour::kBrkShrinkNeedsHeap, "brk-shrink-needs-heap",
     "6.1: brk, the search for brkvma"},
    {Behaviour::kMapStackNoThp, "map-stack-no-thp",
     "6.7: calc_vm_flag_bits, MAP_STACK"},
    {Behaviour::kThpAlignedPlacement, "thp-aligned-placement",
     "6.7: __get_unmapped_area, thp_get_unmapped_area"},
    {Behaviour::kMmapUnmapsLast, "mmap-unmaps-last",
     "6.12: mmap_region, vms_gather_munmap_vmas, vms_complete_munmap_vmas"},
    {Behaviour::kMprotectUnaccounts, "mprotect-unaccounts",
     "6.7 (?): mprotect_fixup, VM_ACCOUNT"},
    {Behaviour::kMremapEmptyOverlapsNothing, "mremap-empty-overlaps-nothing",
     "4.3: mremap_to, the overlap of the ranges"},
    {Behaviour::kMremapNoPrivateCopy, "mremap-no-private-copy",
     "4.14: vma_to_resize"},
    {Behaviour::kMremapFixedNeedsMaps, "mremap-fixed-needs-maps",
     "5.1: mremap_to"},
    {Behaviour::kMremapDontunmap, "mremap-dontunmap",
     "5.7: move_vma; 5.13: of any mapping"},
    {Behaviour::kMremapHugetlb, "mremap-hugetlb",
     "5.16: mremap, vma_lookup and hugetlb"},
    {Behaviour::kMremapChecksFirst, "mremap-checks-first",
     "6.17: check_mremap_params, check_prep_vma"},
    {Behaviour::kMremapMovesSeveral, "mremap-moves-several",
     "6.17: remap_move"},
    {Behaviour::kMadvWipeonfork, "madv-wipeonfork",
     "4.14: madvise_behavior, dup_mmap"},
    {Behaviour::kMadvCold, "madv-cold", "5.4: madvise_cold, madvise_pageout"},
    {Behaviour::kMadvPopulate, "madv-populate", "5.14: madvise_populate"},
    {Behaviour::kMadvDontneedLocked, "madv-dontneed-locked",
     "5.18: madvise_dontneed_free_valid_vma"},
    {Behaviour::kMadvCollapse, "madv-collapse", "6.1: madvise_collapse"},
    {Behaviour::kMadvRemoveMaywrite, "madv-remove-maywrite",
     "6.7, and 6.1.y by 6.1.192: madvise_remove, vma_is_shared_maywrite"},
    {Behaviour::kMadvRemoveHugetlb, "madv-remove-hugetlb",
     "4.3: madvise_remove, hugetlbfs_punch_hole"},
    {Behaviour::kMadvPopulateStops, "madv-populate-stops",
     "6.9: madvise_populate, faultin_page_range"},
    {Behaviour::kMadvGuard, "madv-guard",
     "6.13: madvise_guard_install; 6.15: of files"},
    {Behaviour::kMergeIntoUntouched, "merge-into-untouched",
     "6.16, 879bca0a2c4f: is_mergeable_anon_vma"},
    {Behaviour::kThpCowSplits, "thp-cow-splits", "5.8: do_huge_pmd_wp_page"},
    {Behaviour::kForkSkipsSharedHugetlb, "fork-skips-shared-hugetlb",
     "5.19: vma_needs_copy"},
};
static_assert(std::size(kBehaviours) == kBehaviourCount);

static_assert(kBehaviourCount <= 64, "Profile::behaviours has 64 bits");

constexpr uint64_t Behaviours(std::initializer_list<Behaviour> behaviours) {
  uint64_t bits = 0;
  for (Behaviour behaviour : behaviours) {
    bits |= uint64_t{1} << static_cast<int>(behaviour);
  }
  return bits;
}

// The page-level mechanism that is modelled for a kernel, as the behaviours
// that belong to it.
//
// That of v4.9 (pagevec munlock, no mlock_count) stands in for the folio
// batches of 5.18 and later until these are modelled: programs see the same
// lock flags, charges, residency and errnos, but which page is Mlocked at which
// moment, and the counters, are those of v4.9.
constexpr uint64_t kPagevecMechanism = Behaviours({
    Behaviour::kLruPerNode,
    Behaviour::kPteMappedThp,
    Behaviour::kFlushOnCompound,
    Behaviour::kFlushWhenFull,
});

// What v6.1 and every later profile have.
constexpr uint64_t kSince61 = Behaviours({
    Behaviour::kMlock2,
    Behaviour::kKillableMmapLock,
    Behaviour::kMadvFree,
    Behaviour::kStackGuardGap,
    Behaviour::kOverlapClampsEnd,
    Behaviour::kMlockWalksPages,
    Behaviour::kExecuteOnlyPkey,
    Behaviour::kMapSharedValidate,
    Behaviour::kMapFixedNoreplace,
    Behaviour::kMemfdSecret,
    Behaviour::kBrkShrinkNeedsHeap,
    Behaviour::kMremapEmptyOverlapsNothing,
    Behaviour::kMremapNoPrivateCopy,
    Behaviour::kMremapFixedNeedsMaps,
    Behaviour::kMremapDontunmap,
    Behaviour::kMremapHugetlb,
    Behaviour::kMadvWipeonfork,
    Behaviour::kMadvCold,
    Behaviour::kMadvPopulate,
    Behaviour::kMadvDontneedLocked,
    Behaviour::kMadvCollapse,
    Behaviour::kMadvRemoveMaywrite,
    Behaviour::kMadvRemoveHugetlb,
    Behaviour::kThpCowSplits,
    Behaviour::kForkSkipsSharedHugetlb,
});
// What stable branches took that are newer than the one of v6.18: no later
// profile inherits it.
constexpr uint64_t kStable2026 = Behaviours({Behaviour::kSecretmemPerUser});
constexpr uint64_t kSince612 = kSince61 | Behaviours({
                                              Behaviour::kMapDroppable,
                                              Behaviour::kMapStackNoThp,
                                              Behaviour::kThpAlignedPlacement,
                                              Behaviour::kMmapUnmapsLast,
                                              Behaviour::kMprotectUnaccounts,
                                              Behaviour::kMadvPopulateStops,
                                          });
constexpr uint64_t kSince618 = kSince612 | Behaviours({
                                               Behaviour::kMremapChecksFirst,
                                               Behaviour::kMremapMovesSeveral,
                                               Behaviour::kMadvGuard,
                                               Behaviour::kMergeIntoUntouched,
                                           });

constexpr DefectSet kV312Defects = {
    Defect::kPagevecIsolationLeak, Defect::kThpSplitRace,
    Defect::kOverlapDoubleCount,   Defect::kRacyStackCharge,
    Defect::kMprotectNoCow,        Defect::kMigrateDropsMlocked,
    Defect::kRmapTrylock,          Defect::kThpSingleEvent,
    Defect::kThpCowStaleMlocked,
};

// Those of MREMAP_DONTUNMAP came with the split of mremap into steps (6.15, ?).
constexpr DefectSet kV618Defects = {
    Defect::kDontunmapDoubleCharge, Defect::kDontunmapUnlocksWhole,
    Defect::kDontunmapSelfMerge, Defect::kMremapLosesReserve};

// Defects that a program meets whatever mechanism moves the pages.
constexpr DefectSet kSystemCallDefects = {
    Defect::kOverlapDoubleCount,    Defect::kOnfaultDoubleCharge,
    Defect::kOverlapIntOverflow,    Defect::kMclOnfaultAlone,
    Defect::kMprotectNoCow,         Defect::kDontunmapDoubleCharge,
    Defect::kDontunmapUnlocksWhole, Defect::kDontunmapSelfMerge,
    Defect::kSwapinNotMlocked,      Defect::kMremapLosesReserve,
};

constexpr Profile kProfiles[] = {
    {
        .name = "v3.12",
        .title = "mm/mlock.c of v3.12.24, seed 001",
        .behaviours = 0,
        .shipped = kV312Defects,
        .applicable = kV312Defects,
        // The guard page is the lowest page of the VMA itself.
        .stack_guard_gap = 1,
    },
    {
        .name = "v4.9",
        .title = "mm/mlock.c of v4.9.337, seed 000",
        .behaviours = Behaviours({
            Behaviour::kMlock2,
            Behaviour::kKillableMmapLock,
            Behaviour::kMadvFree,
            Behaviour::kLruPerNode,
            Behaviour::kPteMappedThp,
            Behaviour::kFlushOnCompound,
            Behaviour::kFlushWhenFull,
            Behaviour::kStackGuardGap,
            Behaviour::kOnfaultNeedsAccess,
            Behaviour::kExecuteOnlyPkey,
            Behaviour::kMremapEmptyOverlapsNothing,
            Behaviour::kMadvRemoveHugetlb,
        }),
        .shipped = {Defect::kMclOnfaultAlone, Defect::kThpSingleEvent,
                    Defect::kThpCowStaleMlocked},
        // Not D2: from 4.5 on a split needs the page lock, which munlock holds.
        .applicable = {Defect::kPagevecIsolationLeak,
                       Defect::kOverlapDoubleCount,
                       Defect::kOnfaultDoubleCharge,
                       Defect::kOverlapIntOverflow, Defect::kMclOnfaultAlone,
                       Defect::kUnsignedNrDelta, Defect::kRacyStackCharge,
                       Defect::kMprotectNoCow, Defect::kMigrateDropsMlocked,
                       Defect::kRmapTrylock, Defect::kThpSingleEvent,
                       Defect::kThpCowStaleMlocked},
        .stack_guard_gap = 256,
    },
    {
        .name = "v6.1",
        .title = "what programs see of v6.1.y, over the page mechanism of v4.9",
        .behaviours = kSince61 | kStable2026 | kPagevecMechanism,
        .shipped = {Defect::kMremapLosesReserve},
        .applicable = kSystemCallDefects,
        .stack_guard_gap = 256,
    },
    {
        .name = "v6.12",
        .title =
            "what programs see of v6.12.y, over the page mechanism of v4.9",
        .behaviours = kSince612 | kStable2026 | kPagevecMechanism,
        .shipped = {Defect::kSwapinNotMlocked, Defect::kMremapLosesReserve},
        .applicable = kSystemCallDefects,
        .stack_guard_gap = 256,
    },
    {
        .name = "v6.18",
        .title =
            "what programs see of v6.18.y, over the page mechanism of v4.9",
        .behaviours = kSince618 | kPagevecMechanism,
        .shipped = kV618Defects,
        .applicable = kSystemCallDefects,
        .stack_guard_gap = 256,
    },
};
constexpr const Profile& kDefaultProfile = kProfiles[1];

// "a, b, c" of the rows' names that `keep` says yes to.
template <typename Row, typename Keep>
std::string Names(absl::Span<const Row> rows, Keep keep) {
  std::vector<absl::string_view> names;
  for (const Row& row : rows) {
    if (keep(row)) names.push_back(row.name);
  }
  return absl::StrJoin(names, ", ");
}

absl::StatusOr<Defect> ApplicableDefect(const Profile& profile,
                                        absl::string_view name) {
  const DefectInfo* info = FindDefect(name);
  const bool known = info != nullptr;
  if (known && profile.applicable.Has(info->defect)) return info->defect;
  return absl::InvalidArgumentError(absl::StrCat(
      known ? "defect \"" : "unknown defect \"", absl::Utf8SafeCEscape(name),
      known
          ? absl::StrCat("\" does not exist in the mechanism of ", profile.name)
          : std::string("\""),
      ", expected one of: ",
      Names(AllDefects(), [&profile](const DefectInfo& row) {
        return profile.applicable.Has(row.defect);
      })));
}

}  // namespace

absl::Span<const BehaviourInfo> AllBehaviours() { return kBehaviours; }

absl::Span<const Profile> AllProfiles() { return kProfiles; }

const Profile& DefaultProfile() { return kDefaultProfile; }

absl::StatusOr<const Profile*> FindProfile(absl::string_view name) {
  for (const Profile& profile : kProfiles) {
    if (profile.name == name) return &profile;
  }
  return absl::NotFoundError(absl::StrCat(
      "unknown kernel \"", absl::Utf8SafeCEscape(name), "\", expected one of: ",
      Names(AllProfiles(), [](const Profile&) { return true; })));
}

absl::StatusOr<DefectSet> ParseDefects(const Profile& profile,
                                       absl::string_view changes) {
  DefectSet defects = profile.shipped;
  if (absl::StripAsciiWhitespace(changes).empty()) return defects;
  bool first = true;
  for (absl::string_view item : absl::StrSplit(changes, ',')) {
    item = absl::StripAsciiWhitespace(item);
    if (first && item == "none") {
      defects = DefectSet();
    } else if (item.size() > 1 && (item[0] == '+' || item[0] == '-')) {
      absl::StatusOr<Defect> defect = ApplicableDefect(profile, item.substr(1));
      if (!defect.ok()) return defect.status();
      item[0] == '+' ? defects.Add(*defect) : defects.Remove(*defect);
    } else {
      return absl::InvalidArgumentError(absl::StrCat(
          "defects: expected +name, -name or a leading none, found \"",
          absl::Utf8SafeCEscape(item), "\""));
    }
    first = false;
  }
  return defects;
}

std::string FormatDefects(const Profile& profile, DefectSet defects) {
  std::vector<std::string> changes;
  std::vector<std::string> from_none = {"none"};
  for (const DefectInfo& info : AllDefects()) {
    const bool on = defects.Has(info.defect);
    if (on != profile.shipped.Has(info.defect)) {
      changes.push_back(absl::StrCat(on ? "+" : "-", info.name));
    }
    if (on) from_none.push_back(absl::StrCat("+", info.name));
  }
  return absl::StrJoin(changes.size() <= from_none.size() ? changes : from_none,
                       ",");
}

}  // namespace lockstep
