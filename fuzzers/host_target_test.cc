// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// lockstep_host_fuzzer on the kernel underneath. Alone: it locks memory.

#include <sys/utsname.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "engine/defect.h"
#include "engine/linux/kernel.h"
#include "engine/profile.h"
#include "fuzzers/targets_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/testing.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string HostRelease() {
  utsname name = {};
  EXPECT_EQ(uname(&name), 0);
  return name.release;
}

// The kernel underneath has a defect that it is taken not to have.
TEST(HostTargetTest, AbortsWithTheFindingThatReplays) {
  const ProfileChoice choice = ProfileFor(HostRelease());
  if (!choice.profile->shipped.Has(Defect::kDontunmapDoubleCharge)) {
    GTEST_SKIP() << "this kernel is taken for " << choice.profile->name
                 << ", which has no dontunmap-double-charge to be found";
  }
  const TemporaryDirectory directory;
  const std::string file = Artifact(directory, "dontunmap-double-charge");
  const ShellResult known = Shell(absl::StrCat(Target("host"), " ", file));
  if (known.status == 3) GTEST_SKIP() << known.err;
  EXPECT_EQ(known.status, 0) << known.err;
  const ShellResult result = Shell(
      absl::StrCat("LOCKSTEP_FUZZ_DEFECTS=none ", Target("host"), " ", file));
  EXPECT_THAT(result.status, Aborted());
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("lockstep_host_fuzzer: mremap-effect after step"),
                    HasSubstr("steps {")));
  const ShellResult replay =
      Shell(absl::StrReplaceAll(ReplayOf(result.err), {{"FILE", file}}));
  EXPECT_EQ(replay.status, 1) << replay.err;
  EXPECT_THAT(replay.out, HasSubstr("mremap-effect"));
}

}  // namespace
}  // namespace lockstep
