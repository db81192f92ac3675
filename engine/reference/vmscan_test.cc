// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/vmscan.h"

#include "engine/reference/reference_testing.h"
#include "gtest/gtest.h"

namespace lockstep::reference {
namespace {

// A file page faulted into a lock-on-fault VMA: not Mlocked, on an evictable
// list once the batch is drained.
void FaultFilePageOnfault(Scene* scene) {
  scene->Run(MmapFile(0, 1));
  scene->Run(MlockOnfault(0, 1));
  scene->Run(Touch(0));
  scene->Run("drain {}");
  ASSERT_FALSE(scene->Mlocked(0));
  ASSERT_EQ(scene->page(0).lru, kInactiveFile);
}

// Mlocked on CPU 1 while in CPU 0's LRU-add batch, and drained to an evictable
// list from there.
void MlockedOnEvictableList(Scene* scene) {
  scene->Run(MmapFile(0, 1));
  scene->Run(Touch(0));
  scene->Run("set_cpu { cpu: 1 }");
  scene->Run(MmapFile(8, 1, "LOCKED"));
  scene->Run("drain {}");
  ASSERT_TRUE(scene->Mlocked(8));
  ASSERT_EQ(scene->page(8).lru, kInactiveFile);
}

TEST(VmscanTest, APageOfALockedVmaIsNotTaken) {
  Scene scene(R"(kernel: "v4.9")");
  FaultFilePageOnfault(&scene);
  scene.Run("reclaim {}");
  EXPECT_TRUE(scene.Resident(0));
  EXPECT_TRUE(scene.machine().evictions.empty());
}

TEST(VmscanTest, APageOfALockedVmaIsMlockedByReclaim) {
  Scene scene(R"(kernel: "v4.9")");
  FaultFilePageOnfault(&scene);
  scene.Run("reclaim {}");
  EXPECT_TRUE(scene.Mlocked(0));
  EXPECT_EQ(scene.nr_mlock(), 1);
  EXPECT_EQ(scene.page(0).lru, kUnevictable);
}

TEST(VmscanTest, AMlockedPageOnAnEvictableListIsCulled) {
  Scene scene(R"(kernel: "v4.9")");
  MlockedOnEvictableList(&scene);
  ASSERT_EQ(scene.events().culled, 0);
  scene.Run("reclaim {}");
  EXPECT_EQ(scene.events().culled, 1);
  EXPECT_EQ(scene.page(8).lru, kUnevictable);
}

TEST(VmscanTest, CullingLeavesEveryMappingInPlace) {
  Scene scene(R"(kernel: "v4.9")");
  MlockedOnEvictableList(&scene);
  scene.Run("reclaim {}");
  EXPECT_TRUE(scene.Resident(0));
  EXPECT_TRUE(scene.Resident(8));
}

TEST(VmscanTest, AMlockedPageOnItsListIsNotLookedAt) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1, "LOCKED"));
  EXPECT_EQ(scene.Run(Act("reclaim", 0)), "SKIPPED");
}

TEST(VmscanTest, AnUnlockedAnonymousPageGoesToSwap) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1));
  scene.Run(Touch(0));
  scene.Run("drain {}");
  scene.Run("reclaim {}");
  EXPECT_FALSE(scene.Resident(0));
  EXPECT_EQ(GetPte(scene.machine(), 0, Scene::At(0)), uint32_t{kPteSwap});
}

TEST(VmscanTest, TheEvictionsOfAStepAreRecorded) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 2));
  scene.Run(Touch(0));
  scene.Run(Touch(1));
  scene.Run("drain {}");
  scene.Run(Act("reclaim", 1));
  ASSERT_EQ(scene.machine().evictions.size(), 1u);
  EXPECT_EQ(scene.machine().evictions[0].page, Scene::At(1));
}

TEST(VmscanTest, AMunlockedPageCanBeTaken) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1, "LOCKED"));
  scene.Run(Munlock(0, 1));
  scene.Run("reclaim {}");
  EXPECT_FALSE(scene.Resident(0));
}

TEST(VmscanTest, APageHeldOffItsListIsNotTaken) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1));
  scene.Run(Touch(0));
  scene.Run("drain {}");
  scene.Run(Act("isolate", 0));
  scene.Run("reclaim {}");
  EXPECT_TRUE(scene.Resident(0));
}

TEST(VmscanTest, APageOfALockedSegmentIsCulled) {
  Scene scene(R"(kernel: "v4.9" cap_ipc_lock: true)");
  scene.Run("shmget { shm: 0 size: 4096 }");
  scene.Run("shmat { shm: 0 addr { page: 0 } }");
  scene.Run(Touch(0));
  scene.Run("drain {}");
  scene.Run("shmctl { shm: 0 command: LOCK }");
  ASSERT_NE(scene.page(0).lru, kUnevictable);
  scene.Run("reclaim {}");
  EXPECT_TRUE(scene.Resident(0));
  EXPECT_EQ(scene.page(0).lru, kUnevictable);
}

TEST(VmscanTest, AnUnlockedHugePageIsSplitFirst) {
  Scene scene(R"(kernel: "v4.9" transparent_hugepage: ALWAYS)");
  scene.Run(MmapAnonymous(0, 16, "POPULATE"));
  ASSERT_TRUE(scene.page(0).compound());
  ASSERT_EQ(scene.Run(Act("reclaim", 0)), "OK");
  EXPECT_FALSE(scene.Resident(0));
  ASSERT_TRUE(scene.Resident(1));
  EXPECT_FALSE(scene.page(1).compound());
}

}  // namespace
}  // namespace lockstep::reference
