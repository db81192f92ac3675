// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/stack.h"

#include "engine/reference/reference_testing.h"
#include "gtest/gtest.h"

namespace lockstep::reference {
namespace {

std::string MmapStack(uint64_t page, uint64_t pages,
                      absl::string_view more_flags = "NO_FLAG") {
  return MmapAnonymous(page, pages, absl::StrCat("GROWSDOWN, ", more_flags));
}

TEST(StackTest, OnV312ATouchOfTheLowestPageGrowsTheStack) {
  Scene scene(R"(kernel: "v3.12")");
  scene.Run(MmapStack(10, 2));
  ASSERT_EQ(scene.Run(Touch(10)), "OK");
  EXPECT_EQ(scene.vma(10)->start, Scene::At(9));
}

TEST(StackTest, OnV49ATouchOfTheLowestPageDoesNotGrowTheStack) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapStack(10, 2));
  ASSERT_EQ(scene.Run(Touch(10)), "OK");
  EXPECT_EQ(scene.vma(10)->start, Scene::At(10));
}

TEST(StackTest, OnV312TheLowestPageAboveAnotherMappingIsAGuardPage) {
  Scene scene(R"(kernel: "v3.12")");
  scene.Run(MmapAnonymous(9, 1));
  scene.Run(MmapStack(10, 2));
  EXPECT_EQ(scene.Run(Touch(10)), "SIGBUS");
  EXPECT_EQ(scene.Run(Touch(11)), "OK");
}

TEST(StackTest, OnV312MlockPassesOverTheGuardPage) {
  Scene scene(R"(kernel: "v3.12")");
  scene.Run(MmapStack(10, 2));
  ASSERT_EQ(scene.Run(Mlock(10, 2)), "OK");
  EXPECT_FALSE(scene.Resident(10));
  EXPECT_TRUE(scene.Mlocked(11));
  EXPECT_EQ(scene.vma(10)->start, Scene::At(10));
}

TEST(StackTest, OnV49MlockBringsInTheLowestPage) {
  Scene scene(R"(kernel: "v4.9")");
  scene.Run(MmapStack(10, 2));
  ASSERT_EQ(scene.Run(Mlock(10, 2)), "OK");
  EXPECT_TRUE(scene.Mlocked(10));
}

TEST(StackTest, OnV49GrowthKeepsTheGap) {
  Scene scene(R"(kernel: "v4.9" stack_guard_gap: 4)");
  scene.Run(MmapAnonymous(0, 1));
  scene.Run(MmapStack(10, 2));
  EXPECT_EQ(scene.Run(Touch(5)), "OK");
  EXPECT_EQ(scene.Run(Touch(4)), "SIGSEGV");
}

TEST(StackTest, OnV49AMappingWithoutAccessNeedsNoGap) {
  Scene scene(R"(kernel: "v4.9" stack_guard_gap: 4)");
  scene.Run("mmap { " + Range(0, 1) +
            " prot: NONE flags: [FIXED, PRIVATE, ANONYMOUS] }");
  scene.Run(MmapStack(10, 2));
  EXPECT_EQ(scene.Run(Touch(1)), "OK");
}

TEST(StackTest, GrowthOfALockedStackIsCharged) {
  Scene scene(R"(kernel: "v4.9" stack_guard_gap: 0)");
  scene.Run(MmapStack(10, 2, "LOCKED"));
  ASSERT_EQ(scene.Run(Touch(7)), "OK");
  EXPECT_EQ(scene.mm().locked_vm, Pages{5});
  EXPECT_EQ(scene.mm().total_vm, Pages{5});
}

TEST(StackTest, GrowthOfALockedStackBeyondTheLimitIsRefused) {
  Scene scene(R"(kernel: "v4.9" stack_guard_gap: 0 memlock_limit: 16384)");
  scene.Run(MmapStack(10, 2, "LOCKED"));
  EXPECT_EQ(scene.Run(Touch(7)), "SIGSEGV");
  EXPECT_EQ(scene.mm().locked_vm, Pages{2});
}

}  // namespace
}  // namespace lockstep::reference
