// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/try_repro.h"

#include <cstdlib>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

bool HasCompiler() { return std::system("command -v cc >/dev/null 2>&1") == 0; }
#define LOCKSTEP_NEEDS_CC() \
  if (!HasCompiler()) GTEST_SKIP() << "no cc on this machine"

TEST(TryReproTest, SaysWhatTheExitStatusMeans) {
  LOCKSTEP_NEEDS_CC();
  const ReproResult there = TryRepro(
      "#include <stdio.h>\nint main(void) { puts(\"D6\"); return 1; }\n", "cc");
  EXPECT_TRUE(there.compiled && there.ran);
  EXPECT_EQ(there.status, 1);
  EXPECT_THAT(there.summary, HasSubstr("the deviation"));
  EXPECT_EQ(there.output, "D6\n");
  const ReproResult fine = TryRepro("int main(void) { return 0; }\n", "cc");
  EXPECT_EQ(fine.status, 0);
  EXPECT_THAT(fine.summary, HasSubstr("behaves as documented"));
}

TEST(TryReproTest, KeepsWhatTheCompilerSaid) {
  LOCKSTEP_NEEDS_CC();
  const ReproResult result = TryRepro("int main(void) { nonsense; }\n", "cc");
  EXPECT_FALSE(result.compiled);
  EXPECT_THAT(result.summary, HasSubstr("does not compile"));
  EXPECT_THAT(result.output, HasSubstr("nonsense"));
}

TEST(TryReproTest, SaysWhenThereIsNoCompiler) {
  const ReproResult result = TryRepro("", "no-such-compiler-here");
  EXPECT_FALSE(result.compiled);
  EXPECT_EQ(result.summary, "not compiled: no no-such-compiler-here here");
}

TEST(TryReproTest, EndsWhatDoesNotEnd) {
  LOCKSTEP_NEEDS_CC();
  const absl::Time start = absl::Now();
  const ReproResult result =
      TryRepro("int main(void) { for (;;) ; }\n", "cc", absl::Seconds(3));
  EXPECT_TRUE(result.compiled);
  EXPECT_FALSE(result.ran);
  EXPECT_THAT(result.summary, HasSubstr("took longer than 3s, killed"));
  EXPECT_LT(absl::Now() - start, absl::Seconds(30));
}

TEST(TryReproTest, ASignalIsTold) {
  LOCKSTEP_NEEDS_CC();
  const ReproResult result =
      TryRepro("#include <stdlib.h>\nint main(void) { abort(); }\n", "cc");
  EXPECT_TRUE(result.ran);
  EXPECT_THAT(result.summary, HasSubstr("died of signal 6"));
}

}  // namespace
}  // namespace lockstep
