// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include <string>

#include "absl/strings/str_cat.h"
#include "engine/linux/kernel.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(ProfileForTest, EveryProfileFitsItsOwnReleases) {
  for (const Profile& profile : AllProfiles()) {
    const std::string release =
        absl::StrCat(profile.name.substr(1), ".44-cloud-amd64");
    const ProfileChoice choice = ProfileFor(release);
    EXPECT_EQ(choice.profile, &profile) << release;
    EXPECT_THAT(choice.remark, IsEmpty()) << release;
  }
}

TEST(ProfileForTest, OneInBetweenGetsTheProfileBelow) {
  const ProfileChoice choice = ProfileFor("4.1.2");
  EXPECT_EQ(choice.profile->name, "v3.12");
  EXPECT_THAT(choice.remark, HasSubstr("4.1.2 has no profile of its own"));
}

TEST(ProfileForTest, VersionsAreNumbersNotText) {
  EXPECT_EQ(ProfileFor("4.10.0").profile->name, "v4.9");
  EXPECT_EQ(ProfileFor("3.9.1").profile->name, "v3.12");
}

TEST(ProfileForTest, SaysWhenTheKernelIsNewerThanAllProfiles) {
  const ProfileChoice choice = ProfileFor("99.1.0-rc1");
  EXPECT_EQ(choice.profile, &AllProfiles().back());
  EXPECT_THAT(choice.remark, HasSubstr("newer than every profile"));
}

TEST(ProfileForTest, SaysWhenTheKernelIsOlderThanAllProfiles) {
  const ProfileChoice choice = ProfileFor("2.6.32");
  EXPECT_EQ(choice.profile->name, "v3.12");
  EXPECT_THAT(choice.remark, HasSubstr("older than every profile"));
}

TEST(ProfileForTest, WithoutAVersionItTakesTheNewest) {
  for (const char* release : {"", "next", "6", "6.", ".18"}) {
    const ProfileChoice choice = ProfileFor(release);
    EXPECT_EQ(choice.profile, &AllProfiles().back()) << release;
    EXPECT_THAT(choice.remark, HasSubstr("no version number")) << release;
  }
}

}  // namespace
}  // namespace lockstep
