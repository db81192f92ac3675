// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/vma.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "engine/reference/reference_testing.h"
#include "gtest/gtest.h"

namespace lockstep::reference {
namespace {

TEST(VmaTest, LockingTheMiddleMakesThreeOfOne) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 3));
  ASSERT_EQ(scene.map_count(), 1u);
  scene.Run(Mlock(1, 1));
  EXPECT_EQ(scene.map_count(), 3u);
}

TEST(VmaTest, UnlockingTheMiddleMakesOneOfThree) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 3));
  scene.Run(Touch(0));
  scene.Run(Mlock(1, 1));
  scene.Run(Munlock(1, 1));
  EXPECT_EQ(scene.map_count(), 1u);
}

// is_mergeable_anon_vma up to 6.15: not into what never had a page.
TEST(VmaTest, AMappingWithPagesMergesIntoOneWithoutFrom616On) {
  for (const char* kernel : {"v3.12", "v4.9", "v6.1", "v6.12", "v6.18"}) {
    Scene scene(absl::StrCat("kernel: '", kernel, "'"));
    scene.Run(MmapAnonymous(0, 3));
    scene.Run(Mlock(1, 1));
    scene.Run(Munlock(1, 1));
    EXPECT_EQ(scene.map_count(), std::string(kernel) == "v6.18" ? 1u : 3u)
        << kernel;
  }
}

// What fork gave a process does not become one with what it maps itself.
TEST(VmaTest, InheritedMappingsStayApart) {
  Scene scene(R"(kernel: "v6.18")");
  scene.Run(MmapAnonymous(1, 1));
  scene.Run(Touch(1));
  scene.Run("fork { child: 1 }");
  scene.Run(MmapAnonymous(0, 1));
  EXPECT_EQ(scene.map_count(), 1u);
  const Machine& machine = scene.machine();
  EXPECT_EQ(scene.Run("task: 1 " + MmapAnonymous(0, 1)), "OK");
  EXPECT_EQ(machine.mms[machine.tasks[1].mm].vmas.size(), 2u);
}

TEST(VmaTest, LockOnFaultInTheMiddleOfALockedVmaMakesThree) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 3, "LOCKED"));
  scene.Run(MlockOnfault(1, 1));
  EXPECT_EQ(scene.map_count(), 3u);
}

TEST(VmaTest, LockingAnEdgeMakesTwoOfOne) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 3));
  scene.Run(Mlock(0, 1));
  EXPECT_EQ(scene.map_count(), 2u);
}

TEST(VmaTest, ALockedPageNextToALockedVmaJoinsIt) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 3));
  scene.Run(Mlock(0, 1));
  scene.Run(Mlock(1, 1));
  EXPECT_EQ(scene.map_count(), 2u);
  EXPECT_EQ(scene.vma(0)->end, Scene::At(2));
}

TEST(VmaTest, NeighboursOfDifferentLockKindStayApart) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 2));
  scene.Run(Mlock(0, 1));
  scene.Run(MlockOnfault(1, 1));
  EXPECT_EQ(scene.map_count(), 2u);
}

TEST(VmaTest, ASplitLeavesEachPartItsFileOffset) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapFile(4, 3));
  scene.Run(Mlock(5, 1));
  EXPECT_EQ(scene.vma(5)->pgoff, 1u);
  EXPECT_EQ(scene.vma(6)->pgoff, 2u);
}

TEST(VmaTest, AMovedBoundaryMovesTheFileOffset) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapFile(4, 3));
  scene.Run(Mlock(4, 1));
  scene.Run(Mlock(5, 1));
  ASSERT_EQ(scene.map_count(), 2u);
  EXPECT_EQ(scene.vma(6)->pgoff, 2u);
}

TEST(VmaTest, NeighboursThatDoNotContinueTheFileStayApart) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapFile(0, 1));
  scene.Run(MmapFile(1, 1));
  EXPECT_EQ(scene.map_count(), 2u);
}

TEST(VmaTest, PagesWithAnonVmasOfTheirOwnKeepNeighboursApart) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1));
  scene.Run(MmapAnonymous(2, 1));
  scene.Run(Touch(0));
  scene.Run(Touch(2));
  scene.Run(MmapAnonymous(1, 1));
  EXPECT_EQ(scene.map_count(), 2u);
}

TEST(VmaTest, LockingAndUnlockingDoesNotJoinAnonVmas) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1));
  scene.Run(MmapAnonymous(2, 1));
  scene.Run(Touch(0));
  scene.Run(Touch(2));
  scene.Run(MmapAnonymous(1, 1));
  scene.Run(Mlock(2, 1));
  scene.Run(Munlock(2, 1));
  EXPECT_EQ(scene.map_count(), 2u);
}

TEST(VmaTest, AMappingBetweenTwoJoinsThemIfNothingWasTouched) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1));
  scene.Run(MmapAnonymous(2, 1));
  scene.Run(MmapAnonymous(1, 1));
  EXPECT_EQ(scene.map_count(), 1u);
}

TEST(VmaTest, ASplitAtTheMapCountLimitIsRefused) {
  Scene scene(R"(kernel: "v4.9" max_map_count: 1)");
  scene.Run(MmapAnonymous(0, 3));
  EXPECT_EQ(scene.Run(Mlock(1, 1)), "ENOMEM");
  EXPECT_FALSE(scene.VmLocked(1));
  EXPECT_EQ(scene.mm().locked_vm, Pages{0});
}

TEST(VmaTest, TheSecondSplitAtTheMapCountLimitIsRefusedAfterTheFirst) {
  Scene scene(R"(kernel: "v4.9" max_map_count: 2)");
  scene.Run(MmapAnonymous(0, 3));
  EXPECT_EQ(scene.Run(Mlock(1, 1)), "ENOMEM");
  EXPECT_EQ(scene.map_count(), 2u);
}

TEST(VmaTest, LockingAWholeVmaAtTheMapCountLimitNeedsNoSplit) {
  Scene scene(R"(kernel: "v4.9" max_map_count: 1)");
  scene.Run(MmapAnonymous(0, 3));
  EXPECT_EQ(scene.Run(Mlock(0, 3)), "OK");
}

TEST(VmaTest, MovingABoundaryAtTheMapCountLimitNeedsNoSplit) {
  Scene scene(R"(kernel: "v4.9" max_map_count: 2)");
  scene.Run(MmapAnonymous(0, 3));
  scene.Run(Mlock(0, 1));
  EXPECT_EQ(scene.Run(Mlock(1, 1)), "OK");
}

TEST(VmaTest, MunmapOfTheMiddleAtTheMapCountLimitIsRefused) {
  Scene scene(R"(kernel: "v4.9" max_map_count: 1)");
  scene.Run(MmapAnonymous(0, 3));
  EXPECT_EQ(scene.Run(Munmap(1, 1)), "ENOMEM");
  EXPECT_NE(scene.vma(1), nullptr);
}

TEST(VmaTest, AHugetlbVmaIsNotCutInsideAHugePage) {
  Scene scene(R"(kernel: "v4.9" nr_hugepages: 2)");
  scene.Run(MmapAnonymous(0, 32, "HUGETLB"));
  EXPECT_EQ(scene.Run(Munmap(0, 1)), "EINVAL");
}

TEST(VmaTest, AnAttachedSegmentMergesWithNothing) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run("shmget { shm: 0 size: 12288 }");
  ASSERT_EQ(scene.Run("shmat { shm: 0 addr { page: 0 } }"), "OK");
  scene.Run(Mlock(1, 1));
  scene.Run(Munlock(1, 1));
  EXPECT_EQ(scene.map_count(), 3u);
}

}  // namespace
}  // namespace lockstep::reference
