// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/migrate.h"

#include "engine/reference/reference_testing.h"
#include "gtest/gtest.h"

namespace lockstep::reference {
namespace {

TEST(MigrateTest, ThePageGetsAnotherFrame) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1, "LOCKED"));
  Pfn before = scene.pfn(0);
  ASSERT_EQ(scene.Run(Act("migrate", 0)), "OK");
  EXPECT_TRUE(scene.Resident(0));
  EXPECT_NE(scene.pfn(0), before);
}

TEST(MigrateTest, AMlockedPageStaysMlocked) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1, "LOCKED"));
  scene.Run(Act("migrate", 0));
  EXPECT_TRUE(scene.Mlocked(0));
  EXPECT_EQ(scene.nr_mlock(), 1);
}

TEST(MigrateTest, AMlockedPageStaysOnTheUnevictableList) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1, "LOCKED"));
  scene.Run(Act("migrate", 0));
  EXPECT_EQ(scene.page(0).lru, kUnevictable);
  EXPECT_EQ(scene.ListSize(kUnevictable), 1u);
}

TEST(MigrateTest, WithD18ThePageIsNoLongerMlocked) {
  Scene scene(R"(kernel: "v3.12" defects: "none,+migrate-drops-mlocked")");
  scene.Run(MmapAnonymous(0, 1, "LOCKED"));
  scene.Run(Act("migrate", 0));
  EXPECT_TRUE(scene.VmLocked(0));
  EXPECT_FALSE(scene.Mlocked(0));
  EXPECT_EQ(scene.nr_mlock(), 0);
}

TEST(MigrateTest, TheOldFrameIsFreed) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1, "LOCKED"));
  Pfn before = scene.pfn(0);
  scene.Run(Act("migrate", 0));
  EXPECT_TRUE(scene.machine().page(before).Is(kPageFree));
  EXPECT_EQ(scene.events().freed_mlocked, 0);
}

TEST(MigrateTest, EveryMappingMoves) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapFile(0, 1, "LOCKED"));
  scene.Run(MmapFile(8, 1, "POPULATE"));
  Pfn before = scene.pfn(0);
  scene.Run(Act("migrate", 8));
  EXPECT_NE(scene.pfn(0), before);
  EXPECT_EQ(scene.pfn(0), scene.pfn(8));
}

TEST(MigrateTest, ThePageCacheFollows) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapFile(0, 1, "POPULATE"));
  scene.Run(Act("migrate", 0));
  scene.Run(MmapFile(8, 1, "POPULATE"));
  EXPECT_EQ(scene.pfn(8), scene.pfn(0));
}

TEST(MigrateTest, APageHeldOffItsListStays) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1, "LOCKED"));
  scene.Run(Act("isolate", 0));
  Pfn before = scene.pfn(0);
  EXPECT_EQ(scene.Run(Act("migrate", 0)), "SKIPPED");
  EXPECT_EQ(scene.pfn(0), before);
}

TEST(MigrateTest, APagePinnedByMunlockKeepsItsFrame) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1, "LOCKED"));
  Pfn before = scene.pfn(0);
  scene.Run(During(Munlock(0, 1), "munlock_vma_pages_range:pinned",
                   Act("migrate", 0)));
  EXPECT_EQ(scene.pfn(0), before);
}

TEST(MigrateTest, WithoutAFrameThePageStaysMlockedWhereItIs) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1, "LOCKED"));
  Pfn before = scene.pfn(0);
  scene.Run("fail_allocation { nth: 1 }");
  EXPECT_EQ(scene.Run(Act("migrate", 0)), "SKIPPED");
  EXPECT_EQ(scene.pfn(0), before);
  EXPECT_EQ(scene.page(0).lru, kUnevictable);
}

TEST(MigrateTest, AHugePageIsSplitFirst) {
  Scene scene(R"(kernel: "v4.9" transparent_hugepage: ALWAYS)");
  scene.Run(MmapAnonymous(0, 16, "LOCKED"));
  Pfn before = scene.pfn(3);
  ASSERT_EQ(scene.Run(Act("migrate", 3)), "OK");
  EXPECT_NE(scene.pfn(3), before);
  EXPECT_FALSE(scene.page(2).compound());
}

TEST(MigrateTest, TheNewFrameComesFromTheAllocationZone) {
  Scene scene(R"(kernel: "v4.9" zones: 2)");
  scene.Run(MmapAnonymous(0, 1, "LOCKED"));
  scene.Run("set_allocation_zone { zone: 1 }");
  scene.Run(Act("migrate", 0));
  EXPECT_EQ(scene.machine().nr_mlock[0], 0);
  EXPECT_EQ(scene.machine().nr_mlock[1], 1);
}

}  // namespace
}  // namespace lockstep::reference
