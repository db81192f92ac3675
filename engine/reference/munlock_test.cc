// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/munlock.h"

#include "engine/reference/reference_testing.h"
#include "gtest/gtest.h"

namespace lockstep::reference {
namespace {

constexpr char kBatchDone[] = "munlock_pagevec:isolated";

// A page that CPU 0 keeps in its LRU-add batch is marked by a mmap(MAP_LOCKED)
// on CPU 1, which drains its own batch only: Mlocked, but on no list.
void MlockInAnotherCpusBatch(Scene* scene) {
  ASSERT_EQ(scene->Run(MmapFile(0, 1)), "OK");
  ASSERT_EQ(scene->Run(Touch(0)), "OK");
  ASSERT_EQ(scene->Run("set_cpu { cpu: 1 }"), "OK");
  ASSERT_EQ(scene->Run(MmapFile(8, 1, "LOCKED")), "OK");
  ASSERT_TRUE(scene->Mlocked(8));
  ASSERT_TRUE(scene->page(8).Is(kPageInBatch));
}

TEST(MunlockTest, APageThatAnotherLockedVmaMapsStaysMlocked) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapFile(0, 1, "LOCKED"));
  scene.Run(MmapFile(8, 1, "LOCKED"));
  ASSERT_EQ(scene.Run(Munlock(0, 1)), "OK");
  EXPECT_TRUE(scene.Mlocked(8));
  EXPECT_EQ(scene.nr_mlock(), 1);
}

TEST(MunlockTest, FindingAnotherLockerCountsNoMunlock) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapFile(0, 1, "LOCKED"));
  scene.Run(MmapFile(8, 1, "LOCKED"));
  scene.Run(Munlock(0, 1));
  EXPECT_EQ(scene.events().munlocked, 0);
  EXPECT_EQ(scene.events().relocked, 1);
}

TEST(MunlockTest, TheLastLockerOfASharedPageUnlocksIt) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapFile(0, 1, "LOCKED"));
  scene.Run(MmapFile(8, 1, "LOCKED"));
  scene.Run(Munlock(0, 1));
  scene.Run(Munlock(8, 1));
  EXPECT_FALSE(scene.Mlocked(0));
  EXPECT_EQ(scene.nr_mlock(), 0);
  EXPECT_EQ(scene.events().munlocked, 1);
}

TEST(MunlockTest, ABatchHoldsFourteenPages) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 14, "LOCKED"));
  EXPECT_EQ(scene.Passages(Munlock(0, 14), kBatchDone), 1);
}

TEST(MunlockTest, TheFifteenthPageOpensAnotherBatch) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 15, "LOCKED"));
  EXPECT_EQ(scene.Passages(Munlock(0, 15), kBatchDone), 2);
}

TEST(MunlockTest, ABatchEndsAtThePageTablesEnd) {
  Scene scene(R"(kernel: "v4.9" hpage_pmd_order: 4)");
  scene.Run(MmapAnonymous(14, 4, "LOCKED"));
  EXPECT_EQ(scene.Passages(Munlock(14, 4), kBatchDone), 2);
}

TEST(MunlockTest, ABatchEndsAtAPageOfAnotherZone) {
  Scene scene(R"(kernel: "v4.9" zones: 2)");
  scene.Run(During(MmapAnonymous(0, 4, "LOCKED"), "populate:page",
                   "set_allocation_zone { zone: 1 }", 2));
  ASSERT_EQ(scene.page(2).zone, 1);
  EXPECT_EQ(scene.Passages(Munlock(0, 4), kBatchDone), 2);
}

TEST(MunlockTest, EachZoneCountsItsOwnPages) {
  Scene scene(R"(kernel: "v4.9" zones: 2)");
  scene.Run(During(MmapAnonymous(0, 4, "LOCKED"), "populate:page",
                   "set_allocation_zone { zone: 1 }", 3));
  scene.Run(Munlock(2, 1));
  EXPECT_EQ(scene.machine().nr_mlock[0], 2);
  EXPECT_EQ(scene.machine().nr_mlock[1], 1);
}

TEST(MunlockTest, ABatchEndsAtAHole) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 3));
  scene.Run(MlockOnfault(0, 3));
  scene.Run(Touch(0));
  scene.Run(Touch(2));
  EXPECT_EQ(scene.Passages(Munlock(0, 3), kBatchDone), 2);
}

TEST(MunlockTest, TheZeroPageIsPassedOver) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run("mmap { " + Range(0, 2) +
            " prot: READ flags: [FIXED, PRIVATE, ANONYMOUS, LOCKED] }");
  EXPECT_EQ(scene.Passages(Munlock(0, 2), kBatchDone), 0);
}

TEST(MunlockTest, APageInAnotherCpusBatchCountsAsMunlocked) {
  Scene scene(R"(kernel: "v4.9")");
  MlockInAnotherCpusBatch(&scene);
  ASSERT_EQ(scene.Run(Munlock(8, 1)), "OK");
  EXPECT_FALSE(scene.Mlocked(8));
  EXPECT_EQ(scene.events().munlocked, 1);
  EXPECT_EQ(scene.events().stranded, 0);
}

TEST(MunlockTest, APageInAnotherCpusBatchStaysThere) {
  Scene scene(R"(kernel: "v4.9")");
  MlockInAnotherCpusBatch(&scene);
  scene.Run(Munlock(8, 1));
  EXPECT_EQ(scene.machine().lru_add[0].count, 1);
  EXPECT_FALSE(scene.page(8).Is(kPageLru));
}

TEST(MunlockTest, WithD1APageThatCannotBeIsolatedStaysCounted) {
  Scene scene(R"(kernel: "v3.12" defects: "none,+pagevec-isolation-leak")");
  MlockInAnotherCpusBatch(&scene);
  scene.Run(Munlock(8, 1));
  EXPECT_EQ(scene.nr_mlock(), 1);
}

TEST(MunlockTest, WithoutD1APageThatCannotBeIsolatedIsNoLongerCounted) {
  Scene scene(R"(kernel: "v3.12" defects: "none")");
  MlockInAnotherCpusBatch(&scene);
  scene.Run(Munlock(8, 1));
  EXPECT_EQ(scene.nr_mlock(), 0);
}

TEST(MunlockTest, AnUnevictablePageHeldOffItsListIsStranded) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1, "LOCKED"));
  scene.Run(Act("isolate", 0));
  scene.Run(Munlock(0, 1));
  EXPECT_EQ(scene.events().stranded, 1);
  EXPECT_EQ(scene.events().munlocked, 0);
}

TEST(MunlockTest, APageTakenWhileItIsPinnedIsStranded) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 2, "LOCKED"));
  scene.Run(During(Munlock(0, 2), "munlock_vma_pages_range:pinned",
                   Act("isolate", 1)));
  EXPECT_EQ(scene.events().stranded, 1);
  EXPECT_EQ(scene.events().munlocked, 1);
}

TEST(MunlockTest, APageMappedOnceGoesPastTheLruAddBatch) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1, "LOCKED"));
  scene.Run(Munlock(0, 1));
  EXPECT_FALSE(scene.page(0).Is(kPageInBatch));
  EXPECT_EQ(scene.page(0).lru, kInactiveAnon);
}

TEST(MunlockTest, APageMappedTwiceGoesThroughTheLruAddBatch) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapFile(0, 1, "LOCKED"));
  scene.Run(MmapFile(8, 1));
  scene.Run(Touch(8));
  scene.Run(Munlock(0, 1));
  EXPECT_TRUE(scene.page(0).Is(kPageInBatch));
}

TEST(MunlockTest, APageMappedOnceIsRescued) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 3, "LOCKED"));
  scene.Run(Munlock(0, 3));
  EXPECT_EQ(scene.events().rescued, 3);
  EXPECT_EQ(scene.ListSize(kUnevictable), 0u);
}

TEST(MunlockTest, APageThatAnotherProcessHasLockedStaysUnevictable) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapFile(0, 1, "LOCKED"));
  scene.Run("fork { child: 1 }");
  scene.Run("task: 1 " + Mlock(0, 1));
  scene.Run(Munlock(0, 1));
  EXPECT_TRUE(scene.Mlocked(0, 1));
  EXPECT_EQ(scene.page(0, 1).lru, kUnevictable);
}

TEST(MunlockTest, AHugePageIsUnlockedAsOne) {
  Scene scene(R"(kernel: "v4.9" transparent_hugepage: ALWAYS defects: "none")");
  scene.Run(MmapAnonymous(0, 16, "LOCKED"));
  ASSERT_EQ(scene.nr_mlock(), 16);
  scene.Run(Munlock(0, 16));
  EXPECT_EQ(scene.nr_mlock(), 0);
  EXPECT_EQ(scene.events().munlocked, 16);
}

TEST(MunlockTest, WithD21AHugePageIsOneEvent) {
  Scene scene(R"(kernel: "v4.9" transparent_hugepage: ALWAYS)");
  scene.Run(MmapAnonymous(0, 16, "LOCKED"));
  scene.Run(Munlock(0, 16));
  EXPECT_EQ(scene.events().munlocked, 1);
}

}  // namespace
}  // namespace lockstep::reference
