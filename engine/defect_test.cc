// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/defect.h"

#include <set>

#include "gtest/gtest.h"

namespace lockstep {
namespace {

TEST(DefectTest, RowsAreInOrderWithUniqueNames) {
  ASSERT_EQ(AllDefects().size(), static_cast<size_t>(kDefectCount));
  std::set<absl::string_view> names;
  for (size_t i = 0; i < AllDefects().size(); ++i) {
    const DefectInfo& info = AllDefects()[i];
    EXPECT_EQ(info.defect, static_cast<Defect>(i)) << info.name;
    EXPECT_EQ(&InfoOf(info.defect), &info);
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
    EXPECT_TRUE(names.insert(info.number).second) << info.number;
  }
}

TEST(DefectTest, EveryRowIsComplete) {
  for (const DefectInfo& info : AllDefects()) {
    EXPECT_FALSE(info.fix.empty()) << info.name;
    EXPECT_FALSE(info.affected.empty()) << info.name;
    EXPECT_EQ(info.mechanism.back(), '.') << info.name;
    EXPECT_FALSE(info.property.empty()) << info.name;
  }
}

TEST(DefectTest, IsFoundByNameAndByNumber) {
  for (const DefectInfo& info : AllDefects()) {
    EXPECT_EQ(FindDefect(info.name), &info);
    EXPECT_EQ(FindDefect(info.number), &info);
  }
  EXPECT_EQ(FindDefect("D7"), nullptr);
  EXPECT_EQ(FindDefect(""), nullptr);
}

TEST(DefectSetTest, HoldsWhatWasAddedAndNotRemoved) {
  DefectSet set = {Defect::kPagevecIsolationLeak, Defect::kThpSingleEvent};
  set.Add(Defect::kMprotectNoCow);
  set.Remove(Defect::kPagevecIsolationLeak);
  EXPECT_EQ(set, DefectSet({Defect::kMprotectNoCow, Defect::kThpSingleEvent}));
  EXPECT_FALSE(set.Has(Defect::kPagevecIsolationLeak));
  EXPECT_TRUE(DefectSet().empty());
}

}  // namespace
}  // namespace lockstep
