// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The targets as an infrastructure runs them: processes that are given files.

#include <cerrno>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "engine/defect.h"
#include "engine/linux/trace.h"
#include "engine/linux/trace_testing.h"
#include "engine/outcome.h"
#include "engine/profile.h"
#include "engine/program.h"
#include "engine/reference/reference_engine.h"
#include "engine/step.h"
#include "fuzzers/targets_testing.h"
#include "fuzzers/trace_programs.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/testing.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::vector<std::string> Kernels() {
  std::vector<std::string> names;
  for (const Profile& profile : AllProfiles()) names.emplace_back(profile.name);
  return names;
}

class DefectsTarget : public testing::TestWithParam<std::string> {};

TEST_P(DefectsTarget, AbortsWithTheFindingThatReplays) {
  const DefectInfo& info = *FindDefect(GetParam());
  const TemporaryDirectory directory;
  const std::string file = Artifact(directory, info.name);
  const ShellResult result = Shell(absl::StrCat(Target("defects"), " ", file));
  EXPECT_THAT(result.status, Aborted());
  EXPECT_THAT(result.err,
              AllOf(HasSubstr(absl::StrCat("lockstep_defects_fuzzer: ",
                                           info.property, " after step ")),
                    HasSubstr(": expected "), HasSubstr(", seen "),
                    HasSubstr("config {"), HasSubstr("steps {")));
  const ShellResult replay =
      Shell(absl::StrReplaceAll(ReplayOf(result.err), {{"FILE", file}}));
  EXPECT_EQ(replay.status, 1) << replay.err;
  EXPECT_THAT(replay.out, HasSubstr(info.property));
}
std::vector<std::string> Defects() {
  std::vector<std::string> names;
  for (const DefectInfo& info : AllDefects()) names.emplace_back(info.name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Witness, DefectsTarget, testing::ValuesIn(Defects()),
                         [](const testing::TestParamInfo<std::string>& info) {
                           return absl::StrReplaceAll(info.param, {{"-", "_"}});
                         });

class KernelTarget : public testing::TestWithParam<std::string> {
 protected:
  std::string target() const {
    return Target(absl::StrReplaceAll(GetParam(), {{".", "_"}}));
  }
};

// Its own kernel and defects, whatever the input says: the line that replays it
// says so, too.
TEST_P(KernelTarget, AbortsWithTheFindingThatReplays) {
  const TemporaryDirectory directory;
  const std::string file = Artifact(directory, "overlap-double-count");
  EXPECT_EQ(Shell(absl::StrCat(target(), " ", file)).status, 0)
      << "its kernel has no defects";
  const ShellResult result =
      Shell(absl::StrCat("LOCKSTEP_FUZZ_DEFECTS=none,+overlap-double-count ",
                         target(), " ", file));
  EXPECT_THAT(result.status, Aborted());
  EXPECT_THAT(result.err, HasSubstr("mlock-errno after step "));
  EXPECT_THAT(result.err,
              HasSubstr(absl::StrCat("kernel: \"", GetParam(), "\"")));
  const ShellResult replay =
      Shell(absl::StrReplaceAll(ReplayOf(result.err), {{"FILE", file}}));
  EXPECT_EQ(replay.status, 1) << replay.err;
  EXPECT_THAT(replay.out, HasSubstr("mlock-errno"));
}
INSTANTIATE_TEST_SUITE_P(Kernels, KernelTarget, testing::ValuesIn(Kernels()),
                         [](const testing::TestParamInfo<std::string>& info) {
                           return absl::StrReplaceAll(info.param, {{".", "_"}});
                         });

TEST(TargetsTest, ArtifactsShrink) {
  const TemporaryDirectory directory;
  const std::string file = Artifact(directory, "overlap-double-count");
  const ShellResult result =
      Shell(absl::StrCat(LOCKSTEP_BINARY, " shrink ", file));
  EXPECT_LE(result.status, 1) << result.err;
  EXPECT_THAT(absl::StrCat(result.out, result.err), HasSubstr("mlock-errno"));
}

TEST(TargetsTest, ProfilesThatPartWhereNothingSaysSoAreShownShrunk) {
  const TemporaryDirectory directory;
  const std::string file =
      directory.Write("input",
                      "# proto-file: proto/lockstep/program.proto\n"
                      "config { kernel: \"v3.12\" }\n"
                      "steps { mmap { length: 4096 prot: [READ] "
                      "flags: [PRIVATE, FIXED, ANONYMOUS] } }\n"
                      "steps { mlock2 { length: 4096 flags: [ONFAULT] } }\n");
  EXPECT_EQ(Shell(absl::StrCat(Target("profiles"), " ", file)).status, 0);
  const ShellResult result =
      Shell(absl::StrCat(Target("profiles_without_table"), " ", file));
  EXPECT_THAT(result.status, Aborted());
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("profile-differences after step 0, task 0: "
                              "mlock2("),
                    HasSubstr("expected v3.12 and v4.9 do the same, seen "
                              "v3.12: ENOSYS; v4.9: "),
                    HasSubstr("The program, 1 steps:")));
}

// The parsers' targets, and what each is built as with a format that loses
// steps and errors that say nothing.
struct ParserTarget {
  std::string name, lossy;
  std::string (*write)(const Program&);
};
void PrintTo(const ParserTarget& target, std::ostream* os) {
  *os << target.name;
}
class ParserTargetTest : public testing::TestWithParam<ParserTarget> {};

TEST_P(ParserTargetTest, AbortsWhenALoadedProgramDoesNotSurvive) {
  const TemporaryDirectory directory;
  Program program;
  program.steps.resize(1);
  program.steps[0].op = Op::kMunlockall;
  const std::string file = directory.Write("input", GetParam().write(program));
  EXPECT_EQ(Shell(absl::StrCat(Target(GetParam().name), " ", file)).status, 0);
  ShellResult result = Shell(absl::StrCat(Target(GetParam().lossy), " ", file));
  EXPECT_THAT(result.status, Aborted());
  EXPECT_THAT(
      result.err,
      AllOf(HasSubstr(absl::StrCat("a loaded program does not survive ",
                                   GetParam().name)),
            HasSubstr("munlockall"), HasSubstr("Replay: lockstep run FILE")));
  // Nothing to lose, nothing found.
  program.steps.clear();
  directory.Write("input", GetParam().write(program));
  EXPECT_EQ(Shell(absl::StrCat(Target(GetParam().lossy), " ", file)).status, 0);
}

TEST_P(ParserTargetTest, AbortsWhenAnErrorSaysNothing) {
  const TemporaryDirectory directory;
  const std::string file = directory.Write("input", "no program");
  EXPECT_EQ(Shell(absl::StrCat(Target(GetParam().name), " ", file)).status, 0);
  const ShellResult result =
      Shell(absl::StrCat(Target(GetParam().lossy), " ", file));
  EXPECT_THAT(result.status, Aborted());
  EXPECT_THAT(result.err, HasSubstr("an error without a message"));
}
INSTANTIATE_TEST_SUITE_P(Parsers, ParserTargetTest,
                         testing::Values(ParserTarget{"text", "lossy_text",
                                                      FormatProgramText},
                                         ParserTarget{"binary", "lossy_binary",
                                                      FormatProgramBinary}),
                         [](const testing::TestParamInfo<ParserTarget>& info) {
                           return info.param.name;
                         });

// What an executor writes of the first of the target's programs, as its input.
Trace FirstTrace() {
  reference::ReferenceEngine engine;
  return RecordTrace(TracePrograms()[0], &engine);
}
std::string TraceInput(const Trace& trace) {
  return absl::StrCat(std::string(1, '\0'), ResultBytes({trace}).bytes());
}

TEST(TraceTargetTest, JudgesWhatAnExecutorWrites) {
  const TemporaryDirectory directory;
  const std::string good = directory.Write("good", TraceInput(FirstTrace()));
  EXPECT_EQ(Shell(absl::StrCat(Target("strict_trace"), " ", good)).status, 0);
  Trace trace = FirstTrace();
  ASSERT_FALSE(trace.steps.empty());
  trace.steps[0].outcome = Outcome::Errno(EFAULT);
  const std::string bad = directory.Write("bad", TraceInput(trace));
  EXPECT_EQ(Shell(absl::StrCat(Target("trace"), " ", bad)).status, 0);
  const ShellResult result =
      Shell(absl::StrCat(Target("strict_trace"), " ", bad));
  EXPECT_THAT(result.status, Aborted());
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("after step 0"), HasSubstr("seen EFAULT")));
}

TEST(TraceTargetTest, AbortsWhenAnErrorSaysNothing) {
  const TemporaryDirectory directory;
  const std::string file =
      directory.Write("input", TraceInput(FirstTrace()) + "more...!");
  EXPECT_EQ(Shell(absl::StrCat(Target("trace"), " ", file)).status, 0);
  const ShellResult result =
      Shell(absl::StrCat(Target("strict_trace"), " ", file));
  EXPECT_THAT(result.status, Aborted());
  EXPECT_THAT(result.err, HasSubstr("an error without a message"));
}

TEST(TargetsTest, DefectsNeedAKernelThatIsKnown) {
  const std::string run = absl::StrCat(Target("defects"), " ", Corpus("spec"));
  EXPECT_EQ(Shell("LOCKSTEP_FUZZ_KERNEL=v4.9 LOCKSTEP_FUZZ_DEFECTS=none " + run)
                .status,
            0);
  ShellResult result = Shell("LOCKSTEP_FUZZ_KERNEL=v9 " + run);
  EXPECT_EQ(result.status, 2);
  EXPECT_THAT(result.err, HasSubstr("unknown kernel \"v9\", expected one of"));
  result = Shell("LOCKSTEP_FUZZ_DEFECTS=none " + run);
  EXPECT_EQ(result.status, 2);
  EXPECT_THAT(result.err, HasSubstr("expected LOCKSTEP_FUZZ_KERNEL"));
  result = Shell("LOCKSTEP_FUZZ_KERNEL=v4.9 LOCKSTEP_FUZZ_DEFECTS=+x " + run);
  EXPECT_EQ(result.status, 2);
  EXPECT_THAT(result.err, HasSubstr("unknown defect \"x\""));
}

TEST(TargetsTest, SaysHowMuchItRanWhenAsked) {
  const ShellResult result = Shell(absl::StrCat(
      "LOCKSTEP_FUZZ_STATISTICS=1 ", Target("v4_9"), " ", Corpus("regress")));
  EXPECT_EQ(result.status, 0);
  EXPECT_THAT(result.err, AllOf(HasSubstr("programs, "),
                                HasSubstr("steps per CPU second")));
}

#ifndef LOCKSTEP_WITH_ENGINE
// The program that stands in for an engine.
TEST(ReplayerTest, PassesOverFlags) {
  const ShellResult result = Shell(absl::StrCat(
      Target("v4_9"), " -runs=3 --unknown -- ", Corpus("regress")));
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("inputs replayed"));
}

TEST(ReplayerTest, NeedsInputsThatAreThere) {
  EXPECT_EQ(Shell(Target("v4_9")).status, 2);
  const ShellResult result =
      Shell(absl::StrCat(Target("v4_9"), " /nowhere/at/all"));
  EXPECT_EQ(result.status, 2);
  EXPECT_THAT(result.err, HasSubstr("cannot read /nowhere/at/all"));
}
#endif

}  // namespace
}  // namespace lockstep
