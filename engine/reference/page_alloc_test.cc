// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/page_alloc.h"

#include "engine/reference/reference_testing.h"
#include "gtest/gtest.h"

namespace lockstep::reference {
namespace {

TEST(PageAllocTest, TheNthAllocationFails) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 4));
  scene.Run("fail_allocation { nth: 3 }");
  EXPECT_EQ(scene.Run(Touch(0)), "OK");
  EXPECT_EQ(scene.Run(Touch(1)), "OK");
  EXPECT_EQ(scene.Run(Touch(2)), "SIGBUS");
}

TEST(PageAllocTest, OnlyTheNthAllocationFails) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 2));
  scene.Run("fail_allocation { nth: 1 }");
  ASSERT_EQ(scene.Run(Touch(0)), "SIGBUS");
  EXPECT_EQ(scene.Run(Touch(0)), "OK");
}

TEST(PageAllocTest, ZeroCancelsAFailure) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapAnonymous(0, 1));
  scene.Run("fail_allocation { nth: 1 }");
  scene.Run("fail_allocation { nth: 0 }");
  EXPECT_EQ(scene.Run(Touch(0)), "OK");
}

TEST(PageAllocTest, MemoryRunsOut) {
  Scene scene(R"(kernel: "v4.9" memory_pages: 2)");
  scene.Run(MmapAnonymous(0, 3));
  EXPECT_EQ(scene.Run(Mlock(0, 3)), "EAGAIN");
  EXPECT_TRUE(scene.Resident(1));
  EXPECT_FALSE(scene.Resident(2));
}

TEST(PageAllocTest, UnmappedPagesAreFreeAgain) {
  Scene scene(R"(kernel: "v4.9" memory_pages: 2)");
  scene.Run(MmapAnonymous(0, 2, "LOCKED"));
  ASSERT_EQ(scene.machine().free_frames, 0u);
  scene.Run(Munmap(0, 2));
  EXPECT_EQ(scene.machine().free_frames, 2u);
}

TEST(PageAllocTest, AHugePageTakesAsManyFramesAsItHasPages) {
  Scene scene(
      R"(kernel: "v4.9" memory_pages: 100 transparent_hugepage: ALWAYS)");
  scene.Run(MmapAnonymous(0, 16, "POPULATE"));
  EXPECT_EQ(scene.machine().free_frames, 84u);
}

TEST(PageAllocTest, AFreedHugePageLeavesRoomForSmallPages) {
  Scene scene(
      R"(kernel: "v4.9" memory_pages: 16 transparent_hugepage: ALWAYS)");
  scene.Run(MmapAnonymous(0, 16, "POPULATE"));
  scene.Run(Munmap(0, 16));
  scene.Run(MmapAnonymous(1, 15));
  ASSERT_EQ(scene.Run(Mlock(1, 15)), "OK");
  EXPECT_FALSE(scene.page(1).compound());
}

}  // namespace
}  // namespace lockstep::reference
