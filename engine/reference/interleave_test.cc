// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/interleave.h"

#include "engine/reference/reference_testing.h"
#include "gtest/gtest.h"

namespace lockstep::reference {
namespace {

constexpr char kPopulatePage[] = "populate:page";
constexpr char kMarked[] = "mlock_vma_page:marked";

TEST(InterleaveTest, AnActionWaitsForItsPassage) {
  Scene scene(R"(kernel: "v4.9" zones: 2)");
  scene.Run(During(MmapAnonymous(0, 4, "POPULATE"), kPopulatePage,
                   "set_allocation_zone { zone: 1 }", 2));
  EXPECT_EQ(scene.page(1).zone, 0);
  EXPECT_EQ(scene.page(2).zone, 1);
}

TEST(InterleaveTest, AnActionHappensOnce) {
  // The second one sets zone 1 at the first passage; did it happen again at the
  // second passage, it would undo what the first one does there.
  Scene scene(R"(kernel: "v4.9" zones: 2)");
  scene.Run(During(During(MmapAnonymous(0, 3, "POPULATE"), kPopulatePage,
                          "set_allocation_zone { zone: 0 }", 1),
                   kPopulatePage, "set_allocation_zone { zone: 1 }", 0));
  EXPECT_EQ(scene.page(0).zone, 1);
  EXPECT_EQ(scene.page(1).zone, 0);
  EXPECT_EQ(scene.page(2).zone, 0);
}

TEST(InterleaveTest, AnActionWhosePassageNeverComesDoesNotHappen) {
  Scene scene(R"(kernel: "v4.9" zones: 2)");
  scene.Run(During(MmapAnonymous(0, 4, "POPULATE"), kPopulatePage,
                   "set_allocation_zone { zone: 1 }", 4));
  EXPECT_EQ(scene.machine().allocation_zone, 0);
  EXPECT_FALSE(scene.machine().step_events.interleaved);
}

TEST(InterleaveTest, AThreadTouchesAPageBetweenMarkingAndPopulating) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1));
  scene.Run(MmapAnonymous(8, 1));
  scene.Run("fork { child: 1 share_vm: true }");
  const std::string touch = "task: 1 " + Touch(8);
  scene.Run(During(Mlock(0, 1), "mlock:marked", touch));
  EXPECT_TRUE(scene.Resident(8));
  EXPECT_TRUE(scene.machine().step_events.interleaved);
}

TEST(InterleaveTest, AThreadCannotTouchWhileMmapSemIsHeldForWrite) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1, "LOCKED"));
  scene.Run(MmapAnonymous(8, 1));
  scene.Run("fork { child: 1 share_vm: true }");
  scene.Run(
      During(Munlock(0, 1), "munlock_pagevec:isolated", "task: 1 " + Touch(8)));
  EXPECT_FALSE(scene.Resident(8));
  EXPECT_FALSE(scene.machine().step_events.interleaved);
}

TEST(InterleaveTest, AnotherProcessTouchesWhileMmapSemIsHeldForWrite) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1, "LOCKED"));
  scene.Run(MmapAnonymous(8, 1));
  scene.Run("fork { child: 1 }");
  scene.Run(
      During(Munlock(0, 1), "munlock_pagevec:isolated", "task: 1 " + Touch(8)));
  EXPECT_NE(scene.pfn(8, 1), 0u);
}

TEST(InterleaveTest, TheCallingTaskItselfCannotTouch) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1));
  scene.Run(MmapAnonymous(8, 1));
  scene.Run(During(Mlock(0, 1), "mlock:marked", Touch(8)));
  EXPECT_FALSE(scene.Resident(8));
}

TEST(InterleaveTest, KhugepagedWaitsForMmapSem) {
  Scene scene(R"(kernel: "v4.9" transparent_hugepage: ALWAYS defects: "none")");
  scene.Run(MmapAnonymous(0, 16, "POPULATE"));
  scene.Run(MmapAnonymous(32, 1));
  scene.Run(Act("split", 0));
  scene.Run(During(MmapAnonymous(33, 1, "POPULATE"), kPopulatePage,
                   Act("collapse", 0)));
  EXPECT_FALSE(scene.page(0).compound());
}

TEST(InterleaveTest, ReclaimCannotComeBetweenMarkingAndIsolation) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 2, "POPULATE"));
  scene.Run("drain {}");
  scene.Run(During(Mlock(0, 1), kMarked, Act("reclaim", 1)));
  EXPECT_TRUE(scene.Resident(1));
}

TEST(InterleaveTest, AnotherCpuIsolatesThePageBetweenMarkingAndIsolation) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1, "POPULATE"));
  scene.Run(During(Mlock(0, 1), kMarked, Act("isolate", 0)));
  EXPECT_TRUE(scene.Mlocked(0));
  EXPECT_EQ(scene.page(0).lru, kNoLru);
  EXPECT_FALSE(scene.page(0).Is(kPageUnevictable));
}

TEST(InterleaveTest, ThePageIsCulledWhenThatCpuPutsItBack) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1, "POPULATE"));
  scene.Run(During(Mlock(0, 1), kMarked, Act("isolate", 0)));
  ASSERT_EQ(scene.events().culled, 0);
  ASSERT_EQ(scene.Run(Act("putback", 0)), "OK");
  EXPECT_EQ(scene.page(0).lru, kUnevictable);
  EXPECT_EQ(scene.events().culled, 1);
}

// Task 1 has the page locked too, while its mmap_sem is held by a thread.
void MunlockUnderContention(Scene* scene) {
  scene->Run(MmapFile(0, 1, "LOCKED"));
  scene->Run("fork { child: 1 }");
  scene->Run("task: 1 " + Mlock(0, 1));
  scene->Run(During(Munlock(0, 1), "munlock_vma_pages_range:pinned",
                    "task: 1 hold_mmap_lock {}"));
  ASSERT_TRUE(scene->machine().step_events.interleaved);
}

TEST(InterleaveTest, WithD19TheRmapWalkGivesUpOnAHeldMmapSem) {
  Scene scene(R"(kernel: "v3.12" defects: "none,+rmap-trylock")");
  MunlockUnderContention(&scene);
  EXPECT_FALSE(scene.Mlocked(0, 1));
}

TEST(InterleaveTest, WithoutD19TheRmapWalkNeedsNoMmapSem) {
  Scene scene(R"(kernel: "v4.9")");
  MunlockUnderContention(&scene);
  EXPECT_TRUE(scene.Mlocked(0, 1));
}

TEST(InterleaveTest, AHeldMmapSemIsFreeAgainAfterTheStep) {
  Scene scene(R"(kernel: "v3.12" defects: "none,+rmap-trylock")");
  MunlockUnderContention(&scene);
  scene.Run(Mlock(0, 1));
  scene.Run(Munlock(0, 1));
  EXPECT_TRUE(scene.Mlocked(0, 1));
}

TEST(InterleaveTest, WithD2ASplitBeforeTheSizeIsReadLeavesTheTailsCounted) {
  Scene scene(
      R"(kernel: "v3.12" defects: "none,+thp-split-race"
         transparent_hugepage: ALWAYS)");
  scene.Run(MmapAnonymous(0, 16, "LOCKED"));
  scene.Run(
      During(Munlock(0, 16), "munlock_vma_page:thp_cleared", Act("split", 0)));
  // The flag went before the split, so no tail has it; but the size was read
  // after, so only one page was subtracted.
  EXPECT_EQ(scene.nr_mlock(), 15);
}

TEST(InterleaveTest, WithoutD2ASplitCannotComeInBetween) {
  Scene scene(
      R"(kernel: "v3.12" defects: "none" transparent_hugepage: ALWAYS)");
  scene.Run(MmapAnonymous(0, 16, "LOCKED"));
  scene.Run(
      During(Munlock(0, 16), "munlock_vma_page:thp_cleared", Act("split", 0)));
  EXPECT_EQ(scene.nr_mlock(), 0);
}

}  // namespace
}  // namespace lockstep::reference
