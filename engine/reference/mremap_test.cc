// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/mremap.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "engine/reference/reference_testing.h"
#include "gtest/gtest.h"

namespace lockstep::reference {
namespace {

constexpr char k618[] = R"(kernel: "v6.18" defects: "none")";

std::string Mremap(uint64_t page, uint64_t pages, uint64_t new_pages,
                   absl::string_view flags, uint64_t target) {
  return absl::StrCat("mremap { addr { page: ", page,
                      " } old_length: ", pages * kPageSize,
                      " new_length: ", new_pages * kPageSize, " flags: [",
                      flags, "] new_addr { page: ", target, " } }");
}

TEST(MremapTest, DontunmapMovesThePagesAndLeavesTheVma) {
  Scene scene(k618);
  scene.Run(MmapAnonymous(0, 2, "LOCKED"));
  const Pfn page = scene.pfn(1);
  ASSERT_EQ(scene.Run(Mremap(0, 2, 2, "MAYMOVE, FIXED, DONTUNMAP", 8)), "OK");
  EXPECT_EQ(scene.pfn(9), page);
  EXPECT_FALSE(scene.Resident(1));
  EXPECT_FALSE(scene.VmLocked(1));
  EXPECT_TRUE(scene.VmLocked(9));
  EXPECT_TRUE(scene.Mlocked(9));
  EXPECT_EQ(scene.mm().locked_vm, Pages{2});
  EXPECT_EQ(scene.mm().total_vm, Pages{4});
}

TEST(MremapTest, DontunmapOfALockedPartSplitsFirst) {
  Scene scene(k618);
  scene.Run(MmapAnonymous(0, 4, "LOCKED"));
  scene.Run(Mremap(1, 2, 2, "MAYMOVE, FIXED, DONTUNMAP", 8));
  EXPECT_EQ(scene.map_count(), 4u);
  EXPECT_TRUE(scene.VmLocked(0) && scene.VmLocked(3));
  EXPECT_FALSE(scene.VmLocked(1));
}

TEST(MremapTest, DontunmapOfAnUnlockedPartSplitsNothing) {
  Scene scene(k618);
  scene.Run(MmapAnonymous(0, 4));
  scene.Run(Mremap(1, 2, 2, "MAYMOVE, FIXED, DONTUNMAP", 8));
  EXPECT_EQ(scene.map_count(), 2u);
}

TEST(MremapTest, DontunmapMayLetTheKernelChooseThePlace) {
  Scene scene(k618);
  scene.Run(MmapAnonymous(0, 1, "LOCKED"));
  scene.Run(MmapAnonymous(8, 1));
  EXPECT_EQ(scene.Run(Mremap(0, 1, 1, "MAYMOVE, DONTUNMAP", 8)), "OK");
  EXPECT_FALSE(scene.VmLocked(8));
  EXPECT_EQ(scene.mm().locked_vm, Pages{1});
}

TEST(MremapTest, AnUntouchedMappingBesideItsCopyStaysApart) {
  Scene scene(k618);
  scene.Run(MmapAnonymous(0, 1));
  scene.Run(Mremap(0, 1, 1, "MAYMOVE, FIXED, DONTUNMAP", 1));
  EXPECT_EQ(scene.map_count(), 2u);
}

TEST(MremapTest, SeveralVmasKeepTheirDistances) {
  Scene scene(k618);
  scene.Run(MmapAnonymous(0, 1, "LOCKED"));
  scene.Run(MmapFile(2, 1));
  scene.Run(MmapAnonymous(9, 1));
  ASSERT_EQ(scene.Run(Mremap(0, 4, 4, "MAYMOVE, FIXED", 8)), "OK");
  EXPECT_TRUE(scene.VmLocked(8));
  ASSERT_NE(scene.vma(10), nullptr);
  EXPECT_TRUE(scene.vma(10)->Is(kVmShared));
  // Where the source has a hole the target is left alone.
  EXPECT_NE(scene.vma(9), nullptr);
  EXPECT_EQ(scene.vma(0), nullptr);
  EXPECT_EQ(scene.vma(2), nullptr);
}

TEST(MremapTest, SeveralVmasMustNotBeginWithAHole) {
  Scene scene(k618);
  scene.Run(MmapAnonymous(1, 1));
  EXPECT_EQ(scene.Run(Mremap(0, 2, 2, "MAYMOVE, FIXED", 8)), "EFAULT");
}

TEST(MremapTest, ASegmentDoesNotMoveWithOthers) {
  Scene scene(k618);
  scene.Run("shmget { shm: 1 size: 8192 }");
  scene.Run("shmat { shm: 1 addr { page: 2 } }");
  scene.Run(MmapAnonymous(0, 1, "LOCKED"));
  EXPECT_EQ(scene.Run(Mremap(0, 4, 4, "MAYMOVE, FIXED", 8)), "EFAULT");
  // What comes before it has moved.
  EXPECT_TRUE(scene.VmLocked(8));
  EXPECT_EQ(scene.vma(0), nullptr);
  EXPECT_EQ(scene.vma(10), nullptr);
  // Nor over a hole, but by itself and in part.
  EXPECT_EQ(scene.Run(Mremap(2, 3, 3, "MAYMOVE, FIXED", 8)), "EFAULT");
  EXPECT_TRUE(scene.VmLocked(8));
  EXPECT_EQ(scene.Run(Mremap(2, 1, 1, "MAYMOVE, FIXED", 10)), "OK");
  EXPECT_NE(scene.vma(10), nullptr);
  EXPECT_NE(scene.vma(3), nullptr);
}

TEST(MremapTest, HugetlbMovesWithItsReservation) {
  Scene scene(R"(kernel: "v6.1" nr_hugepages: 1)");
  scene.Run(MmapAnonymous(0, 16, "HUGETLB"));
  ASSERT_EQ(scene.Run(Mremap(0, 16, 16, "MAYMOVE, FIXED", 32)), "OK");
  EXPECT_EQ(scene.machine().hugetlb_reserved, 1u);
  EXPECT_EQ(scene.Run(Touch(32)), "OK");
  EXPECT_EQ(scene.machine().hugetlb_reserved, 0u);
}

// The parts of a mapping of three huge pages that mremap leaves where they are.
TEST(MremapTest, APartOfHugetlbMovesWithItsReservation) {
  Scene scene(R"(kernel: "v6.1" defects: "none" nr_hugepages: 3)");
  scene.Run(MmapAnonymous(0, 48, "HUGETLB"));
  ASSERT_EQ(scene.Run(Mremap(16, 16, 16, "MAYMOVE, FIXED", 64)), "OK");
  EXPECT_EQ(scene.machine().hugetlb_reserved, 3u);
  EXPECT_EQ(scene.Run(Touch(0)), "OK");
  EXPECT_EQ(scene.Run(Touch(64)), "OK");
  scene.Run(Munmap(32, 16));
  EXPECT_EQ(scene.machine().hugetlb_reserved, 0u);
}

TEST(MremapTest, WithD29TheRestOfHugetlbLosesItsReservation) {
  Scene scene(
      R"(kernel: "v6.1" defects: "+mremap-loses-reserve" nr_hugepages: 3)");
  scene.Run(MmapAnonymous(0, 48, "HUGETLB"));
  ASSERT_EQ(scene.Run(Mremap(16, 16, 16, "MAYMOVE, FIXED", 64)), "OK");
  EXPECT_EQ(scene.Run(Touch(0)), "SIGBUS");
  EXPECT_EQ(scene.Run(Touch(32)), "SIGBUS");
  EXPECT_EQ(scene.Run(Touch(64)), "OK");
  scene.Run(Munmap(0, 80));
  EXPECT_EQ(scene.machine().hugetlb_reserved, 2u);
  EXPECT_EQ(scene.machine().hugetlb_free, 3u);
}

// A child whose pages the owner has taken back moves one that it never had.
TEST(MremapTest, WithD29TheRestOfHugetlbForgetsWhatTheOwnerTook) {
  for (const char* defects : {"none", "none,+mremap-loses-reserve"}) {
    Scene scene(absl::StrCat("kernel: 'v6.1' nr_hugepages: 2 defects: '",
                             defects, "'"));
    scene.Run(MmapAnonymous(0, 32, "HUGETLB"));
    scene.Run(Touch(0));
    scene.Run("fork { child: 1 }");
    ASSERT_EQ(scene.Run(Touch(0)), "OK");
    ASSERT_EQ(scene.Run("task: 1 " + Mremap(16, 16, 16, "MAYMOVE, FIXED", 64)),
              "OK");
    scene.Run("exit {}");
    const bool forgets = scene.machine().Has(Defect::kMremapLosesReserve);
    EXPECT_EQ(scene.Run("task: 1 " + Touch(0)), forgets ? "OK" : "SIGBUS");
    EXPECT_EQ(scene.Run("task: 1 " + Touch(64)), "SIGBUS");
  }
}

TEST(MremapTest, HugetlbStaysWhereItIsUpTo515) {
  Scene scene(R"(kernel: "v4.9" nr_hugepages: 1)");
  scene.Run(MmapAnonymous(0, 16, "HUGETLB"));
  EXPECT_EQ(scene.Run(Mremap(0, 16, 16, "MAYMOVE, FIXED", 32)), "EINVAL");
}

}  // namespace
}  // namespace lockstep::reference
