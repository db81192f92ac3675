// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/lru.h"

#include "engine/reference/reference_testing.h"
#include "gtest/gtest.h"

namespace lockstep::reference {
namespace {

void TouchPages(Scene* scene, uint64_t pages) {
  scene->Run(MmapAnonymous(0, 32));
  for (uint64_t page = 0; page < pages; ++page) scene->Run(Touch(page));
}

TEST(LruTest, ANewPageIsInTheBatchOfItsCpu) {
  Scene scene(R"(kernel: "v4.9")");
  TouchPages(&scene, 1);
  EXPECT_TRUE(scene.page(0).Is(kPageInBatch));
  EXPECT_FALSE(scene.page(0).Is(kPageLru));
}

TEST(LruTest, ADrainPutsTheBatchOnItsList) {
  Scene scene(R"(kernel: "v4.9")");
  TouchPages(&scene, 1);
  scene.Run("drain {}");
  EXPECT_FALSE(scene.page(0).Is(kPageInBatch));
  EXPECT_EQ(scene.page(0).lru, kActiveAnon);
}

TEST(LruTest, ADrainEmptiesTheBatchesOfEveryCpu) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 2));
  scene.Run(Touch(0));
  scene.Run("set_cpu { cpu: 1 }");
  scene.Run(Touch(1));
  scene.Run("drain {}");
  EXPECT_EQ(scene.ListSize(kActiveAnon), 2u);
}

TEST(LruTest, OnV49TheFourteenthPageFlushesTheBatch) {
  Scene scene(R"(kernel: "v4.9")");
  TouchPages(&scene, 13);
  ASSERT_EQ(scene.ListSize(kActiveAnon), 0u);
  scene.Run(Touch(13));
  EXPECT_EQ(scene.ListSize(kActiveAnon), 14u);
}

TEST(LruTest, OnV312TheFifteenthPageFlushesTheBatch) {
  Scene scene(R"(kernel: "v3.12")");
  TouchPages(&scene, 14);
  ASSERT_EQ(scene.ListSize(kActiveAnon), 0u);
  scene.Run(Touch(14));
  EXPECT_EQ(scene.ListSize(kActiveAnon), 14u);
}

TEST(LruTest, OnV49AHugePageFlushesTheBatch) {
  Scene scene(R"(kernel: "v4.9" transparent_hugepage: ALWAYS)");
  scene.Run(MmapAnonymous(0, 16));
  scene.Run(Touch(0));
  EXPECT_TRUE(scene.page(0).Is(kPageLru));
}

TEST(LruTest, OnV312AHugePageWaitsInTheBatch) {
  Scene scene(R"(kernel: "v3.12" transparent_hugepage: ALWAYS)");
  scene.Run(MmapAnonymous(0, 16));
  scene.Run(Touch(0));
  EXPECT_TRUE(scene.page(0).Is(kPageInBatch));
}

TEST(LruTest, APageInABatchCannotBeIsolated) {
  Scene scene(R"(kernel: "v4.9")");
  TouchPages(&scene, 1);
  EXPECT_EQ(scene.Run(Act("isolate", 0)), "SKIPPED");
}

TEST(LruTest, APageIsIsolatedOnce) {
  Scene scene(R"(kernel: "v4.9")");
  TouchPages(&scene, 1);
  scene.Run("drain {}");
  EXPECT_EQ(scene.Run(Act("isolate", 0)), "OK");
  EXPECT_EQ(scene.Run(Act("isolate", 0)), "SKIPPED");
}

TEST(LruTest, AnIsolatedPageOutlivesItsLastMapping) {
  Scene scene(R"(kernel: "v4.9")");
  TouchPages(&scene, 1);
  scene.Run("drain {}");
  scene.Run(Act("isolate", 0));
  Pfn isolated = scene.pfn(0);
  scene.Run(Munmap(0, 1));
  EXPECT_FALSE(scene.machine().page(isolated).Is(kPageFree));
}

TEST(LruTest, AMlockedPagePutBackGoesToTheUnevictableList) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1, "LOCKED"));
  scene.Run(Act("isolate", 0));
  ASSERT_EQ(scene.ListSize(kUnevictable), 0u);
  scene.Run(Act("putback", 0));
  EXPECT_EQ(scene.ListSize(kUnevictable), 1u);
}

TEST(LruTest, APageUnlockedWhileIsolatedIsRescuedAtPutback) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1, "LOCKED"));
  scene.Run(Act("isolate", 0));
  scene.Run(Munlock(0, 1));
  ASSERT_EQ(scene.events().rescued, 0);
  scene.Run(Act("putback", 0));
  EXPECT_EQ(scene.events().rescued, 1);
  EXPECT_FALSE(scene.page(0).Is(kPageUnevictable));
}

TEST(LruTest, OnV312EachZoneHasListsOfItsOwn) {
  Scene scene(R"(kernel: "v3.12" zones: 2)");
  scene.Run("set_allocation_zone { zone: 1 }");
  scene.Run(MmapAnonymous(0, 1, "LOCKED"));
  EXPECT_EQ(scene.machine().lruvecs[1].lists[kUnevictable].size, 1u);
}

TEST(LruTest, OnV49ZonesOfANodeShareItsLists) {
  Scene scene(R"(kernel: "v4.9" zones: 2)");
  scene.Run("set_allocation_zone { zone: 1 }");
  scene.Run(MmapAnonymous(0, 1, "LOCKED"));
  EXPECT_EQ(scene.machine().lruvecs[0].lists[kUnevictable].size, 1u);
}

TEST(LruTest, ShmUnlockScansEveryPageAndRescuesTheUnevictableOnes) {
  Scene scene(R"(kernel: "v4.9" cap_ipc_lock: true)");
  scene.Run("shmget { shm: 0 size: 8192 }");
  scene.Run("shmat { shm: 0 addr { page: 0 } }");
  scene.Run("shmctl { shm: 0 command: LOCK }");
  scene.Run(Touch(0));
  scene.Run(Touch(1));
  scene.Run("drain {}");
  scene.Run(Act("reclaim", 0));
  ASSERT_EQ(scene.page(0).lru, kUnevictable);
  scene.Run("shmctl { shm: 0 command: UNLOCK }");
  EXPECT_EQ(scene.events().scanned, 2);
  EXPECT_NE(scene.page(0).lru, kUnevictable);
}

}  // namespace
}  // namespace lockstep::reference
