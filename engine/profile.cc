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
};
static_assert(std::size(kBehaviours) == kBehaviourCount);

constexpr uint32_t Behaviours(std::initializer_list<Behaviour> behaviours) {
  uint32_t bits = 0;
  for (Behaviour behaviour : behaviours) {
    bits |= uint32_t{1} << static_cast<int>(behaviour);
  }
  return bits;
}

constexpr DefectSet kV312Defects = {
    Defect::kPagevecIsolationLeak, Defect::kThpSplitRace,
    Defect::kOverlapDoubleCount,   Defect::kRacyStackCharge,
    Defect::kMprotectNoCow,        Defect::kMigrateDropsMlocked,
    Defect::kRmapTrylock,          Defect::kThpSingleEvent,
    Defect::kThpCowStaleMlocked,
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
