// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The command line as a user sees it: exit statuses, one clear line an error,
// results on stdout and everything else on stderr.

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/testing.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// D6 on v4.9.
constexpr char kViolating[] = "steps { mlockall { flags: ONFAULT } }\n";
constexpr char kFine[] =
    "steps { mmap { addr { page: 0 } length: 8192 prot: READ prot: WRITE\n"
    "               flags: PRIVATE flags: ANONYMOUS flags: FIXED } }\n"
    "steps { mlock { addr { page: 0 } length: 8192 } }\n";

ShellResult Lockstep(const std::string& arguments) {
  return Shell(absl::StrCat(LOCKSTEP_BINARY, " ", arguments));
}

// One line on stderr that says `message`, nothing on stdout, and this status.
void ExpectComplaint(const std::string& arguments, int status,
                     const std::string& message) {
  SCOPED_TRACE(arguments);
  const ShellResult result = Lockstep(arguments);
  EXPECT_EQ(result.status, status);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, AllOf(StartsWith("lockstep"), EndsWith("\n"),
                                HasSubstr(message)));
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1)
      << result.err;
}

TEST(CommandLine, SaysWhatItExpected) {
  ExpectComplaint("", 2, "expected a command: run, diff, fuzz");
  ExpectComplaint("hunt", 2, "unknown command \"hunt\", expected one of: run");
  ExpectComplaint("help hunt", 2, "expected one command of run");
  ExpectComplaint("run", 2, "expected at least one program");
  ExpectComplaint("shrink", 2, "expected one program, found 0");
  ExpectComplaint("repro a b", 2, "expected one program, found 2");
  ExpectComplaint("fuzz x", 2, "expected no argument, found \"x\"");
  ExpectComplaint("defects x", 2, "expected no argument, found \"x\"");
  ExpectComplaint("properties x", 2, "expected no argument, found \"x\"");
}

TEST(CommandLine, RefusesBadOptionsOfEachCommand) {
  for (const char* command :
       {"run", "diff", "fuzz", "shrink", "repro", "defects", "properties"}) {
    ExpectComplaint(absl::StrCat(command, " --bogus"), 2,
                    "--bogus: unknown option, expected one of --");
    ExpectComplaint(absl::StrCat(command, " --bogus=1"), 2,
                    "--bogus: unknown option");
  }
  for (const char* command : {"run", "diff", "fuzz", "shrink", "repro"}) {
    ExpectComplaint(absl::StrCat(command, " --kernel=v9.9"), 2,
                    "--kernel=v9.9: unknown kernel \"v9.9\", expected one of");
    ExpectComplaint(absl::StrCat(command, " --kernel"), 2,
                    "--kernel: expected a value");
    ExpectComplaint(absl::StrCat(command, " --defect= x"), 2,
                    "--defect=: expected a value");
  }
  for (const char* command : {"run", "fuzz", "shrink", "repro"}) {
    ExpectComplaint(absl::StrCat(command, " --engine=bochs x"), 2,
                    "unknown engine, expected reference");
    ExpectComplaint(absl::StrCat(command, " --engine=guest: x"), 2,
                    "--engine=guest:: unknown engine, expected reference");
  }
  // Only what compares with a real kernel has judged divergences.
  for (const char* command : {"run", "shrink", "repro"}) {
    ExpectComplaint(absl::StrCat(command, " --judged=x"), 2,
                    "--judged: unknown option");
  }
  ExpectComplaint("fuzz --judged=x", 2, "only a real kernel has judged");
  ExpectComplaint("run --trace=yes x", 2, "expected --trace without a value");
  ExpectComplaint("repro --format=java x", 2, "expected c, txtpb or markdown");
  ExpectComplaint("fuzz --for=60", 2, "expected a time such as 500ms");
  ExpectComplaint("fuzz --for=-1s", 2, "expected a time such as 500ms");
  ExpectComplaint("fuzz --count=-1", 2, "expected a whole number");
  ExpectComplaint("fuzz --steps=1e6", 2, "expected a whole number");
  ExpectComplaint("fuzz --length=0", 2, "--length=0: expected a number from 1");
  ExpectComplaint("fuzz --length=1M", 2, "expected a number from 1 to 65536");
  ExpectComplaint("fuzz --jobs=0", 2, "--jobs=0: expected a number from 1");
  ExpectComplaint("fuzz --seed=x", 2, "--seed=x: expected a whole number");
  ExpectComplaint("fuzz --defect=+no-such --out=/dev/null", 2,
                  "unknown defect \"no-such\"");
}

TEST(CommandLine, SaysWhatDoesNotGoWithADriver) {
  ExpectComplaint("fuzz --driver=afl", 2, "expected loop or libfuzzer");
  ExpectComplaint("fuzz --corpus=x", 2,
                  "--corpus=x: only libFuzzer has that, as --driver=libfuzzer");
  ExpectComplaint("fuzz --fuzzers=x", 2, "--fuzzers=x: only libFuzzer");
  const auto expect = [](const std::string& option,
                         const std::string& expected) {
    ExpectComplaint(absl::StrCat("fuzz --driver=libfuzzer ", option), 2,
                    expected);
  };
  expect("--engine=host", "run on the model, expected reference");
  expect("--kernel=all", "one target runs, expected one kernel");
  expect("--steps=10", "only programs are counted, expected --count");
  expect("--length=4", "coverage decides how long");
  expect("--jobs=0", "--jobs=0: expected a number from 1");
  expect("--out=/dev/null --fuzzers=/", "/dev/null: cannot");
  ExpectComplaint("fuzz --driver=libfuzzer --fuzzers=/nonexistent --out=/tmp",
                  3, "-DLOCKSTEP_FUZZERS=ON");
}

TEST(CommandLine, SaysWhatIsWrongWithAnEngine) {
  ExpectComplaint("run --engine=guest x", 2,
                  "expected reference, host, guest:");
  for (const char* command : {"run", "fuzz", "shrink", "repro"}) {
    ExpectComplaint(absl::StrCat(command, " --kernel=host x"), 2,
                    "expected a real kernel");
  }
  ExpectComplaint("run --engine=host --full x", 2,
                  "--full: looks into the model");
  ExpectComplaint("fuzz --engine=host --kernel=all", 2,
                  "compared with one profile");
}

TEST(CommandLine, RefusesBadFilesOfEachCommand) {
  const TemporaryDirectory directory;
  const std::string empty = directory.Write("empty.txtpb", "");
  const std::string binary =
      directory.Write("binary.txtpb", std::string("\x7f"
                                                  "ELF\x02\x01\0\xff",
                                                  8));
  const std::string truncated = directory.Write(
      "truncated.txtpb", std::string(kFine).substr(0, sizeof(kFine) - 20));
  const std::string kernel = directory.Write(
      "kernel.txtpb", absl::StrCat("config { kernel: \"v9.9\" }\n", kFine));
  const std::string defect = directory.Write(
      "defect.txtpb", absl::StrCat("config { defects: \"+nope\" }\n", kFine));
  const std::string word =
      directory.Write("word.txtpb", absl::StrCat(kFine, "stepz {}\n"));
  for (const char* command : {"run", "shrink", "repro"}) {
    const auto expect = [&](const std::string& path,
                            const std::string& message) {
      ExpectComplaint(absl::StrCat(command, " ", path), 2, message);
    };
    expect(directory.path("missing"), directory.path("missing"));
    expect(directory.path(), "director");
    expect(empty, "empty");
    expect(binary, binary);
    expect(truncated, absl::StrCat(truncated, ":3:"));
    expect(word, absl::StrCat(word, ":4:"));
    expect(kernel, "unknown kernel \"v9.9\"");
    expect(defect, "unknown defect \"nope\"");
  }
}

TEST(CommandLine, RefusesADefectThatTheKernelCannotHave) {
  const TemporaryDirectory directory;
  const std::string fine = directory.Write("fine.txtpb", kFine);
  ExpectComplaint("run --defect=+nope " + fine, 2,
                  absl::StrCat(fine, ": unknown defect \"nope\""));
  ExpectComplaint("run --kernel=v3.12 --defect=+mcl-onfault-alone " + fine, 2,
                  "v3.12");
}

TEST(Help, DescribesEveryCommandAndOption) {
  const ShellResult general = Lockstep("help");
  EXPECT_EQ(general.status, 0);
  EXPECT_EQ(Lockstep("--help").out, general.out);
  for (const char* command :
       {"run", "diff", "fuzz", "shrink", "repro", "defects", "properties"}) {
    EXPECT_THAT(general.out, HasSubstr(absl::StrCat("\n  ", command, " ")));
    const ShellResult help = Lockstep(absl::StrCat("help ", command));
    EXPECT_EQ(help.status, 0);
    EXPECT_THAT(help.out,
                StartsWith(absl::StrCat("usage: lockstep ", command)));
    EXPECT_EQ(Lockstep(absl::StrCat(command, " --help")).out, help.out);
  }
  EXPECT_THAT(Lockstep("help fuzz").out, HasSubstr("--steps=N"));
  for (const char* variable : {"LOCKSTEP_CACHE", "LOCKSTEP_QEMU ",
                               "LOCKSTEP_QEMU_ACCEL", "LOCKSTEP_EXECUTOR"}) {
    EXPECT_THAT(general.out, HasSubstr(variable));
  }
  EXPECT_THAT(Lockstep("--version").out, StartsWith("lockstep "));
}

// Enough to work from with real kernels, in lines that a terminal holds.
TEST(Help, SaysHowRealKernelsAreNamed) {
  for (const char* command : {"run", "diff", "fuzz", "shrink", "repro"}) {
    const std::string help = Lockstep(absl::StrCat("help ", command)).out;
    EXPECT_THAT(help, AllOf(HasSubstr("host"), HasSubstr("guest:6.1"),
                            HasSubstr("guest:BZIMAGE")))
        << command;
    for (absl::string_view line : absl::StrSplit(help, '\n')) {
      EXPECT_LE(line.size(), 90u) << command << ": " << line;
    }
  }
}

TEST(Run, PrintsOneLineAProgramAndTheWorstStatus) {
  const TemporaryDirectory directory;
  const std::string fine = directory.Write("fine.txtpb", kFine);
  const std::string bad = directory.Write("bad.txtpb", kViolating);
  const ShellResult ok = Lockstep("run " + fine);
  EXPECT_EQ(ok.status, 0) << ok.err;
  EXPECT_EQ(ok.out, absl::StrCat(fine, ": OK, 2 steps on v4.9\n"));
  const ShellResult both = Lockstep(absl::StrCat("run ", fine, " ", bad));
  EXPECT_EQ(both.status, 1);
  EXPECT_THAT(both.out, ContainsRegex(".*: OK.*\n.* after step 0, .*: expected "
                                      ".*, seen .*\n$"));
  const ShellResult missing =
      Lockstep(absl::StrCat("run ", bad, " ", directory.path("missing")));
  EXPECT_EQ(missing.status, 2);
  EXPECT_THAT(missing.out, HasSubstr("after step 0"));
}

TEST(Run, ChecksNothingIfToldSo) {
  const TemporaryDirectory directory;
  const std::string bad = directory.Write("bad.txtpb", kViolating);
  EXPECT_EQ(Lockstep("run --no-check " + bad).status, 0);
  EXPECT_EQ(Lockstep("run --full " + bad).status, 1);
  EXPECT_EQ(Lockstep("run --defect=none " + bad).status, 0);
  EXPECT_EQ(Lockstep("run --defect=-mcl-onfault-alone " + bad).status, 0);
}

TEST(Run, ChecksExpectations) {
  const TemporaryDirectory directory;
  const std::string wrong = directory.Write(
      "wrong.txtpb",
      "steps { munlockall {} expect { outcome: \"ENOMEM\" } }\n");
  const ShellResult result = Lockstep("run " + wrong);
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.out, HasSubstr("expectation after step 0"));
  EXPECT_EQ(Lockstep("run --no-check " + wrong).status, 0);
}

TEST(Run, TracesEveryStep) {
  const TemporaryDirectory directory;
  const std::string fine = directory.Write("fine.txtpb", kFine);
  const ShellResult result = Lockstep("run --trace " + fine);
  EXPECT_THAT(result.out, ContainsRegex("   1  .*mlock.* = OK, locked_vm 2\n"));
}

TEST(Run, WritesJson) {
  const TemporaryDirectory directory;
  const std::string fine = directory.Write("fine.txtpb", kFine);
  const std::string bad = directory.Write("bad.txtpb", kViolating);
  const ShellResult result =
      Lockstep(absl::StrCat("run --json --trace ", fine, " ", bad));
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.out, HasSubstr("\"steps\":2,\"ok\":true,\"trace\":["));
  EXPECT_THAT(result.out,
              HasSubstr("\"ok\":false,\"violation\":{\"property\":"));
}

TEST(Shrink, KeepsOnlyWhatMatters) {
  const TemporaryDirectory directory;
  const std::string big = directory.Write(
      "big.txtpb", absl::StrCat(kFine, kViolating, "steps { munlockall {} }"));
  const std::string small = directory.path("small.txtpb");
  const ShellResult result =
      Lockstep(absl::StrCat("shrink --out=", small, " ", big));
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("4 steps to 1 in "));
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(Lockstep("run " + small).status, 1);
}

TEST(Shrink, RefusesAProgramThatIsFine) {
  const TemporaryDirectory directory;
  const std::string fine = directory.Write("fine.txtpb", kFine);
  ExpectComplaint("shrink " + fine, 2,
                  "expected a program that violates a property");
}

TEST(Repro, WritesEachForm) {
  const TemporaryDirectory directory;
  const std::string bad = directory.Write("bad.txtpb", kViolating);
  EXPECT_THAT(Lockstep("repro " + bad).out, HasSubstr("int main(void)"));
  EXPECT_THAT(Lockstep("repro --format=txtpb " + bad).out,
              StartsWith("# proto-file:"));
  EXPECT_THAT(Lockstep("repro --format=markdown " + bad).out,
              HasSubstr("mcl-onfault-alone"));
  const std::string fine = directory.Write("fine.txtpb", kFine);
  ExpectComplaint("repro --format=markdown " + fine, 2,
                  "a report needs a violation");
}

TEST(Output, SaysWhereItCannotWrite) {
  const TemporaryDirectory directory;
  const std::string bad = directory.Write("bad.txtpb", kViolating);
  for (const char* command : {"repro", "shrink"}) {
    const std::string out = directory.path("no/such/file");
    const ShellResult result =
        Lockstep(absl::StrCat(command, " --out=", out, " ", bad));
    EXPECT_EQ(result.status, 2);
    EXPECT_THAT(result.err, HasSubstr(out));
  }
  ExpectComplaint("fuzz --count=1 --out=/dev/null", 2, "/dev/null: cannot");
  ExpectComplaint("fuzz --count=1 --out=/proc/findings", 2, "/proc/findings");
  const ShellResult full = Lockstep("defects >/dev/full");
  EXPECT_EQ(full.status, 2);
  EXPECT_THAT(full.err, HasSubstr("cannot write to standard output: No space"));
}

TEST(Output, SaysThatThePipeIsClosed) {
  // The reader is gone before the first byte is written.
  const ShellResult result =
      Shell(absl::StrCat("mkfifo_dir=$(mktemp -d); mkfifo $mkfifo_dir/p; "
                         "(exec 3<$mkfifo_dir/p; exec 3<&-; sleep 1) & "
                         "(exec 4>$mkfifo_dir/p; sleep 0.3; ",
                         LOCKSTEP_BINARY,
                         " defects >&4); status=$?; wait; "
                         "rm -r $mkfifo_dir; exit $status"));
  EXPECT_EQ(result.status, 2);
  EXPECT_THAT(result.err,
              HasSubstr("cannot write to standard output: Broken pipe"));
}

TEST(Catalogue, ListsDefectsAndProperties) {
  const ShellResult defects = Lockstep("defects");
  EXPECT_EQ(defects.status, 0);
  EXPECT_THAT(defects.out, HasSubstr("D1 pagevec-isolation-leak\n"));
  EXPECT_THAT(defects.out, HasSubstr("shipped with: v4.9"));
  EXPECT_THAT(Lockstep("defects --json").out,
              StartsWith("{\"number\":\"D1\",\"name\":\"pagevec-isolation-"));
  const ShellResult properties = Lockstep("properties");
  EXPECT_EQ(properties.status, 0);
  EXPECT_THAT(properties.out, HasSubstr(" (invariant)\n"));
  EXPECT_THAT(properties.out, HasSubstr(" (contract)\n"));
  EXPECT_THAT(properties.out, HasSubstr("agree-locked-vm (agreement)\n"));
}

TEST(Fuzz, FindsShrinksAndWritesTheSameWithOneSeed) {
  const TemporaryDirectory one, two;
  const auto hunt = [](const TemporaryDirectory& directory) {
    return Lockstep(
        absl::StrCat("fuzz --kernel=v4.9 --seed=7 --steps=300k "
                     "--json --out=",
                     directory.path("findings")));
  };
  const ShellResult result = hunt(one);
  EXPECT_EQ(result.status, 1) << result.err;
  EXPECT_THAT(result.out, HasSubstr("\"finding\":"));
  EXPECT_THAT(result.out, HasSubstr("\"calls\":{\"mmap\":{"));
  hunt(two);
  const ShellResult same = Shell(absl::StrCat("diff -r ", one.path("findings"),
                                              " ", two.path("findings")));
  EXPECT_EQ(same.status, 0) << same.out;
  int findings = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(one.path("findings"))) {
    const std::string finding = entry.path();
    ++findings;
    EXPECT_EQ(Lockstep(absl::StrCat("run ", finding, "/program.txtpb")).status,
              1);
    const ShellResult compiled =
        Shell(absl::StrCat("cc -Wall -Wextra -Werror -o ", one.path("repro"),
                           " ", finding, "/repro.c"));
    EXPECT_EQ(compiled.status, 0) << compiled.err;
    EXPECT_THAT(ReadAll(finding + "/report.md"), HasSubstr("## Trace"));
  }
  EXPECT_GT(findings, 0);
}

TEST(Fuzz, EndsWithStatus0IfNothingIsFound) {
  const TemporaryDirectory directory;
  const ShellResult result =
      Lockstep(absl::StrCat("fuzz --kernel=all --defect=none --seed=1 "
                            "--steps=50k --out=",
                            directory.path("findings")));
  EXPECT_EQ(result.status, 0) << result.out << result.err;
  EXPECT_THAT(result.out, HasSubstr("v3.12: "));
  EXPECT_THAT(result.out, HasSubstr("v4.9: "));
  EXPECT_THAT(result.out, HasSubstr("0 findings"));
}

TEST(Fuzz, StopsOnASignalAndStillReports) {
  const TemporaryDirectory directory;
  for (const char* signal : {"INT", "TERM"}) {
    const ShellResult result = Shell(absl::StrCat(
        // In the foreground: otherwise its whole group gets a second one.
        "timeout --foreground --signal=", signal, " --preserve-status 2 ",
        LOCKSTEP_BINARY, " fuzz --for=100s --jobs=2 --defect=none --out=",
        directory.path("findings")));
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_THAT(result.out, HasSubstr("outcomes\n"));
  }
}

}  // namespace
}  // namespace lockstep
