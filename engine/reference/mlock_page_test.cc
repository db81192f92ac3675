// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/mlock_page.h"

#include "engine/reference/reference_testing.h"
#include "gtest/gtest.h"

namespace lockstep::reference {
namespace {

constexpr char kTruncate[] = "ftruncate { size: 0 }";

TEST(MlockPageTest, LockingAPageTwiceCountsItOnce) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapFile(0, 1, "LOCKED"));
  scene.Run(MmapFile(8, 1, "LOCKED"));
  EXPECT_EQ(scene.nr_mlock(), 1);
  EXPECT_EQ(scene.events().mlocked, 1);
}

TEST(MlockPageTest, AMlockedPageIsNotMarkedAgain) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1, "POPULATE"));
  ASSERT_EQ(scene.Passages(Mlock(0, 1), "mlock_vma_page:marked"), 1);
  EXPECT_EQ(scene.Passages(Mlock(0, 1), "mlock_vma_page:marked"), 0);
}

TEST(MlockPageTest, APageThatWasOnAListIsCulled) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1));
  scene.Run(Touch(0));
  scene.Run(Mlock(0, 1));
  EXPECT_EQ(scene.events().culled, 1);
  EXPECT_EQ(scene.page(0).lru, kUnevictable);
}

TEST(MlockPageTest, APageBornMlockedIsNotCulled) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1, "LOCKED"));
  EXPECT_EQ(scene.events().culled, 0);
  EXPECT_EQ(scene.page(0).lru, kUnevictable);
}

TEST(MlockPageTest, TheLastUnmapClearsThePage) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapFile(0, 1, "LOCKED"));
  scene.Run(kTruncate);
  EXPECT_EQ(scene.events().cleared, 1);
  EXPECT_EQ(scene.nr_mlock(), 0);
}

TEST(MlockPageTest, AnUnmapThatIsNotTheLastClearsNothing) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapFile(0, 1, "LOCKED"));
  scene.Run(MmapFile(8, 1, "POPULATE"));
  scene.Run(Munmap(8, 1));
  EXPECT_EQ(scene.events().cleared, 0);
  EXPECT_TRUE(scene.Mlocked(0));
}

TEST(MlockPageTest, ClearingAPageHeldOffItsListStrandsItToo) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapFile(0, 1, "LOCKED"));
  scene.Run(Act("isolate", 0));
  scene.Run(kTruncate);
  EXPECT_EQ(scene.events().cleared, 1);
  EXPECT_EQ(scene.events().stranded, 1);
}

TEST(MlockPageTest, ClearingAPageOnItsListStrandsNothing) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapFile(0, 1, "LOCKED"));
  scene.Run(kTruncate);
  EXPECT_EQ(scene.events().stranded, 0);
}

TEST(MlockPageTest, MunmapUnlocksBeforeItUnmapsSoThatNothingIsCleared) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 2, "LOCKED"));
  scene.Run(Munmap(0, 2));
  EXPECT_EQ(scene.events().munlocked, 2);
  EXPECT_EQ(scene.events().cleared, 0);
}

}  // namespace
}  // namespace lockstep::reference
