// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/hugetlb.h"

#include "engine/reference/reference_testing.h"
#include "gtest/gtest.h"

namespace lockstep::reference {
namespace {

constexpr char kPoolOfTwo[] = R"(kernel: "v4.9" nr_hugepages: 2)";

TEST(HugetlbTest, AMappingReservesItsPages) {
  Scene scene(kPoolOfTwo);
  scene.Run(MmapAnonymous(0, 32, "HUGETLB"));
  EXPECT_EQ(scene.machine().hugetlb_reserved, 2u);
  EXPECT_EQ(scene.machine().hugetlb_free, 2u);
}

TEST(HugetlbTest, AMappingThatThePoolCannotPromiseIsRefused) {
  Scene scene(kPoolOfTwo);
  scene.Run(MmapAnonymous(0, 32, "HUGETLB"));
  EXPECT_EQ(scene.Run(MmapAnonymous(32, 16, "HUGETLB")), "ENOMEM");
}

TEST(HugetlbTest, ATouchTakesThePageThatWasReserved) {
  Scene scene(kPoolOfTwo);
  scene.Run(MmapAnonymous(0, 32, "HUGETLB"));
  ASSERT_EQ(scene.Run(Touch(3)), "OK");
  EXPECT_EQ(scene.machine().hugetlb_reserved, 1u);
  EXPECT_EQ(scene.machine().hugetlb_free, 1u);
}

TEST(HugetlbTest, UnmapGivesAnUnusedReservationBack) {
  Scene scene(kPoolOfTwo);
  scene.Run(MmapAnonymous(0, 32, "HUGETLB"));
  scene.Run(Munmap(0, 32));
  EXPECT_EQ(scene.machine().hugetlb_reserved, 0u);
}

TEST(HugetlbTest, UnmapOfAPartGivesItsReservationBack) {
  Scene scene(kPoolOfTwo);
  scene.Run(MmapAnonymous(0, 32, "HUGETLB"));
  scene.Run(Munmap(0, 16));
  EXPECT_EQ(scene.machine().hugetlb_reserved, 1u);
}

TEST(HugetlbTest, UnmapGivesUsedPagesBack) {
  Scene scene(kPoolOfTwo);
  scene.Run(MmapAnonymous(0, 32, "HUGETLB"));
  scene.Run(Touch(0));
  scene.Run(Munmap(0, 32));
  EXPECT_EQ(scene.machine().hugetlb_free, 2u);
  EXPECT_EQ(scene.machine().hugetlb_reserved, 0u);
}

TEST(HugetlbTest, MlockBringsPagesInButLocksNothing) {
  Scene scene(kPoolOfTwo);
  scene.Run(MmapAnonymous(0, 16, "HUGETLB"));
  ASSERT_EQ(scene.Run(Mlock(0, 16)), "OK");
  EXPECT_TRUE(scene.Resident(0));
  EXPECT_FALSE(scene.VmLocked(0));
  EXPECT_EQ(scene.nr_mlock(), 0);
}

TEST(HugetlbTest, AnAllocationFailureDoesNotConcernThePool) {
  Scene scene(kPoolOfTwo);
  scene.Run(MmapAnonymous(0, 16, "HUGETLB"));
  scene.Run("fail_allocation { nth: 1 }");
  EXPECT_EQ(scene.Run(Touch(0)), "OK");
}

TEST(HugetlbTest, AChildsCopyMustNotTakeTheParentsReservation) {
  Scene scene(kPoolOfTwo);
  scene.Run(MmapAnonymous(0, 32, "HUGETLB"));
  scene.Run("fork { child: 1 }");
  EXPECT_EQ(scene.Run("task: 1 " + Touch(0)), "SIGBUS");
  EXPECT_EQ(scene.machine().hugetlb_reserved, 2u);
}

}  // namespace
}  // namespace lockstep::reference
