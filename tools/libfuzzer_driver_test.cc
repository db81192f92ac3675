// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// lockstep fuzz --driver=libfuzzer with the target of v4.9, where the build has
// libFuzzer; how it takes a target that misbehaves is tried on a script.

#include "tools/libfuzzer_driver.h"

#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/child_process.h"
#include "tools/fuzz_job.h"
#include "tools/testing.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kTarget[] = "lockstep_v4_9_fuzzer";
// D6, which v4.9 has.
constexpr char kFailing[] =
    "config { kernel: \"v4.9\" }\n"
    "steps { munlockall {} }\n"
    "steps { mlockall { flags: ONFAULT } }\n";

std::string FailingInput() {
  return FormatProgramBinary(*ParseProgramText(kFailing, "failing"));
}

// Directories of findings: OUT/PROPERTY-HASH.
std::set<std::string> FindingsIn(const std::string& out) {
  std::set<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(out, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename();
    if (name[0] != '.') names.insert(name);
  }
  return names;
}

size_t Files(const std::string& directory) {
  size_t count = 0;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end;
       !error && entry != end; entry.increment(error)) {
    ++count;
  }
  return count;
}

// Polls, since processes take their time; false after a minute.
template <typename Condition>
bool Eventually(Condition condition) {
  for (int i = 0; i < 1200; ++i) {
    if (condition()) return true;
    absl::SleepFor(absl::Milliseconds(50));
  }
  return false;
}

class LibFuzzerTest : public ::testing::Test {
 protected:
  std::string out() const { return directory_.path("findings"); }
  std::string corpus() const { return directory_.path("corpus"); }
  std::string own() const { return absl::StrCat(out(), "/.", kTarget); }
  std::string Options(const std::string& fuzzers) const {
    return absl::StrCat("--driver=libfuzzer --kernel=v4.9 --seed=1 --out=",
                        out(), " --corpus=", corpus(), " --fuzzers=", fuzzers);
  }
  // A script in the place of the target.
  std::string StandIn(const std::string& script) const {
    const std::string path = directory_.Write(kTarget, script);
    fs::permissions(path, fs::perms::owner_all);
    return directory_.path();
  }
  // Is there a process with the corpus in its command line?
  bool AnyProcess() const {
    return Shell(absl::StrCat("pgrep -f '[ ]", corpus(), "$'")).status == 0;
  }

  const TemporaryDirectory directory_;
};

class RealTargetTest : public LibFuzzerTest {
 protected:
  void SetUp() override {
    absl::StatusOr<std::string> target =
        FindFuzzTarget(kTarget, LOCKSTEP_FUZZERS_DIRECTORY);
    if (!target.ok()) GTEST_SKIP() << target.status().message();
  }
  ShellResult Fuzz(const std::string& arguments) const {
    return Shell(absl::StrCat(LOCKSTEP_BINARY, " fuzz ",
                              Options(LOCKSTEP_FUZZERS_DIRECTORY), " ",
                              arguments));
  }
  std::vector<std::string> CommandLine(const std::string& argument) const {
    std::vector<std::string> words = {LOCKSTEP_BINARY, "fuzz"};
    for (absl::string_view word :
         absl::StrSplit(Options(LOCKSTEP_FUZZERS_DIRECTORY), ' ')) {
      words.emplace_back(word);
    }
    words.push_back(argument);
    return words;
  }
};

TEST_F(RealTargetTest, FindsDefectsMinimisedAndEachOnce) {
  const ShellResult result = Fuzz("--count=6k --jobs=2");
  EXPECT_EQ(result.status, 1) << result.out << result.err;
  EXPECT_THAT(result.out, StartsWith("v4.9 by coverage: "));
  EXPECT_THAT(result.out, HasSubstr("1 steps"));
  EXPECT_THAT(result.out, HasSubstr("explained by mcl-onfault-alone"));
  std::set<std::string> explanations;
  for (const std::string& name : FindingsIn(out())) {
    const ShellResult run = Shell(absl::StrCat(LOCKSTEP_BINARY, " run ", out(),
                                               "/", name, "/program.txtpb"));
    EXPECT_EQ(run.status, 1) << name << ": " << run.out << run.err;
    const std::string report =
        ReadAll(absl::StrCat(out(), "/", name, "/report.md"));
    EXPECT_THAT(report, HasSubstr("lockstep fuzz --driver=libfuzzer"));
    const size_t at = report.find("* Without **");
    ASSERT_NE(at, std::string::npos) << report;
    EXPECT_TRUE(
        explanations.insert(report.substr(at, report.find("** (", at) - at))
            .second)
        << name << " shows the same defect as another finding";
  }
  EXPECT_GT(Files(corpus()), 10u);
  EXPECT_FALSE(AnyProcess());
}

TEST_F(RealTargetTest, FindsNothingWithoutDefects) {
  const ShellResult result = Fuzz("--count=4k --defect=none --json");
  EXPECT_EQ(result.status, 0) << result.out << result.err;
  EXPECT_THAT(result.out,
              HasSubstr("\"findings\":0,\"crashes\":[],\"left\":0"));
}

TEST_F(RealTargetTest, GoesOnAfterItWasKilled) {
  ChildProcess driver;
  ASSERT_TRUE(
      driver.Start(CommandLine("--for=10m"), {}, directory_.path("log")).ok());
  ASSERT_TRUE(Eventually([&] { return !FindingsIn(out()).empty(); }))
      << ReadAll(directory_.path("log"));
  driver.Kill();
  EXPECT_TRUE(Eventually([&] { return !AnyProcess(); }))
      << "the target outlives the driver";
  const std::set<std::string> before = FindingsIn(out());
  const size_t inputs = Files(corpus());
  EXPECT_GT(inputs, 0u);
  // What was being written when it was killed.
  const std::string artifacts = own() + "/job-7/artifacts";
  fs::create_directories(artifacts);
  const std::string input = FailingInput();
  std::ofstream(artifacts + "/crash-whole", std::ios::binary) << input;
  std::ofstream(artifacts + "/crash-cut", std::ios::binary)
      << input.substr(0, input.size() - 3);
  const std::string cut_off = corpus() + "/" + std::string(40, 'a');
  std::ofstream(cut_off, std::ios::binary) << input.substr(0, input.size() - 3);

  const ShellResult again = Fuzz("--count=1000");
  EXPECT_EQ(again.status, 1) << again.out << again.err;
  EXPECT_THAT(again.err, HasSubstr("failing inputs from earlier: "));
  EXPECT_THAT(again.out, HasSubstr("explained by mcl-onfault-alone"));
  for (const std::string& name : before) {
    EXPECT_THAT(again.out, HasSubstr(name));
    EXPECT_TRUE(fs::exists(absl::StrCat(out(), "/", name, "/report.md")));
  }
  EXPECT_GE(Files(corpus()), inputs);
  EXPECT_FALSE(fs::exists(cut_off));
  EXPECT_EQ(Files(artifacts), 0u);
  EXPECT_EQ(Files(own() + "/pending"), 0u);
}

TEST_F(RealTargetTest, MakesAFindingOfAnInputThatFailsAlready) {
  fs::create_directories(corpus());
  std::ofstream(corpus() + "/mine", std::ios::binary) << FailingInput();
  const ShellResult result =
      Fuzz("--count=1000 --defect=none,+mcl-onfault-alone");
  EXPECT_EQ(result.status, 1) << result.out << result.err;
  EXPECT_THAT(result.out, HasSubstr("explained by mcl-onfault-alone"));
  EXPECT_FALSE(fs::exists(corpus() + "/mine"));
}

TEST_F(RealTargetTest, EndsInGoodOrderOnASignal) {
  for (int signal : {SIGINT, SIGTERM}) {
    ChildProcess driver;
    ASSERT_TRUE(
        driver.Start(CommandLine("--defect=none"), {}, directory_.path("log"))
            .ok());
    ASSERT_TRUE(Eventually([&] { return AnyProcess(); }));
    driver.Signal(signal);
    EXPECT_TRUE(Eventually([&] { return !driver.Running(); }));
    EXPECT_EQ(driver.HowItEnded(), "exit status 0");
    EXPECT_THAT(ReadAll(directory_.path("log")), HasSubstr("by coverage: "));
    EXPECT_FALSE(AnyProcess());
  }
}

TEST_F(RealTargetTest, IsAloneInItsDirectory) {
  ChildProcess driver;
  ASSERT_TRUE(
      driver.Start(CommandLine("--defect=none"), {}, directory_.path("log"))
          .ok());
  ASSERT_TRUE(Eventually([&] { return AnyProcess(); }));
  const ShellResult second = Fuzz("--count=1");
  EXPECT_EQ(second.status, 2);
  EXPECT_THAT(second.err,
              HasSubstr("another hunt with this target works there"));
}

using StandInTest = LibFuzzerTest;

TEST_F(StandInTest, SaysThatATargetOnlyReplays) {
  const std::string fuzzers = StandIn("#!/bin/sh\nexit 0\n");
  const ShellResult result =
      Shell(absl::StrCat(LOCKSTEP_BINARY, " fuzz ", Options(fuzzers)));
  EXPECT_EQ(result.status, 3);
  EXPECT_THAT(result.err, HasSubstr("built without libFuzzer"));
  EXPECT_THAT(result.err, HasSubstr("-DLOCKSTEP_FUZZERS=ON"));
}

TEST_F(StandInTest, GivesUpATargetThatCannotRun) {
  const std::string fuzzers = StandIn(
      "#!/bin/sh\n"
      "test \"$1\" = -help=1 && echo -artifact_prefix && exit\n"
      "echo no such library; exit 9\n");
  const ShellResult result =
      Shell(absl::StrCat(LOCKSTEP_BINARY, " fuzz ", Options(fuzzers)));
  EXPECT_EQ(result.status, 3);
  EXPECT_THAT(result.err, HasSubstr("exit status 9: no such library"));
}

TEST_F(StandInTest, KeepsWhatATargetDiesOfThoughNothingIsViolated) {
  // Fails on a program that is fine, then runs one more and ends.
  const std::string program =
      directory_.Write("program", FormatProgramBinary(*ParseProgramText(
                                      "steps { munlockall {} }", "fine")));
  const std::string fuzzers = StandIn(
      absl::StrCat("#!/bin/sh\n"
                   "test \"$1\" = -help=1 && echo -artifact_prefix && exit\n"
                   "if test -e ",
                   program,
                   "; then\n"
                   "  mv ",
                   program,
                   " \"${1#-artifact_prefix=}crash-1\"\n"
                   "  echo AddressSanitizer: something; exit 77\n"
                   "fi\n"
                   "echo stat::number_of_executed_units: 1000\n"));
  const ShellResult result = Shell(
      absl::StrCat(LOCKSTEP_BINARY, " fuzz --count=1000 ", Options(fuzzers)));
  EXPECT_EQ(result.status, 1) << result.err;
  EXPECT_THAT(result.out, HasSubstr("the target died"));
  EXPECT_THAT(FindingsIn(out()), ::testing::ElementsAre("crash-1"));
  EXPECT_THAT(ReadAll(out() + "/crash-1/target.log"),
              HasSubstr("AddressSanitizer: something"));
  EXPECT_THAT(ReadAll(out() + "/crash-1/program.txtpb"),
              HasSubstr("munlockall"));
}

}  // namespace
}  // namespace lockstep
