// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/profile.h"

#include <cstdint>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

const Profile& V312() { return **FindProfile("v3.12"); }
const Profile& V49() { return **FindProfile("v4.9"); }
const Profile& Named(absl::string_view name) { return **FindProfile(name); }

TEST(ProfileTest, BehavioursAreInOrderWithUniqueNames) {
  ASSERT_EQ(AllBehaviours().size(), static_cast<size_t>(kBehaviourCount));
  std::set<absl::string_view> names;
  for (size_t i = 0; i < AllBehaviours().size(); ++i) {
    const BehaviourInfo& info = AllBehaviours()[i];
    EXPECT_EQ(info.behaviour, static_cast<Behaviour>(i)) << info.name;
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
    EXPECT_FALSE(info.source.empty()) << info.name;
  }
}

TEST(ProfileTest, ProfilesAreFoundByTheirUniqueNames) {
  std::set<absl::string_view> names;
  for (const Profile& profile : AllProfiles()) {
    EXPECT_TRUE(names.insert(profile.name).second) << profile.name;
    ASSERT_TRUE(FindProfile(profile.name).ok());
    EXPECT_EQ(*FindProfile(profile.name), &profile);
  }
  EXPECT_EQ(&DefaultProfile(), &V49());
}

TEST(ProfileTest, AnUnknownProfileIsAnErrorThatNamesTheKnownOnes) {
  const absl::Status status = FindProfile("v2.6\n").status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_EQ(status.message(),
            "unknown kernel \"v2.6\\n\", expected one of: v3.12, v4.9, v6.1, "
            "v6.12, v6.18");
}

TEST(ProfileTest, ShippedDefectsAreApplicable) {
  for (const Profile& profile : AllProfiles()) {
    for (const DefectInfo& info : AllDefects()) {
      EXPECT_LE(profile.shipped.Has(info.defect),
                profile.applicable.Has(info.defect))
          << profile.name << " " << info.name;
    }
  }
}

TEST(ProfileTest, EveryDefectCanBeSwitchedOnSomewhere) {
  for (const DefectInfo& info : AllDefects()) {
    bool somewhere = false;
    for (const Profile& profile : AllProfiles()) {
      somewhere |= profile.applicable.Has(info.defect);
    }
    EXPECT_TRUE(somewhere) << info.name;
  }
}

// The seeds as semantics.md 1.1 and 3 describe them.
TEST(ProfileTest, Version312IsSeed001) {
  EXPECT_EQ(V312().behaviours, 0u);
  EXPECT_EQ(V312().shipped,
            DefectSet({Defect::kPagevecIsolationLeak, Defect::kThpSplitRace,
                       Defect::kOverlapDoubleCount, Defect::kRacyStackCharge,
                       Defect::kMprotectNoCow, Defect::kMigrateDropsMlocked,
                       Defect::kRmapTrylock, Defect::kThpSingleEvent,
                       Defect::kThpCowStaleMlocked}));
  EXPECT_EQ(V312().stack_guard_gap, 1u);
}

// The names of a profile's behaviours that another does not have.
std::set<absl::string_view> Beyond(const Profile& profile,
                                   const Profile& before) {
  std::set<absl::string_view> names;
  for (const BehaviourInfo& info : AllBehaviours()) {
    if (profile.Has(info.behaviour) && !before.Has(info.behaviour)) {
      names.insert(info.name);
    }
  }
  return names;
}

TEST(ProfileTest, Version49IsSeed000) {
  EXPECT_THAT(
      Beyond(V49(), V312()),
      UnorderedElementsAre(
          "mlock2", "killable-mmap-lock", "madv-free", "lru-per-node",
          "pte-mapped-thp", "flush-on-compound", "flush-when-full",
          "stack-guard-gap", "onfault-needs-access", "execute-only-pkey",
          "mremap-empty-overlaps-nothing", "madv-remove-hugetlb"));
  EXPECT_EQ(V49().shipped,
            DefectSet({Defect::kMclOnfaultAlone, Defect::kThpSingleEvent,
                       Defect::kThpCowStaleMlocked}));
  EXPECT_FALSE(V49().applicable.Has(Defect::kThpSplitRace));
  EXPECT_EQ(V49().stack_guard_gap, 256u);
}

// What programs see of later kernels comes on top, over v4.9's page mechanism.
TEST(ProfileTest, Version61HasWhatCameAfter49) {
  EXPECT_THAT(
      Beyond(Named("v6.1"), V49()),
      UnorderedElementsAre(
          "mlock-walks-pages", "overlap-clamps-end", "map-shared-validate",
          "map-fixed-noreplace", "memfd-secret", "secretmem-per-user",
          "madv-remove-maywrite", "brk-shrink-needs-heap",
          "mremap-no-private-copy", "mremap-fixed-needs-maps",
          "mremap-dontunmap", "mremap-hugetlb", "madv-wipeonfork", "madv-cold",
          "madv-populate", "madv-dontneed-locked", "madv-collapse",
          "thp-cow-splits", "fork-skips-shared-hugetlb"));
  EXPECT_THAT(Beyond(V49(), Named("v6.1")),
              UnorderedElementsAre("onfault-needs-access"));
  EXPECT_EQ(Named("v6.1").shipped, DefectSet({Defect::kMremapLosesReserve}));
}

TEST(ProfileTest, Version612HasWhatCameAfter61) {
  EXPECT_THAT(
      Beyond(Named("v6.12"), Named("v6.1")),
      UnorderedElementsAre("map-droppable", "map-stack-no-thp",
                           "thp-aligned-placement", "mmap-unmaps-last",
                           "mprotect-unaccounts", "madv-populate-stops"));
  EXPECT_THAT(Beyond(Named("v6.1"), Named("v6.12")), IsEmpty());
  EXPECT_EQ(Named("v6.12").shipped, DefectSet({Defect::kSwapinNotMlocked,
                                               Defect::kMremapLosesReserve}));
}

TEST(ProfileTest, Version618HasWhatCameAfter612) {
  EXPECT_THAT(
      Beyond(Named("v6.18"), Named("v6.12")),
      UnorderedElementsAre("mremap-checks-first", "mremap-moves-several",
                           "madv-guard", "merge-into-untouched"));
  // Stable branches took it after 6.18.44.
  EXPECT_THAT(Beyond(Named("v6.12"), Named("v6.18")),
              UnorderedElementsAre("secretmem-per-user"));
  EXPECT_EQ(
      Named("v6.18").shipped,
      DefectSet({Defect::kDontunmapDoubleCharge, Defect::kDontunmapUnlocksWhole,
                 Defect::kDontunmapSelfMerge, Defect::kMremapLosesReserve}));
}

TEST(ParseDefectsTest, NoChangesAreTheShippedDefects) {
  EXPECT_EQ(*ParseDefects(V312(), ""), V312().shipped);
  EXPECT_EQ(*ParseDefects(V312(), "  "), V312().shipped);
}

TEST(ParseDefectsTest, NoneSwitchesAllOff) {
  EXPECT_EQ(*ParseDefects(V312(), "none"), DefectSet());
  EXPECT_EQ(*ParseDefects(V312(), "none,+D3"),
            DefectSet({Defect::kOverlapDoubleCount}));
}

TEST(ParseDefectsTest, SignsSwitchOnAndOff) {
  EXPECT_EQ(*ParseDefects(V49(), "+overlap-double-count, -mcl-onfault-alone"),
            DefectSet({Defect::kOverlapDoubleCount, Defect::kThpSingleEvent,
                       Defect::kThpCowStaleMlocked}));
}

struct BadList {
  const char* list;
  const char* message;
};
class BadDefectsTest : public testing::TestWithParam<BadList> {};
TEST_P(BadDefectsTest, IsAnError) {
  const auto defects = ParseDefects(V49(), GetParam().list);
  EXPECT_TRUE(absl::IsInvalidArgument(defects.status()));
  EXPECT_THAT(std::string(defects.status().message()),
              HasSubstr(GetParam().message));
}
INSTANTIATE_TEST_SUITE_P(
    Lists, BadDefectsTest,
    testing::Values(BadList{"+nonsense",
                            "unknown defect \"nonsense\", expected one of: "
                            "pagevec-isolation-leak, overlap-double-count"},
                    BadList{"+thp-split-race",
                            "defect \"thp-split-race\" does not exist "
                            "in the mechanism of v4.9"},
                    BadList{"overlap-double-count",
                            "expected +name, -name or a leading "
                            "none, found \"overlap-double-count\""},
                    BadList{"+D3,none", "found \"none\""},
                    BadList{"+D3,,-D6", "found \"\""},
                    BadList{"+", "found \"+\""},
                    BadList{"+D3,", "found \"\""}));

TEST(FormatDefectsTest, TheShippedSetIsAnEmptyList) {
  EXPECT_EQ(FormatDefects(V312(), V312().shipped), "");
  EXPECT_EQ(FormatDefects(V312(), DefectSet()), "none");
  EXPECT_EQ(FormatDefects(
                V49(), {Defect::kThpSingleEvent, Defect::kThpCowStaleMlocked}),
            "-mcl-onfault-alone");
  EXPECT_EQ(FormatDefects(V312(), {Defect::kOverlapDoubleCount}),
            "none,+overlap-double-count");
}

// All 2^11 sets of either profile.
TEST(FormatDefectsTest, EveryApplicableSetIsReadBackEqual) {
  for (const Profile& profile : AllProfiles()) {
    for (uint32_t bits = 0; bits < (1u << kDefectCount); ++bits) {
      DefectSet set;
      bool applicable = true;
      for (int i = 0; i < kDefectCount; ++i) {
        if ((bits >> i & 1) == 0) continue;
        set.Add(static_cast<Defect>(i));
        applicable &= profile.applicable.Has(static_cast<Defect>(i));
      }
      if (!applicable) continue;
      const std::string list = FormatDefects(profile, set);
      const auto read = ParseDefects(profile, list);
      ASSERT_TRUE(read.ok()) << list << ": " << read.status();
      ASSERT_EQ(*read, set) << list;
    }
  }
}

}  // namespace
}  // namespace lockstep
