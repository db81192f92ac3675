// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/hugetlb.h"

#include <string>

#include "absl/strings/str_cat.h"
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

TEST(HugetlbTest, NoreserveTakesWhatThePoolCanSpare) {
  Scene scene(kPoolOfTwo);
  ASSERT_EQ(scene.Run(MmapAnonymous(0, 48, "HUGETLB, NORESERVE")), "OK");
  EXPECT_EQ(scene.machine().hugetlb_reserved, 0u);
  ASSERT_EQ(scene.Run(Touch(0)), "OK");
  scene.Run(MmapAnonymous(48, 16, "HUGETLB"));
  EXPECT_EQ(scene.Run(Touch(16)), "SIGBUS");
  scene.Run(Munmap(48, 16));
  EXPECT_EQ(scene.Run(Touch(16)), "OK");
  scene.Run(Munmap(0, 48));
  EXPECT_EQ(scene.machine().hugetlb_reserved, 0u);
  EXPECT_EQ(scene.machine().hugetlb_free, 2u);
}

TEST(HugetlbTest, ASegmentReservesOnceHoweverOftenItIsAttached) {
  Scene scene(kPoolOfTwo);
  scene.Run("shmget { size: 131072 hugetlb: true }");
  EXPECT_EQ(scene.machine().hugetlb_reserved, 2u);
  scene.Run("shmat { addr { page: 0 } }");
  scene.Run(Touch(16));
  scene.Run("shmat { addr { page: 32 } }");
  EXPECT_EQ(scene.machine().hugetlb_reserved, 1u);
  EXPECT_EQ(scene.Run(Touch(32)), "OK");
  EXPECT_EQ(scene.machine().hugetlb_reserved, 0u);
}

TEST(HugetlbTest, APageThatWasGivenBackHasNoReservation) {
  Scene scene(R"(kernel: "v6.1" nr_hugepages: 2)");
  scene.Run(MmapAnonymous(0, 32, "HUGETLB"));
  scene.Run(Touch(0));
  ASSERT_EQ(scene.Run("madvise { length: 65536 advice: DONTNEED }"), "OK");
  scene.Run(Touch(0));
  EXPECT_EQ(scene.machine().hugetlb_reserved, 1u);
  // Unmapping gives back what is reserved for the second page, and no more.
  scene.Run(Munmap(0, 16));
  EXPECT_EQ(scene.machine().hugetlb_reserved, 1u);
  scene.Run(Munmap(16, 16));
  EXPECT_EQ(scene.machine().hugetlb_reserved, 0u);
}

TEST(HugetlbTest, TheOwnersCopyDoesNotSpendTheNextPagesReservation) {
  Scene scene(R"(kernel: "v4.9" nr_hugepages: 3)");
  scene.Run(MmapAnonymous(0, 32, "HUGETLB"));
  scene.Run(Touch(0));
  scene.Run("fork { child: 1 }");
  ASSERT_EQ(scene.Run(Touch(0)), "OK");
  EXPECT_NE(scene.pfn(0, 0), scene.pfn(0, 1));
  EXPECT_EQ(scene.machine().hugetlb_reserved, 1u);
}

TEST(HugetlbTest, TheOwnerTakesBackWhatThePoolCannotCopy) {
  Scene scene(kPoolOfTwo);
  scene.Run(MmapAnonymous(0, 32, "HUGETLB"));
  scene.Run(Touch(0));
  scene.Run("fork { child: 1 }");
  scene.Run("task: 1 fork { child: 2 }");
  const Pfn page = scene.pfn(0);
  ASSERT_EQ(scene.Run(Touch(0)), "OK");
  EXPECT_EQ(scene.pfn(0), page);
  for (int task : {1, 2}) {
    EXPECT_EQ(scene.pfn(0, task), 0u);
    // Nor has it the other one, which is reserved, nor this one any more.
    for (uint64_t at : {0, 16}) {
      EXPECT_EQ(scene.Run(absl::StrCat("task: ", task, " ", Touch(at))),
                "SIGBUS");
    }
  }
  EXPECT_EQ(scene.Run(Touch(16)), "OK");
  scene.Run("task: 1 fork { child: 3 }");
  scene.Run("exit {}");
  EXPECT_EQ(scene.Run("task: 2 " + Touch(0)), "SIGBUS");
  EXPECT_EQ(scene.Run("task: 3 " + Touch(0)), "OK");
}

// ---- MADV_REMOVE ----

std::string MmapShared(uint64_t page, uint64_t pages) {
  return absl::StrCat(
      "mmap { ", MmapFields(page, pages, "SHARED, ANONYMOUS, HUGETLB"), " }");
}

std::string Remove(uint64_t page, uint64_t pages) {
  return absl::StrCat("madvise { ", Range(page, pages), " advice: REMOVE }");
}

TEST(HugetlbPunchHoleTest, IsNoneOfPrivateMemory) {
  Scene scene(kPoolOfTwo);
  scene.Run(MmapAnonymous(0, 16, "HUGETLB"));
  scene.Run(Touch(0));
  EXPECT_EQ(scene.Run(Remove(0, 16)), "EACCES");
  EXPECT_TRUE(scene.Resident(0));
}

TEST(HugetlbPunchHoleTest, IsNoneBefore43) {
  Scene scene(R"(kernel: "v3.12" nr_hugepages: 2)");
  scene.Run(MmapShared(0, 16));
  scene.Run(Touch(0));
  EXPECT_EQ(scene.Run(Remove(0, 16)), "EINVAL");
  EXPECT_TRUE(scene.Resident(0));
}

TEST(HugetlbPunchHoleTest, TakesWholeHugePagesFromEveryTask) {
  Scene scene(kPoolOfTwo);
  scene.Run(MmapShared(0, 32));
  scene.Run(Touch(0));
  scene.Run(Touch(16));
  scene.Run("fork { child: 1 }");
  ASSERT_NE(scene.pfn(0, 1), 0u);
  ASSERT_EQ(scene.Run(Remove(1, 30)), "OK");
  EXPECT_EQ(scene.machine().hugetlb_free, 0u);
  ASSERT_EQ(scene.Run(Remove(0, 31)), "OK");
  EXPECT_EQ(scene.machine().hugetlb_free, 1u);
  for (int task : {0, 1}) {
    EXPECT_EQ(scene.pfn(0, task), 0u);
    EXPECT_NE(scene.pfn(16, task), 0u);
  }
}

TEST(HugetlbPunchHoleTest, GoesByTheOffsetInTheFile) {
  Scene scene(kPoolOfTwo);
  scene.Run(MmapShared(0, 32));
  scene.Run(Touch(0));
  scene.Run(Touch(16));
  scene.Run(Munmap(0, 16));
  ASSERT_EQ(scene.Run(Remove(16, 16)), "OK");
  EXPECT_FALSE(scene.Resident(16));
  EXPECT_EQ(scene.machine().hugetlb_free, 1u);
}

TEST(HugetlbPunchHoleTest, TakesTheReservationOfAPageThatWasThere) {
  Scene scene(kPoolOfTwo);
  scene.Run(MmapShared(0, 32));
  scene.Run(Touch(0));
  ASSERT_EQ(scene.Run(Remove(0, 32)), "OK");
  // The second page never was there.
  EXPECT_EQ(scene.machine().hugetlb_reserved, 1u);
  EXPECT_EQ(scene.machine().hugetlb_free, 2u);
  scene.Run(MmapAnonymous(32, 16, "HUGETLB"));
  EXPECT_EQ(scene.Run(Touch(0)), "SIGBUS");
  EXPECT_EQ(scene.Run(Touch(16)), "OK");
  scene.Run(Munmap(32, 16));
  EXPECT_EQ(scene.Run(Touch(0)), "OK");
  scene.Run(Munmap(0, 32));
  EXPECT_EQ(scene.machine().hugetlb_reserved, 0u);
  EXPECT_EQ(scene.machine().hugetlb_free, 2u);
}

TEST(HugetlbPunchHoleTest, WhoAttachesTheSegmentReservesAgain) {
  Scene scene(kPoolOfTwo);
  scene.Run("shmget { size: 131072 hugetlb: true }");
  scene.Run("shmat { addr { page: 0 } }");
  scene.Run(Touch(0));
  scene.Run(Touch(16));
  ASSERT_EQ(scene.Run(Remove(0, 32)), "OK");
  EXPECT_EQ(scene.machine().hugetlb_reserved, 0u);
  scene.Run(MmapAnonymous(32, 16, "HUGETLB"));
  EXPECT_EQ(scene.Run("shmat { addr { page: 48 } }"), "ENOMEM");
  EXPECT_EQ(scene.machine().hugetlb_reserved, 1u);
  scene.Run(Munmap(32, 16));
  EXPECT_EQ(scene.Run("shmat { addr { page: 48 } }"), "OK");
  EXPECT_EQ(scene.machine().hugetlb_reserved, 2u);
}

TEST(HugetlbPunchHoleTest, ANewObjectHasNoHole) {
  Scene scene(kPoolOfTwo);
  scene.Run(MmapShared(0, 16));
  scene.Run(Touch(0));
  scene.Run(Remove(0, 16));
  scene.Run(Munmap(0, 16));
  scene.Run(MmapShared(0, 16));
  scene.Run(MmapAnonymous(32, 16, "HUGETLB"));
  EXPECT_EQ(scene.Run(Touch(0)), "OK");
}

}  // namespace
}  // namespace lockstep::reference
