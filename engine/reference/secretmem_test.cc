// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/secretmem.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/reference/reference_testing.h"
#include "gtest/gtest.h"

namespace lockstep::reference {
namespace {

constexpr char k618[] = R"(kernel: "v6.18" defects: "none")";
constexpr char kFourPages[] = "memfd_secret { size: 16384 }";

std::string MmapSecret(uint64_t page, uint64_t pages,
                       absl::string_view flags = "SHARED") {
  return absl::StrCat("mmap { ", MmapFields(page, pages, flags),
                      " source: SECRET }");
}

TEST(SecretmemTest, ASlotTakesOneSecret) {
  Scene scene(k618);
  EXPECT_EQ(scene.Run(kFourPages), "OK");
  EXPECT_EQ(scene.Run(kFourPages), "SKIPPED");
}

TEST(SecretmemTest, AnEmptySlotIsNoFile) {
  Scene scene(k618);
  EXPECT_EQ(scene.Run(MmapSecret(0, 1)), "EBADF");
}

TEST(SecretmemTest, ASizeThatNoFileHasLeavesTheSlotEmpty) {
  Scene scene(k618);
  EXPECT_EQ(scene.Run("memfd_secret { size: 9223372036854775808 }"), "EINVAL");
  EXPECT_EQ(scene.Run(kFourPages), "OK");
}

TEST(SecretmemTest, ItsPagesAreUnevictableAndStay) {
  Scene scene(k618);
  scene.Run(kFourPages);
  scene.Run(MmapSecret(0, 1));
  scene.Run(Touch(0));
  scene.Run("drain {}");
  const Pfn page = scene.pfn(0);
  scene.Run("reclaim {}");
  EXPECT_EQ(scene.page(0).lru, kUnevictable);
  EXPECT_EQ(scene.Run(Act("migrate", 0)), "SKIPPED");
  EXPECT_EQ(scene.pfn(0), page);
}

TEST(SecretmemTest, MappingsShareThePagesOfTheSecret) {
  Scene scene(k618);
  scene.Run(kFourPages);
  scene.Run(MmapSecret(0, 1));
  scene.Run(MmapSecret(8, 1));
  scene.Run(Touch(0));
  scene.Run(Touch(8));
  EXPECT_EQ(scene.pfn(0), scene.pfn(8));
  EXPECT_EQ(scene.mm().locked_vm, Pages{2});
}

TEST(SecretmemTest, BehindItsEndIsSigbus) {
  Scene scene(k618);
  scene.Run("memfd_secret { size: 4096 }");
  scene.Run(MmapSecret(0, 2));
  EXPECT_EQ(scene.Run(Touch(1)), "SIGBUS");
}

TEST(SecretmemTest, ARefusedSecretHasUnmappedWhatWasThere) {
  Scene scene(k618);
  scene.Run(kFourPages);
  scene.Run(MmapAnonymous(0, 1));
  EXPECT_EQ(scene.Run(MmapSecret(0, 1, "PRIVATE")), "EINVAL");
  EXPECT_EQ(scene.vma(0), nullptr);
}

TEST(SecretmemTest, NeitherMappedNorMadeExecutable) {
  Scene scene(k618);
  scene.Run(kFourPages);
  scene.Run(MmapSecret(0, 1));
  EXPECT_EQ(scene.Run("mprotect { addr { page: 0 } length: 4096 prot: EXEC }"),
            "EACCES");
}

// config of a kernel that charges users, with a limit of one page.
constexpr char kPerUser[] =
    R"(kernel: "v6.12" defects: "none" memlock_limit: 4096)";

TEST(SecretmemTest, AFaultChargesTheUserAndIsSigbusAtTheLimit) {
  Scene scene(kPerUser);
  scene.Run(kFourPages);
  EXPECT_EQ(scene.Run(MmapSecret(0, 2)), "OK");
  EXPECT_EQ(scene.mm().locked_vm, Pages{0});
  EXPECT_EQ(scene.Run(Touch(0)), "OK");
  EXPECT_EQ(scene.Run(Touch(0)), "OK");
  EXPECT_EQ(scene.Run(Touch(1)), "SIGBUS");
  scene.Run("setrlimit { memlock: 8192 }");
  EXPECT_EQ(scene.Run(Touch(1)), "OK");
}

TEST(SecretmemTest, SecretsOfOneUserAreChargedTogether) {
  Scene scene(kPerUser);
  scene.Run(kFourPages);
  scene.Run("memfd_secret { fd: 1 size: 4096 }");
  scene.Run(MmapSecret(0, 1));
  scene.Run(
      "mmap { addr { page: 8 } length: 4096 prot: [READ, WRITE] "
      "flags: [SHARED, FIXED] source: SECRET fd: 1 }");
  EXPECT_EQ(scene.Run(Touch(0)), "OK");
  EXPECT_EQ(scene.Run(Touch(8)), "SIGBUS");
}

}  // namespace
}  // namespace lockstep::reference
