// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The commands on real kernels: diff, run, fuzz, shrink and repro with the
// host. What the host cannot do here is said and skipped.

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "engine/linux/kernel.h"
#include "engine/linux/kernel_cache.h"
#include "engine/linux/qemu.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/testing.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
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

// What is missing is said in one line, with status 3, whatever command asks.
class WithoutWhatAGuestNeeds : public ::testing::Test {
 protected:
  WithoutWhatAGuestNeeds() : fine_(directory_.Write("fine.txtpb", kFine)) {}

  // `environment`: "NAME=VALUE...".
  void ExpectOneLine(const std::string& environment, const std::string& guest,
                     const std::string& message) {
    for (const std::string& command :
         {absl::StrCat("run --engine=", guest, " ", fine_),
          absl::StrCat("diff --engines=reference,", guest, " ", fine_),
          absl::StrCat("shrink --engine=", guest, " ", fine_),
          absl::StrCat("repro --engine=", guest, " ", fine_),
          absl::StrCat("fuzz --engine=", guest,
                       " --count=1 --out=", directory_.path("findings"))}) {
      SCOPED_TRACE(command);
      const ShellResult result = Shell(absl::StrCat(
          "env ", environment, " ", LOCKSTEP_BINARY, " ", command));
      EXPECT_EQ(result.status, 3);
      EXPECT_EQ(result.out, "");
      EXPECT_THAT(result.err, HasSubstr(message));
      EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1)
          << result.err;
    }
  }
  // The smallest file that passes for a bzImage of 6.1.
  std::string Image() const {
    std::string bytes(0x400, '\0');
    bytes[0x1fe] = '\x55';
    bytes[0x1ff] = '\xaa';
    bytes.replace(0x202, 4, "HdrS");
    bytes[0x211] = 1;
    bytes[0x20f] = 1;
    bytes.replace(0x300, 9, "6.1.0 (x)");
    return directory_.Write("bzImage", bytes);
  }

  TemporaryDirectory directory_;
  const std::string fine_;
};

TEST_F(WithoutWhatAGuestNeeds, AnEmptyCacheNamesTheCommandThatFetches) {
  ExpectOneLine(absl::StrCat("LOCKSTEP_CACHE=", directory_.path()), "guest:6.1",
                "ci/fetch-kernels.sh 6.1 fetches it");
}

TEST_F(WithoutWhatAGuestNeeds, NoCacheAtAll) {
  ExpectOneLine("-u LOCKSTEP_CACHE -u XDG_CACHE_HOME -u HOME", "guest:6.1",
                "none of LOCKSTEP_CACHE, XDG_CACHE_HOME and HOME is set");
}

TEST_F(WithoutWhatAGuestNeeds, NoQemu) {
  const std::string guest = "guest:" + Image();
  ExpectOneLine("-u LOCKSTEP_QEMU PATH=/nonexistent", guest,
                "no qemu-system-x86_64 in PATH");
  ExpectOneLine("LOCKSTEP_QEMU=/nonexistent", guest,
                "LOCKSTEP_QEMU is no program: /nonexistent");
}

TEST_F(WithoutWhatAGuestNeeds, NoExecutor) {
  ExpectOneLine("LOCKSTEP_EXECUTOR=/nonexistent", "guest:" + Image(),
                "LOCKSTEP_EXECUTOR is \"/nonexistent\"");
  ExpectOneLine("LOCKSTEP_EXECUTOR=/nonexistent", "host",
                "LOCKSTEP_EXECUTOR is \"/nonexistent\"");
}

TEST_F(WithoutWhatAGuestNeeds, NoImageOfThatName) {
  const std::string path = directory_.path("missing");
  ExpectOneLine("", "guest:" + path, path + ": No such file or directory");
}

TEST(GuestUsage, AFileThatIsNoKernelIsAMistake) {
  const TemporaryDirectory directory;
  const std::string fine = directory.Write("fine.txtpb", kFine);
  const ShellResult result =
      Lockstep(absl::StrCat("run --engine=guest:", fine, " ", fine));
  EXPECT_EQ(result.status, 2);
  EXPECT_THAT(result.err, HasSubstr("not a bzImage"));
}

// As another user without any capability: what the kernel does not let it do is
// said once, the programs that need none of it run.
class WithoutPrivileges : public OnTheHost {
 protected:
  void SetUp() override {
    OnTheHost::SetUp();
    if (IsSkipped()) return;
    std::filesystem::permissions(directory_.path(),
                                 std::filesystem::perms::all);
    if (getuid() == 0) {
      drop_ =
          "setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all "
          "--bounding-set=-all ";
      const ShellResult result =
          Shell(absl::StrCat(drop_, LOCKSTEP_BINARY, " --version"));
      if (result.status != 0) {
        GTEST_SKIP() << "cannot run lockstep as another user: " << result.err;
      }
    }
  }
  ShellResult Run(const std::string& arguments) const {
    return Shell(absl::StrCat(drop_, LOCKSTEP_BINARY, " ", arguments));
  }

  std::string drop_;
};

TEST_F(WithoutPrivileges, SaysInALineEachWhatItCannotDo) {
  const std::string fine = directory_.Write("fine.txtpb", kFine);
  for (const char* command : {"run --engine=host ", "diff "}) {
    const ShellResult result = Run(command + fine);
    EXPECT_EQ(result.status, 0) << result.out << result.err;
    EXPECT_THAT(result.err,
                AllOf(HasSubstr("no CAP_IPC_LOCK"), HasSubstr("no CAP_SETUID"),
                      HasSubstr("/proc/kpageflags")));
    // A line each, none twice.
    std::set<std::string> lines;
    for (absl::string_view line :
         absl::StrSplit(result.err, '\n', absl::SkipEmpty())) {
      EXPECT_THAT(std::string(line), HasSubstr(": host: "));
      EXPECT_TRUE(lines.emplace(line).second) << line;
    }
  }
}

TEST_F(WithoutPrivileges, RefusesProgramsThatNeedThem) {
  const std::string fine = directory_.Write("fine.txtpb", kFine);
  const std::string locks = directory_.Write(
      "locks.txtpb", absl::StrCat("config { cap_ipc_lock: true }\n", kFine));
  const ShellResult run =
      Run(absl::StrCat("run --engine=host ", locks, " ", fine));
  EXPECT_EQ(run.status, 3);
  EXPECT_THAT(run.err,
              HasSubstr("not run here: its configuration cannot be had "
                        "here"));
  EXPECT_THAT(run.out, HasSubstr("OK, 3 steps on host"));
  const ShellResult diff = Run(absl::StrCat("diff ", locks, " ", fine));
  EXPECT_EQ(diff.status, 0) << diff.out;
  EXPECT_THAT(diff.out, HasSubstr("1 agree, 0 part, 0 judged, 1 not run here"));
}

TEST_F(WithoutPrivileges, HuntsWithTheRest) {
  const ShellResult result =
      Run(absl::StrCat("fuzz --engine=host --count=64 --length=4 --seed=2 "
                       "--for=30s --json --out=",
                       directory_.path("findings")));
  EXPECT_THAT(result.status, AnyOf(0, 1)) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("\"programs\":64"),
                                Not(HasSubstr("\"refused\":0,"))));
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

// Of each command that takes it; what the machine lacks stands before it.
TEST_F(OnTheHost, WhatIsWrongIsTheLastLineOfEachCommand) {
  const std::string fine = directory_.Write("fine.txtpb", kFine);
  const std::string missing = directory_.path("missing");
  const std::string bad = directory_.Write("bad.txtpb", "judged { name: 3 }\n");
  const std::string out = " --count=1 --out=" + directory_.path("findings");
  const struct {
    std::string arguments, message;
  } kRows[] = {
      {"diff --judged=" + missing + " " + fine, missing + ": cannot read"},
      {"diff --judged=" + bad + " " + fine, bad + ":1:16: "},
      {"fuzz --engine=host --judged=" + missing + out, "cannot read"},
      {"diff --defect=+nope " + fine, "unknown defect \"nope\""},
      {"run --engine=host --defect=+nope " + fine, "unknown defect \"nope\""},
      {"fuzz --engine=host --defect=+nope" + out, "unknown defect \"nope\""},
      {"run --engine=host " + missing, missing + ": cannot open"},
      {"shrink --engine=host " + fine, "it violates none"},
      {"repro --engine=host --format=markdown " + fine, "shows none"},
  };
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.arguments);
    const ShellResult result = Lockstep(row.arguments);
    EXPECT_EQ(result.status, 2);
    EXPECT_EQ(result.out, "");
    const std::vector<std::string> lines =
        absl::StrSplit(result.err, '\n', absl::SkipEmpty());
    ASSERT_FALSE(lines.empty());
    EXPECT_THAT(lines.back(), HasSubstr(row.message));
  }
}

TEST_F(OnTheHost, WritesJson) {
  const std::string fine = directory_.Write("fine.txtpb", kFine);
  EXPECT_THAT(Lockstep("run --engine=host --json --trace " + fine).out,
              AllOf(HasSubstr("\"engine\":\"host\",\"steps\":3,\"ok\":true"),
                    HasSubstr("\"trace\":[")));
  EXPECT_THAT(Lockstep("diff --json " + fine).out,
              HasSubstr("\"verdict\":\"agrees\""));
  EXPECT_THAT(Lockstep("fuzz --engine=host --json --count=8 --length=2 --out=" +
                       directory_.path("findings"))
                  .out,
              AllOf(HasSubstr("\"real\":{\"engine\":\"host\""),
                    HasSubstr("\"judged\":{")));
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

// 6.18 charges a locked mapping that MREMAP_DONTUNMAP moves twice and locks
// only one of the two: a fact of that kernel, so the reproducer must show it
// too.
TEST_F(ReproReal, ShowsTheDoubleChargeOfDontunmapWhereTheKernelHasIt) {
  const std::string program = directory_.Write(
      "dontunmap.txtpb",
      "steps { mmap { addr { page: 1 } length: 4096 prot: [READ, WRITE]"
      "               flags: [PRIVATE, FIXED, ANONYMOUS, LOCKED] } }\n"
      "steps { mremap { addr { page: 1 } old_length: 4096 new_length: 4096"
      "                 flags: [MAYMOVE, DONTUNMAP] }"
      "        expect { locked_vm: 2 } }\n");
  const ShellResult run = Lockstep("run --engine=host --trace " + program);
  if (run.out.find("MAYMOVE|DONTUNMAP) = 0x200000000000, locked_vm 2\n") ==
      std::string::npos) {
    GTEST_SKIP() << "this kernel has no dontunmap-double-charge: " << run.out;
  }
  EXPECT_THAT(run.out, HasSubstr("mremap-effect after step 1"));
  const std::string source = directory_.path("repro.c");
  ASSERT_EQ(
      Lockstep(absl::StrCat("repro --engine=host --out=", source, " ", program))
          .status,
      0);
  const ShellResult repro = Shell(
      absl::StrCat("cc -Wall -Wextra -Werror -o ", directory_.path("repro"),
                   " ", source, " && ", directory_.path("repro")));
  EXPECT_EQ(repro.status, 1) << repro.err;
  EXPECT_EQ(repro.out, "after step 1: expected VmLck of 1 pages, seen 2\n");
  EXPECT_THAT(Lockstep("repro --engine=host --format=markdown " + program).out,
              HasSubstr("exit status 1, the deviation"));
}

// D28, in a guest of its own beside the one that ran the program.
TEST(ReproGuestTest, TheReportSaysHowTheReproducerEndedInThatGuest) {
  if (auto qemu = FindQemu(); !qemu.ok()) {
    GTEST_SKIP() << qemu.status().message();
  }
  if (auto image = FindKernelImage("6.12"); !image.ok()) {
    GTEST_SKIP() << image.status().message();
  }
  const ShellResult result = Lockstep(
      "repro --engine=guest:6.12 --format=markdown " LOCKSTEP_SOURCE_DIR
      "/corpus/defects/swapin-not-mlocked.txtpb");
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("# mlock-mlocked"));
  if (result.out.find("compile") != std::string::npos &&
      result.out.find("compiled and run") == std::string::npos) {
    GTEST_SKIP() << "no static C program can be made here: " << result.out;
  }
  EXPECT_THAT(
      result.out,
      HasSubstr("The reproducer: compiled and run in guest:6.12: exit status "
                "1, the deviation from the documented behaviour is there\n\n"
                "```\nafter step 2: expected the page at 0x200000000000 "
                "Mlocked, it is not\n```\n"));
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
