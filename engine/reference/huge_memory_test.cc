// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/huge_memory.h"

#include "engine/reference/reference_testing.h"
#include "gtest/gtest.h"

namespace lockstep::reference {
namespace {

constexpr char kV49[] =
    R"(kernel: "v4.9" defects: "none" transparent_hugepage: ALWAYS)";
constexpr char kV312[] =
    R"(kernel: "v3.12" defects: "none" transparent_hugepage: ALWAYS)";
constexpr char kSplitPmd[] = "split { page { page: 0 } pmd_only: true }";

bool Huge(const Scene& scene, uint64_t arena_page) {
  return GetHugePmd(scene.machine(), 0, Scene::At(arena_page)) != 0;
}

int CountMlocked(const Scene& scene, uint64_t pages) {
  int count = 0;
  for (uint64_t page = 0; page < pages; ++page) count += scene.Mlocked(page);
  return count;
}

TEST(HugeMemoryTest, AFaultInAWholeTableOfAVmaGetsAHugePage) {
  Scene scene(kV49);
  scene.Run(MmapAnonymous(0, 16));
  scene.Run(Touch(5));
  EXPECT_TRUE(Huge(scene, 0));
}

TEST(HugeMemoryTest, AVmaThatEndsInsideTheTableGetsASmallPage) {
  Scene scene(kV49);
  scene.Run(MmapAnonymous(0, 15));
  scene.Run(Touch(5));
  ASSERT_TRUE(scene.Resident(5));
  EXPECT_FALSE(Huge(scene, 0));
}

TEST(HugeMemoryTest, AFailedHugeAllocationFallsBackToASmallPage) {
  Scene scene(kV49);
  scene.Run(MmapAnonymous(0, 16));
  scene.Run("fail_allocation { nth: 1 }");
  ASSERT_EQ(scene.Run(Touch(5)), "OK");
  EXPECT_TRUE(scene.Resident(5));
  EXPECT_FALSE(Huge(scene, 0));
}

TEST(HugeMemoryTest, OnV49SplittingThePmdClearsMlocked) {
  Scene scene(kV49);
  scene.Run(MmapAnonymous(0, 16, "LOCKED"));
  ASSERT_EQ(scene.nr_mlock(), 16);
  ASSERT_EQ(scene.Run(kSplitPmd), "OK");
  EXPECT_FALSE(scene.Mlocked(0));
  EXPECT_EQ(scene.nr_mlock(), 0);
}

TEST(HugeMemoryTest, OnV49SplittingThePmdIsOneClearedEvent) {
  Scene scene(R"(kernel: "v4.9" transparent_hugepage: ALWAYS)");
  scene.Run(MmapAnonymous(0, 16, "LOCKED"));
  scene.Run(kSplitPmd);
  EXPECT_EQ(scene.events().cleared, 1);
}

TEST(HugeMemoryTest, OnV49SplittingThePmdLeavesThePageWhole) {
  Scene scene(kV49);
  scene.Run(MmapAnonymous(0, 16, "POPULATE"));
  scene.Run(kSplitPmd);
  EXPECT_FALSE(Huge(scene, 0));
  EXPECT_TRUE(scene.page(0).Is(kPageHead));
}

TEST(HugeMemoryTest, OnV312SplittingThePmdMlocksEverySmallPage) {
  Scene scene(kV312);
  scene.Run(MmapAnonymous(0, 16, "LOCKED"));
  ASSERT_EQ(scene.Run(kSplitPmd), "OK");
  EXPECT_FALSE(scene.page(0).compound());
  EXPECT_EQ(CountMlocked(scene, 16), 16);
  EXPECT_EQ(scene.nr_mlock(), 16);
}

TEST(HugeMemoryTest, OnV312EverySmallPageOfASplitIsOnTheUnevictableList) {
  Scene scene(kV312);
  scene.Run(MmapAnonymous(0, 16, "LOCKED"));
  scene.Run(kSplitPmd);
  EXPECT_EQ(scene.ListSize(kUnevictable), 16u);
}

TEST(HugeMemoryTest, OnV49SplittingThePageMlocksItsPartsAgain) {
  Scene scene(kV49);
  scene.Run(MmapAnonymous(0, 16, "LOCKED"));
  ASSERT_EQ(scene.Run(Act("split", 0)), "OK");
  EXPECT_EQ(CountMlocked(scene, 16), 16);
  EXPECT_EQ(scene.nr_mlock(), 16);
}

TEST(HugeMemoryTest, OnV49UnlockingAPartLeavesNoPartMlocked) {
  Scene scene(kV49);
  scene.Run(MmapAnonymous(0, 16, "LOCKED"));
  scene.Run(Munlock(0, 1));
  EXPECT_TRUE(scene.VmLocked(1));
  EXPECT_EQ(scene.nr_mlock(), 0);
}

TEST(HugeMemoryTest, OnV312UnlockingAPartLeavesTheRestMlocked) {
  Scene scene(kV312);
  scene.Run(MmapAnonymous(0, 16, "LOCKED"));
  scene.Run(Munlock(0, 1));
  EXPECT_FALSE(scene.Mlocked(0));
  EXPECT_EQ(CountMlocked(scene, 16), 15);
}

TEST(HugeMemoryTest, AHugePageMappedByPtesIsNotMlocked) {
  Scene scene(kV49);
  scene.Run(MmapAnonymous(0, 16, "POPULATE"));
  scene.Run(kSplitPmd);
  ASSERT_EQ(scene.Run(Mlock(0, 16)), "OK");
  EXPECT_FALSE(scene.Mlocked(0));
  EXPECT_EQ(scene.nr_mlock(), 0);
}

// A read-only mapping, so that mlock does not break COW first.
void MlockSharedHugePage(Scene* scene) {
  scene->Run(MmapAnonymous(0, 16, "POPULATE"));
  scene->Run("mprotect { " + Range(0, 16) + " prot: READ }");
  scene->Run("fork { child: 1 }");
  ASSERT_EQ(scene->Run(Mlock(0, 16)), "OK");
  ASSERT_EQ(scene->pfn(0), scene->pfn(0, 1));
}

TEST(HugeMemoryTest, OnV49AHugePageMappedTwiceIsNotMlocked) {
  Scene scene(kV49);
  MlockSharedHugePage(&scene);
  EXPECT_FALSE(scene.Mlocked(0));
}

TEST(HugeMemoryTest, OnV312AHugePageMappedTwiceIsMlocked) {
  Scene scene(kV312);
  MlockSharedHugePage(&scene);
  EXPECT_TRUE(scene.Mlocked(0));
}

TEST(HugeMemoryTest, OnV49APinnedPageIsNotSplit) {
  Scene scene(kV49);
  scene.Run(MmapAnonymous(0, 16, "LOCKED"));
  scene.Run(Act("isolate", 0));
  EXPECT_EQ(scene.Run(Act("split", 0)), "SKIPPED");
  EXPECT_TRUE(Huge(scene, 0));
}

TEST(HugeMemoryTest, OnV312APinnedPageIsSplit) {
  Scene scene(kV312);
  scene.Run(MmapAnonymous(0, 16, "LOCKED"));
  scene.Run(Act("isolate", 0));
  EXPECT_EQ(scene.Run(Act("split", 0)), "OK");
  EXPECT_FALSE(scene.page(0).compound());
}

TEST(HugeMemoryTest, OnV49UnmappedPartsOfAHugePageStayAllocated) {
  Scene scene(kV49);
  scene.Run(MmapAnonymous(0, 16, "LOCKED"));
  uint64_t free_before = scene.machine().free_frames;
  scene.Run(Munmap(1, 15));
  EXPECT_EQ(scene.machine().free_frames, free_before);
}

TEST(HugeMemoryTest, SplittingThePageFreesItsUnmappedParts) {
  Scene scene(kV49);
  scene.Run(MmapAnonymous(0, 16, "LOCKED"));
  uint64_t free_before = scene.machine().free_frames;
  scene.Run(Munmap(1, 15));
  ASSERT_EQ(scene.Run(Act("split", 0)), "OK");
  EXPECT_EQ(scene.machine().free_frames, free_before + 15);
}

TEST(HugeMemoryTest, CollapseMakesOneMlockedHugePage) {
  Scene scene(kV49);
  scene.Run(MmapAnonymous(0, 16, "LOCKED"));
  scene.Run(Act("split", 0));
  ASSERT_EQ(scene.nr_mlock(), 16);
  ASSERT_EQ(scene.Run(Act("collapse", 3)), "OK");
  EXPECT_TRUE(Huge(scene, 0));
  EXPECT_TRUE(scene.Mlocked(0));
  EXPECT_EQ(scene.nr_mlock(), 16);
}

TEST(HugeMemoryTest, CollapseClearsTheSmallPages) {
  Scene scene(kV49);
  scene.Run(MmapAnonymous(0, 16, "LOCKED"));
  scene.Run(Act("split", 0));
  int64_t cleared_before = scene.events().cleared;
  scene.Run(Act("collapse", 3));
  EXPECT_EQ(scene.events().cleared, cleared_before + 16);
}

TEST(HugeMemoryTest, ATableThatCrossesAVmaIsNotCollapsed) {
  Scene scene(kV49);
  scene.Run(MmapAnonymous(0, 12, "LOCKED"));
  EXPECT_EQ(scene.Run(Act("collapse", 0)), "SKIPPED");
}

TEST(HugeMemoryTest, APageHeldOffItsListIsNotCollapsed) {
  Scene scene(kV49);
  scene.Run(MmapAnonymous(0, 16, "LOCKED"));
  scene.Run(Act("split", 0));
  scene.Run(Act("isolate", 7));
  EXPECT_EQ(scene.Run(Act("collapse", 0)), "SKIPPED");
}

}  // namespace
}  // namespace lockstep::reference
