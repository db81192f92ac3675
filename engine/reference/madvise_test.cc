// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/madvise.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "engine/reference/reference_testing.h"
#include "gtest/gtest.h"

namespace lockstep::reference {
namespace {

constexpr char k618[] = R"(kernel: "v6.18" defects: "none")";

std::string Madvise(uint64_t page, uint64_t pages, absl::string_view advice) {
  return absl::StrCat("madvise { ", Range(page, pages), " advice: ", advice,
                      " }");
}

uint32_t PteAt(const Scene& scene, uint64_t page, int task = 0) {
  const Machine& machine = scene.machine();
  return GetPte(machine, machine.tasks[task].mm, Scene::At(page));
}

TEST(GuardTest, TakesThePlaceOfThePage) {
  Scene scene(k618);
  scene.Run(MmapAnonymous(0, 2));
  scene.Run(Touch(0));
  ASSERT_EQ(scene.Run(Madvise(0, 1, "GUARD_INSTALL")), "OK");
  EXPECT_FALSE(scene.Resident(0));
  EXPECT_EQ(PteAt(scene, 0), uint32_t{kPteGuard});
  EXPECT_EQ(scene.Run(Touch(0)), "SIGSEGV");
  EXPECT_EQ(scene.Run(Touch(1)), "OK");
}

TEST(GuardTest, LeavesWithItsMappingOrWhenItIsRemoved) {
  Scene scene(k618);
  scene.Run(MmapAnonymous(0, 2));
  scene.Run(Madvise(0, 2, "GUARD_INSTALL"));
  scene.Run(Madvise(0, 1, "GUARD_REMOVE"));
  EXPECT_EQ(scene.Run(Touch(0)), "OK");
  scene.Run(MmapAnonymous(1, 1));
  EXPECT_EQ(scene.Run(Touch(1)), "OK");
}

TEST(GuardTest, MovesWithItsMappingAndIsCopiedByFork) {
  Scene scene(k618);
  scene.Run(MmapAnonymous(0, 1));
  scene.Run(Madvise(0, 1, "GUARD_INSTALL"));
  scene.Run(
      "mremap { addr { page: 0 } old_length: 4096 new_length: 4096 "
      "flags: [MAYMOVE, FIXED] new_addr { page: 8 } }");
  scene.Run("fork { child: 1 }");
  EXPECT_EQ(PteAt(scene, 8), uint32_t{kPteGuard});
  EXPECT_EQ(PteAt(scene, 8, 1), uint32_t{kPteGuard});
}

TEST(GuardTest, SurvivesTheEndOfItsFile) {
  Scene scene(k618);
  scene.Run(MmapFile(0, 1));
  scene.Run(Madvise(0, 1, "GUARD_INSTALL"));
  scene.Run("ftruncate { size: 0 }");
  EXPECT_EQ(scene.Run(Touch(0)), "SIGSEGV");
}

TEST(GuardTest, CutsAHugePage) {
  Scene scene(R"(kernel: "v6.18" transparent_hugepage: ALWAYS)");
  scene.Run(MmapAnonymous(0, 16));
  scene.Run(Touch(0));
  scene.Run(Madvise(5, 1, "GUARD_INSTALL"));
  EXPECT_TRUE(scene.Resident(4));
  EXPECT_EQ(PteAt(scene, 5), uint32_t{kPteGuard});
}

TEST(MadviseTest, DontneedLockedUnlocksAPageThatAnotherTaskKeeps) {
  Scene scene(k618);
  scene.Run(MmapAnonymous(0, 1, "LOCKED"));
  scene.Run("fork { child: 1 }");
  ASSERT_EQ(scene.Run(Madvise(0, 1, "DONTNEED_LOCKED")), "OK");
  EXPECT_TRUE(scene.VmLocked(0));
  EXPECT_FALSE(scene.Mlocked(0, 1));
  EXPECT_EQ(scene.nr_mlock(), 0);
}

TEST(MadviseTest, DontneedTakesWholeHugetlbPagesFrom518On) {
  Scene scene(R"(kernel: "v6.1" nr_hugepages: 2)");
  scene.Run(MmapAnonymous(0, 32, "HUGETLB"));
  scene.Run(Touch(0));
  scene.Run(Touch(16));
  EXPECT_EQ(scene.Run(Madvise(0, 31, "DONTNEED")), "OK");
  EXPECT_FALSE(scene.Resident(0));
  EXPECT_TRUE(scene.Resident(16));
  EXPECT_EQ(scene.Run(Madvise(1, 15, "DONTNEED")), "EINVAL");
}

TEST(MadviseTest, PageoutLeavesSharedPagesAlone) {
  Scene scene(k618);
  scene.Run(MmapAnonymous(0, 2));
  scene.Run(Touch(0));
  scene.Run("fork { child: 1 }");
  scene.Run(Touch(1));
  ASSERT_EQ(scene.Run(Madvise(0, 2, "PAGEOUT")), "OK");
  EXPECT_TRUE(scene.Resident(0));
  EXPECT_FALSE(scene.Resident(1));
}

TEST(MadviseTest, CollapseNeedsNoSetting) {
  Scene scene(k618);
  scene.Run(MmapAnonymous(0, 16));
  scene.Run(Touch(3));
  ASSERT_EQ(scene.Run(Madvise(0, 16, "COLLAPSE")), "OK");
  EXPECT_TRUE(scene.page(0).Is(kPageHead));
  EXPECT_EQ(scene.Run(Madvise(0, 16, "COLLAPSE")), "OK");
}

TEST(MadviseTest, CollapseOfNothingIsRefused) {
  Scene scene(k618);
  scene.Run(MmapAnonymous(0, 16));
  EXPECT_EQ(scene.Run(Madvise(0, 16, "COLLAPSE")), "EINVAL");
}

TEST(MadviseTest, DroppablePagesGoWithoutATrace) {
  Scene scene(k618);
  scene.Run(
      absl::StrCat("mmap { ", MmapFields(0, 1, "ANONYMOUS, DROPPABLE"), " }"));
  scene.Run(Touch(0));
  scene.Run("drain {}");
  ASSERT_EQ(scene.Run(Act("reclaim", 0)), "OK");
  EXPECT_EQ(PteAt(scene, 0), 0u);
}

}  // namespace
}  // namespace lockstep::reference
