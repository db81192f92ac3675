// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/try_repro.h"

#include <cstdlib>
#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/linux/guest_kernel.h"
#include "engine/linux/kernel_cache.h"
#include "engine/linux/qemu.h"
#include "engine/program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/findings.h"
#include "tools/session.h"
#include "tools/testing.h"

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

// Needs no guest: nothing comes so far.
TEST(TryReproInGuestTest, KeepsWhatTheCompilerSaid) {
  LOCKSTEP_NEEDS_CC();
  const ReproResult result =
      TryReproInGuest("int main(void) { nonsense; }\n", "cc", "6.12");
  EXPECT_FALSE(result.compiled);
  EXPECT_EQ(result.summary, "does not compile with cc -static -s");
  EXPECT_THAT(result.output, HasSubstr("nonsense"));
}

TEST(TryReproInGuestTest, SaysThatThereIsNoStaticLibrary) {
  LOCKSTEP_NEEDS_CC();
  TemporaryDirectory directory;
  const std::string compiler =
      directory.Write("cc",
                      "#!/bin/sh\n"
                      "for flag; do\n"
                      "  [ \"$flag\" != -static ] ||\n"
                      "    { echo 'cannot find -lc' >&2; exit 1; }\n"
                      "done\n"
                      "exec cc \"$@\"\n");
  std::filesystem::permissions(compiler, std::filesystem::perms::owner_all);
  const ReproResult result =
      TryReproInGuest("int main(void) { return 0; }\n", compiler, "6.12");
  EXPECT_FALSE(result.compiled);
  EXPECT_THAT(result.summary, HasSubstr("a static C library (libc.a)"));
  EXPECT_EQ(result.output, "cannot find -lc\n");
}

TEST(TryReproInGuestTest, AProgramThatIsTooLargeIsNotRun) {
  LOCKSTEP_NEEDS_CC();
  const ReproResult result = TryReproInGuest(
      "char image[3 << 20] = {1};\nint main(void) { return image[0]; }\n", "cc",
      "6.12");
  if (!result.compiled) GTEST_SKIP() << result.summary;
  EXPECT_FALSE(result.ran);
  EXPECT_THAT(result.summary,
              HasSubstr("cannot be run in guest:6.12: a program of"));
}

TEST(TryReproInGuestTest, AKernelThatIsNotThereIsSaid) {
  LOCKSTEP_NEEDS_CC();
  if (auto qemu = FindQemu(); !qemu.ok()) {
    GTEST_SKIP() << qemu.status().message();
  }
  const ReproResult result =
      TryReproInGuest("int main(void) { return 0; }\n", "cc", "99.1");
  if (!result.compiled) GTEST_SKIP() << result.summary;
  EXPECT_THAT(result.summary, HasSubstr("ci/fetch-kernels.sh 99.1"));
}

// Each test boots a guest or two; skipped where one of its needs is missing.
class TryReproGuestTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LOCKSTEP_NEEDS_CC();
    if (auto qemu = FindQemu(); !qemu.ok()) {
      GTEST_SKIP() << qemu.status().message();
    }
    if (auto image = FindKernelImage("6.12"); !image.ok()) {
      GTEST_SKIP() << image.status().message();
    }
    TemporaryDirectory directory;
    const std::string empty =
        directory.Write("empty.c", "int main(void) { return 0; }\n");
    if (std::system(absl::StrCat("cc -static -o ", directory.path(), "/empty ",
                                 empty, " 2>/dev/null")
                        .c_str()) != 0) {
      GTEST_SKIP() << "no static C library on this machine";
    }
  }
};

TEST_F(TryReproGuestTest, RunsInThatKernelAsRootWithWhatAReproducerNeeds) {
  const ReproResult result = TryReproInGuest(R"c(
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
int main(void) {
  struct utsname names;
  char name[] = "/tmp/file-XXXXXX";
  uname(&names);
  printf("%.4s %d\n", names.release, getuid());
  if (getpid() == 1 || mkstemp(name) < 0 ||
      access("/proc/kpageflags", R_OK) || access("/sys/kernel/mm", R_OK))
    return 4;
  fprintf(stderr, "it deviates\n");
  return 1;
}
)c",
                                             "cc", "6.12");
  EXPECT_EQ(result.summary,
            "compiled and run in guest:6.12: exit status 1, the deviation from "
            "the documented behaviour is there");
  EXPECT_TRUE(result.compiled && result.ran);
  EXPECT_EQ(result.status, 1);
  // Standard output is a file, which C writes to in the end.
  EXPECT_EQ(result.output, "it deviates\n6.12 0\n");
}

TEST_F(TryReproGuestTest, WhatDoesNotEndIsLeftAtItsLimit) {
  const ReproResult result = TryReproInGuest(
      "#include <stdio.h>\n"
      "int main(void) { puts(\"begun\"); fflush(stdout); for (;;) ; }\n",
      "cc", "6.12", absl::Seconds(3));
  EXPECT_TRUE(result.compiled);
  EXPECT_FALSE(result.ran);
  EXPECT_EQ(result.summary, "compiled; took longer than 3s in guest:6.12");
  EXPECT_EQ(result.output, "begun\n");
}

TEST_F(TryReproGuestTest, ASignalIsTold) {
  const ReproResult result = TryReproInGuest(
      "#include <stdlib.h>\nint main(void) { abort(); }\n", "cc", "6.12");
  EXPECT_TRUE(result.ran);
  EXPECT_EQ(result.summary, "compiled and run in guest:6.12: died of signal 6");
}

TEST_F(TryReproGuestTest, AKernelThatPanicsIsQuoted) {
  const ReproResult result = TryReproInGuest(R"c(
#include <fcntl.h>
#include <unistd.h>
int main(void) {
  return write(open("/proc/sysrq-trigger", O_WRONLY), "c", 1);
}
)c",
                                             "cc", "6.12");
  EXPECT_FALSE(result.ran);
  EXPECT_EQ(result.summary,
            "compiled and run in guest:6.12: the guest went down");
  EXPECT_THAT(result.output, HasSubstr("Kernel panic - not syncing"));
}

// A process that nothing can take the only CPU from.
TEST_F(TryReproGuestTest, AKernelThatHangsIsGivenUp) {
  GuestOptions options;
  options.patience = absl::Seconds(6);
  const ReproResult result =
      TryReproInGuest(R"c(
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>
int main(void) {
  struct sched_param param = { .sched_priority = 99 };
  int fd = open("/proc/sys/kernel/sched_rt_runtime_us", O_WRONLY);
  if (write(fd, "-1", 2) != 2 || sched_setscheduler(0, SCHED_FIFO, &param))
    return 4;
  for (;;)
    ;
}
)c",
                      "cc", "6.12", absl::Minutes(1), options);
  EXPECT_FALSE(result.ran);
  EXPECT_EQ(result.summary, "compiled and run in guest:6.12: the guest hangs");
}

// D28, by the program that shows it to the model.
TEST_F(TryReproGuestTest, ShowsSwapinNotMlockedOf6_12AndNotOf6_1) {
  if (auto image = FindKernelImage("6.1"); !image.ok()) {
    GTEST_SKIP() << image.status().message();
  }
  absl::StatusOr<Program> program = LoadProgram(
      LOCKSTEP_SOURCE_DIR "/corpus/defects/swapin-not-mlocked.txtpb");
  ASSERT_TRUE(program.ok()) << program.status();
  auto violation = Judge(*program);
  ASSERT_TRUE(violation.ok() && violation->has_value()) << violation.status();
  auto source = RenderReproducerC(*program, *violation);
  ASSERT_TRUE(source.ok()) << source.status();
  const ReproResult has_it = TryReproOn("guest:6.12", *source);
  EXPECT_EQ(has_it.status, 1) << has_it.summary;
  EXPECT_EQ(has_it.output,
            "after step 2: expected the page at 0x200000000000 Mlocked, it is "
            "not\n");
  const ReproResult has_it_not = TryReproOn("guest:6.1", *source);
  EXPECT_EQ(has_it_not.status, 0) << has_it_not.summary << has_it_not.output;
}

}  // namespace
}  // namespace lockstep
