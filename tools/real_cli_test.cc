// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The commands on real kernels: diff, run, fuzz, shrink and repro with the
// host. What the host cannot do here is said and skipped.

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/linux/kernel.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/testing.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

ShellResult Lockstep(const std::string& arguments) {
  return Shell(absl::StrCat(LOCKSTEP_BINARY, " ", arguments));
}

// Every kernel agrees on this one with every profile.
constexpr char kFine[] =
    "steps { mmap { length: 8192 prot: [READ, WRITE]"
    "               flags: [PRIVATE, ANONYMOUS, FIXED] } }\n"
    "steps { mlock { length: 8192 }"
    "        expect { outcome: \"OK\" locked_vm: 2 pages { locked: true } } }\n"
    "steps { munlock { length: 4096 } expect { locked_vm: 1 } }\n";
// D6, which no kernel from 5.2 on has: with the profile v4.9 it parts.
constexpr char kMclOnfault[] =
    "steps { mmap { length: 4096 prot: [READ, WRITE]"
    "               flags: [PRIVATE, ANONYMOUS, FIXED] } }\n"
    "steps { mlock { length: 4096 } }\n"
    "steps { mlockall { flags: ONFAULT } }\n"
    "steps { munlock { length: 4096 } }\n";
constexpr char kWrongExpectation[] =
    "steps { mlock { length: 4096 } expect { outcome: \"OK\" } }\n";
constexpr char kHugeArena[] = "config { arena_pages: 4096 }\n";

class OnTheHost : public ::testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<Kernel>> kernel = MakeHostKernel({});
    if (!kernel.ok()) GTEST_SKIP() << kernel.status().message();
    if (ProfileFor("5.1").profile == ProfileFor((*kernel)->release()).profile &&
        ProfileFor((*kernel)->release()).remark.empty()) {
      GTEST_SKIP() << "this kernel is older than 5.2: " << (*kernel)->release();
    }
  }
  TemporaryDirectory directory_;
};

using Diff = OnTheHost;
using RunReal = OnTheHost;
using FuzzReal = OnTheHost;
using ShrinkReal = OnTheHost;
using ReproReal = OnTheHost;

TEST_F(Diff, SaysThatEnginesAgree) {
  const std::string fine = directory_.Write("fine.txtpb", kFine);
  const ShellResult result = Lockstep("diff " + fine);
  EXPECT_EQ(result.status, 0) << result.out << result.err;
  EXPECT_EQ(result.out, fine + ": agrees, 3 steps\n");
}

TEST_F(Diff, ShowsBothSidesWhereTheyPart) {
  const std::string parts = directory_.Write("parts.txtpb", kMclOnfault);
  const ShellResult result = Lockstep("diff --kernel=v4.9 " + parts);
  EXPECT_EQ(result.status, 1) << result.err;
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("parts\n"), HasSubstr("agree-outcome\n"),
                    HasSubstr("mlockall(ONFAULT)"), HasSubstr("reference v4.9"),
                    HasSubstr("EINVAL")));
}

TEST_F(Diff, TheFirstEngineNamedStandsFirst) {
  const std::string parts = directory_.Write("parts.txtpb", kMclOnfault);
  const std::string command =
      absl::StrCat("diff --kernel=v4.9 --json ", parts, " --engines=");
  EXPECT_THAT(Lockstep(command + "reference,host").out,
              HasSubstr("\"a\":\"OK\",\"b\":\"EINVAL\""));
  EXPECT_THAT(Lockstep(command + "host,reference").out,
              HasSubstr("\"a\":\"EINVAL\",\"b\":\"OK\""));
}

TEST_F(Diff, CountsProgramsByVerdict) {
  const std::string fine = directory_.Write("fine.txtpb", kFine);
  const std::string parts = directory_.Write("parts.txtpb", kMclOnfault);
  const std::string huge = directory_.Write("huge.txtpb", kHugeArena);
  const ShellResult result = Lockstep(
      absl::StrCat("diff --kernel=v4.9 ", fine, " ", parts, " ", huge));
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("1 agree, 1 part, 0 judged, 1 not run here"),
                    HasSubstr("not run here: its arena has 4096 pages")));
  EXPECT_EQ(Lockstep("diff " + huge).status, 0);
}

TEST_F(Diff, WhatIsJudgedIsCountedByName) {
  const std::string parts = directory_.Write("parts.txtpb", kMclOnfault);
  const std::string judged = directory_.Write(
      "judged.txtpb",
      "judged { name: \"d6-is-fixed\" engine: \"host\" kernel: \"v4.9\""
      " property: \"agree-outcome\" call: \"mlockall\" seen: \"EINVAL\""
      " reason: \"v4.9 has D6\" witness: \"x\" }");
  const ShellResult result = Lockstep(
      absl::StrCat("diff --kernel=v4.9 --judged=", judged, " ", parts));
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.out, parts + ": judged: d6-is-fixed\n");
}

TEST_F(Diff, GoesOnAfterAFileItCannotRead) {
  const std::string fine = directory_.Write("fine.txtpb", kFine);
  const ShellResult result =
      Lockstep(absl::StrCat("diff ", directory_.path("missing"), " ", fine));
  EXPECT_EQ(result.status, 2);
  EXPECT_THAT(result.out, HasSubstr("agrees"));
}

TEST(DiffUsage, NeedsTwoEnginesThatExist) {
  for (const char* engines :
       {"reference", "host,host", "reference,bochs", "host", "a,b,c"}) {
    const ShellResult result =
        Lockstep(absl::StrCat("diff --engines=", engines, " x"));
    EXPECT_EQ(result.status, 2) << engines;
    EXPECT_THAT(result.err, HasSubstr("expected")) << engines;
  }
  EXPECT_EQ(Lockstep("diff").status, 2);
}

TEST(DiffUsage, AGuestThatIsNotThereIsImpossible) {
  const ShellResult result =
      Lockstep("diff --engines=reference,guest:0.0 /dev/null");
  EXPECT_NE(result.status, 0);
  EXPECT_EQ(result.out, "");
}

TEST_F(RunReal, ChecksContractsAndExpectations) {
  const std::string fine = directory_.Write("fine.txtpb", kFine);
  const ShellResult ok = Lockstep("run --engine=host --trace " + fine);
  EXPECT_EQ(ok.status, 0) << ok.out << ok.err;
  EXPECT_THAT(ok.out, AllOf(HasSubstr("mlock(arena 0, 8192) = OK, locked_vm 2"),
                            HasSubstr("OK, 3 steps on host")));
  const std::string wrong = directory_.Write("wrong.txtpb", kWrongExpectation);
  const ShellResult violated = Lockstep("run --engine=host " + wrong);
  EXPECT_EQ(violated.status, 1);
  EXPECT_THAT(violated.out, HasSubstr("expectation after step 0"));
  EXPECT_EQ(Lockstep("run --engine=host --no-check " + wrong).status, 0);
}

TEST_F(RunReal, AContractNeedsNoModel) {
  const std::string parts = directory_.Write("parts.txtpb", kMclOnfault);
  const ShellResult result =
      Lockstep("run --engine=host --kernel=v4.9 " + parts);
  // The rule is that mlockall(MCL_ONFAULT) is EINVAL: the host keeps it.
  EXPECT_EQ(result.status, 0) << result.out;
}

TEST_F(RunReal, WhatCannotBeRunHereIsStatusThree) {
  const std::string huge = directory_.Write("huge.txtpb", kHugeArena);
  const ShellResult result = Lockstep("run --engine=host " + huge);
  EXPECT_EQ(result.status, 3);
  EXPECT_THAT(result.err, HasSubstr("not run here"));
}

TEST_F(FuzzReal, WritesFindingsWithBothSides) {
  const std::string out = directory_.path("findings");
  // No kernel that runs today does as v4.9 did.
  const ShellResult result =
      Lockstep(absl::StrCat("fuzz --engine=host --kernel=v4.9 --seed=3 "
                            "--count=256 --length=6 --for=20s --out=",
                            out));
  EXPECT_EQ(result.status, 1) << result.err;
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("host against v4.9"), HasSubstr("256 programs"),
                    HasSubstr("steps not run here")));
  int findings = 0;
  for (const auto& entry : std::filesystem::directory_iterator(out)) {
    const std::string path = entry.path().string();
    ++findings;
    EXPECT_TRUE(std::filesystem::exists(path + "/program.txtpb"));
    const std::string report = ReadAll(path + "/report.md");
    EXPECT_THAT(report,
                AllOf(HasSubstr("## Both sides"), HasSubstr("reference v4.9"),
                      HasSubstr("The reproducer: ")));
    EXPECT_THAT(report, Not(HasSubstr("The reproducer: \n")));
  }
  EXPECT_GT(findings, 0);
}

TEST_F(FuzzReal, RefusesMoreThanOneJob) {
  EXPECT_EQ(Lockstep("fuzz --engine=host --jobs=2").status, 2);
  EXPECT_EQ(Lockstep("fuzz --engine=host --kernel=all").status, 2);
  EXPECT_EQ(Lockstep("fuzz --kernel=host").status, 2);
}

TEST_F(ShrinkReal, KeepsWhatTheKernelNeeds) {
  const std::string parts = directory_.Write("parts.txtpb", kMclOnfault);
  const ShellResult result =
      Lockstep("shrink --engine=host --kernel=v4.9 " + parts);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("mlockall { flags: [ONFAULT] }"),
                                Not(HasSubstr("munlock"))));
}

TEST_F(ReproReal, ReportsBothSides) {
  const std::string parts = directory_.Write("parts.txtpb", kMclOnfault);
  const ShellResult result =
      Lockstep("repro --engine=host --kernel=v4.9 --format=markdown " + parts);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("# agree-outcome"), HasSubstr("## Both sides")));
}

}  // namespace
}  // namespace lockstep
