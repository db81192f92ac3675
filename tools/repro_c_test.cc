// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/repro_c.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/uapi.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/findings.h"
#include "tools/repro_c_calls.h"
#include "tools/testing.h"

namespace lockstep {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

// Compiles the text as a stranger would, without a warning, and runs it.
ShellResult CompileAndRun(const std::string& compiler,
                          const std::string& text) {
  const TemporaryDirectory directory;
  const std::string source = directory.Write("repro.c", text);
  const std::string binary = directory.path("repro");
  const ShellResult compiled =
      Shell(absl::StrCat(compiler, " -std=gnu11 -O1 -Wall -Wextra -Werror -o ",
                         binary, " ", source));
  EXPECT_EQ(compiled.status, 0) << compiled.err << text;
  return Shell(absl::StrCat("timeout 60 ", binary));
}

std::vector<std::string> Compilers() {
  std::vector<std::string> compilers;
  for (const char* compiler : {"gcc", "clang"}) {
    if (Shell(absl::StrCat("command -v ", compiler)).status == 0) {
      compilers.push_back(compiler);
    }
  }
  return compilers;
}

Step Call(Op op, uint64_t page, uint64_t length, int task = 0) {
  Step step;
  step.op = op;
  step.task = static_cast<uint8_t>(task);
  step.addr = Address::Arena(Vpn{page});
  step.length = length;
  if (op == Op::kMmap) {
    step.prot = uapi::kProtRead | uapi::kProtWrite;
    step.flags = uapi::kMapPrivate | uapi::kMapAnonymous | uapi::kMapFixed;
  }
  return step;
}

// A program together with what a documented kernel does: written by hand here,
// so that these tests do not need a model.
struct Example {
  Program program;
  DocumentedProgram documented;

  Example() { documented.profile = &DocumentedProfile(program); }
  DocumentedStep& Add(const Step& step, Outcome outcome,
                      std::optional<uint64_t> locked_vm = std::nullopt) {
    DocumentedStep documented_step;
    documented_step.index = program.steps.size();
    documented_step.step = step;
    documented_step.outcomes = {outcome};
    documented_step.before.memlock_limit = program.config.memlock_limit;
    if (locked_vm) documented_step.locked_vm = Pages{*locked_vm};
    program.steps.push_back(step);
    documented.steps.push_back(documented_step);
    return documented.steps.back();
  }
  std::string Write() const {
    return WriteReproducerC(program, documented, std::nullopt);
  }
};

Example MlockTwoPages() {
  Example example;
  example.Add(Call(Op::kMmap, 0, 16384), Outcome::Ok(), 0);
  example.Add(Call(Op::kMlock, 1, 8192), Outcome::Ok(), 2).resident = {
      {PageOf(kArenaBase) + Pages{1}, PageOf(kArenaBase) + Pages{3}}};
  return example;
}

TEST(ReproC, ExitsWith0OnAKernelThatBehaves) {
  for (const std::string& compiler : Compilers()) {
    const ShellResult run = CompileAndRun(compiler, MlockTwoPages().Write());
    EXPECT_EQ(run.status, 0) << run.out;
    EXPECT_EQ(run.out, "behaves as documented\n");
  }
}

TEST(ReproC, ExitsWith1OnADeviatingOutcome) {
  Example example = MlockTwoPages();
  example.Add(Call(Op::kMlock, 4, 4096), Outcome::Ok());
  const ShellResult run = CompileAndRun("cc", example.Write());
  EXPECT_EQ(run.status, 1);
  EXPECT_THAT(run.out, HasSubstr("expected success, seen ENOMEM"));
}

TEST(ReproC, ExitsWith1OnADeviatingLockedVm) {
  Example example = MlockTwoPages();
  example.documented.steps.back().locked_vm = Pages{3};
  const ShellResult run = CompileAndRun("cc", example.Write());
  EXPECT_EQ(run.status, 1);
  EXPECT_EQ(run.out, "after step 1: expected VmLck of 3 pages, seen 2\n");
}

TEST(ReproC, ExitsWith1OnDeviatingResidency) {
  Example example = MlockTwoPages();
  example.documented.steps.back().absent = {
      {PageOf(kArenaBase) + Pages{2}, PageOf(kArenaBase) + Pages{3}}};
  const ShellResult run = CompileAndRun("cc", example.Write());
  EXPECT_EQ(run.status, 1);
  EXPECT_EQ(run.out,
            "after step 1: expected the page at 0x200000002000 not resident, "
            "it is\n");
}

// Seen by root alone, and so asked for only where it is the point.
TEST(ReproC, ExitsWith1OnAPageThatIsNotMlocked) {
  const Vpn first = PageOf(kArenaBase);
  Example example = MlockTwoPages();
  example.documented.steps[1].mlocked = {{first + Pages{1}, first + Pages{3}}};
  example.Add(Call(Op::kTouch, 0, 0), Outcome::Ok());
  example.documented.steps[2].mlocked = {{first, first + Pages{1}}};
  EXPECT_EQ(CompileAndRun("cc", example.Write()).status, 0);
  const auto at_step = [&example](size_t step,
                                  const char* property = "mlock-mlocked") {
    return CompileAndRun("cc",
                         WriteReproducerC(example.program, example.documented,
                                          Violation{property, step, "", ""}));
  };
  EXPECT_EQ(at_step(2, "agree-locked-vm").status, 0);
  const ShellResult fine = at_step(1);
  if (geteuid() != 0 || access("/proc/kpageflags", R_OK) != 0) {
    EXPECT_EQ(fine.status, 4) << fine.out;
    GTEST_SKIP() << "no rights to /proc/kpageflags: " << fine.out;
  }
  EXPECT_EQ(fine.status, 0) << fine.out;
  const ShellResult deviates = at_step(2);
  EXPECT_EQ(deviates.status, 1);
  EXPECT_EQ(deviates.out,
            "after step 2: expected the page at 0x200000000000 Mlocked, it is "
            "not\n");
  EXPECT_EQ(at_step(2, "agree-mlocked").out, deviates.out);
}

TEST(ReproC, TakesEitherOutcomeWhereKernelsDiffer) {
  Example example = MlockTwoPages();
  DocumentedStep& step = example.Add(Call(Op::kMlock, 4, 4096), Outcome::Ok());
  step.outcomes.push_back(Outcome::Errno(ENOMEM));
  EXPECT_EQ(CompileAndRun("cc", example.Write()).status, 0);
}

TEST(ReproC, KeepsTheLimitOfTheProgram) {
  Example example;
  example.program.config.memlock_limit = 8192;
  example.Add(Call(Op::kMmap, 0, 16384), Outcome::Ok(), 0);
  example.Add(Call(Op::kMlock, 0, 12288), Outcome::Errno(ENOMEM), 0);
  example.Add(Call(Op::kMlock, 0, 8192), Outcome::Ok(), 2);
  const ShellResult run = CompileAndRun("cc", example.Write());
  EXPECT_EQ(run.status, 0) << run.out;
}

// mlockall locks the reproducer too: its own pages are not the program's.
TEST(ReproC, DoesNotCountItsOwnImage) {
  Example example;
  example.Add(Call(Op::kMmap, 0, 16384), Outcome::Ok(), 0);
  Step all;
  all.op = Op::kMlockall;
  all.flags = uapi::kMclCurrent | uapi::kMclFuture;
  example.Add(all, Outcome::Ok(), 4).before.total_vm = Pages{4};
  example.Add(Call(Op::kMmap, 8, 8192), Outcome::Ok(), 6);
  Step none;
  none.op = Op::kMunlockall;
  example.Add(none, Outcome::Ok(), 0);
  for (const std::string& compiler : Compilers()) {
    const ShellResult run = CompileAndRun(compiler, example.Write());
    // Where the hard limit leaves no room for the image, it says so.
    EXPECT_THAT(run.status, AnyOf(0, 4)) << run.out;
  }
}

TEST(ReproC, RunsTasksAsProcessesInStep) {
  Example example = MlockTwoPages();
  Step fork;
  fork.op = Op::kFork;
  fork.slot = 3;
  example.Add(fork, Outcome::Ok(), 2);
  example.Add(Call(Op::kMlock, 0, 4096, 3), Outcome::Ok(), 1);
  example.Add(Call(Op::kMunlock, 0, 12288), Outcome::Ok(), 0);
  Step exec;
  exec.op = Op::kExec;
  exec.task = 3;
  example.Add(exec, Outcome::Ok());
  example.Add(Call(Op::kMmap, 0, 4096, 3), Outcome::Ok(), 0);
  Step exit;
  exit.op = Op::kExit;
  example.Add(exit, Outcome::Ok());
  example.Add(Call(Op::kMlock, 0, 4096, 3), Outcome::Ok(), 1);
  for (const std::string& compiler : Compilers()) {
    const ShellResult run = CompileAndRun(compiler, example.Write());
    EXPECT_EQ(run.status, 0) << run.out << example.Write();
  }
  example.documented.steps.back().locked_vm = Pages{0};
  const ShellResult run = CompileAndRun("cc", example.Write());
  EXPECT_EQ(run.status, 1);
  EXPECT_EQ(run.out, "after step 8: expected VmLck of 0 pages, seen 1\n");
}

TEST(ReproC, SeesSignalsOfAccesses) {
  Example example;
  Step touch;
  touch.op = Op::kTouch;
  touch.value = 1;
  touch.addr = Address::Arena(Vpn{5});
  example.Add(touch, Outcome::Signal(SIGSEGV), 0);
  example.Add(Call(Op::kMmap, 5, 4096), Outcome::Ok(), 0);
  example.Add(touch, Outcome::Ok(), 0);
  const ShellResult run = CompileAndRun("cc", example.Write());
  EXPECT_EQ(run.status, 0) << run.out;
}

TEST(ReproC, RemovesItsSegments) {
  const std::string before = Shell("ipcs -m").out;
  Example example;
  Step get;
  get.op = Op::kShmget;
  get.slot = 2;
  get.length = 8192;
  example.Add(get, Outcome::Ok(), 0);
  Step attach = Call(Op::kShmat, 4, 0);
  attach.slot = 2;
  example.Add(attach, Outcome::Ok(), 0);
  example.Add(Call(Op::kMlock, 4, 8192), Outcome::Ok(), 2);
  Step lock;
  lock.op = Op::kShmctl;
  lock.slot = 2;
  lock.flags = uapi::kShmLock;
  example.Add(lock, Outcome::Ok(), 2);
  example.Add(Call(Op::kShmdt, 4, 0), Outcome::Ok(), 0);
  const ShellResult run = CompileAndRun("cc", example.Write());
  EXPECT_EQ(run.status, 0) << run.out;
  EXPECT_EQ(Shell("ipcs -m").out, before);
}

TEST(ReproC, SaysThatARaceCannotBeForced) {
  Example example = MlockTwoPages();
  example.Add(Call(Op::kMunlock, 0, 16384), Outcome::Ok(), 0);
  example.documented.needs_environment = true;
  for (const std::string& compiler : Compilers()) {
    const ShellResult run = CompileAndRun(compiler, example.Write());
    EXPECT_THAT(run.status, AnyOf(0, 1)) << run.out;  // NR_MLOCK: see below
    if (run.status == 0) {
      EXPECT_THAT(run.out, HasSubstr("a race that user space cannot force"));
    }
  }
  EXPECT_THAT(example.Write(), HasSubstr("cannot be forced from user space"));
}

TEST(ReproC, NamesTheKernelThatShowedIt) {
  const Example example = MlockTwoPages();
  const Violation violation{
      .property = "p", .step = 1, .expected = "blue", .seen = "red"};
  EXPECT_THAT(WriteReproducerC(example.program, example.documented, violation),
              HasSubstr("expected blue,\n *   seen red on the model of v4.9."));
  EXPECT_THAT(WriteReproducerC(example.program, example.documented, violation,
                               "host 6.18.44"),
              HasSubstr("seen red on host 6.18.44."));
}

TEST(ReproC, ExitsWith4WhereItCannotRun) {
  Example example = MlockTwoPages();
  example.documented.obstacles = {"it needs a \"device\""};
  const ShellResult run = CompileAndRun("cc", example.Write());
  EXPECT_EQ(run.status, 4);
  EXPECT_EQ(run.out, "cannot run here: it needs a \"device\"\n");
}

TEST(ReproC, ExitsWith4IfTheViolatedStepIsLeftOut) {
  Example example = MlockTwoPages();
  example.documented.steps[1].left_out = "it is too new";
  const Violation violation{
      .property = "p", .step = 1, .expected = "e", .seen = "*/ s"};
  const ShellResult run = CompileAndRun(
      "cc", WriteReproducerC(example.program, example.documented, violation));
  EXPECT_EQ(run.status, 4);
}

TEST(ReproC, WritesAddressesAsAReaderThinksOfThem) {
  EXPECT_EQ(CAddress(Address::Arena(Vpn{3}, 5)), "arena(3) + 5");
  EXPECT_EQ(CAddress(Address::Heap(Vpn{0})), "heap(0)");
  EXPECT_EQ(CAddress(Address::Raw(kTaskSize)), "0x7ffffffff000UL");
  EXPECT_EQ(CAddress(Address::Arena(Vpn{0}, ~uint64_t{0})), "0x1fffffffffffUL");
  EXPECT_EQ(COutcome(Outcome::Errno(12)), "ENOMEM");
  EXPECT_EQ(COutcome(Outcome::Errno(4000)), "4000");
  EXPECT_EQ(COutcome(Outcome::Signal(7)), "-SIGBUS");
}

// Every program of the corpus: it compiles, and this kernel, which has none of
// the defects, either behaves or cannot run it.
// The program is the witness of a defect that the newest profile shipped with:
// the kernel underneath may well have it.
bool StillShipped(const std::string& path) {
  const std::filesystem::path file(path);
  const DefectInfo* info = FindDefect(file.stem().string());
  return file.parent_path().stem() == "defects" && info != nullptr &&
         AllProfiles().back().shipped.Has(info->defect);
}

TEST(ReproCOfTheCorpus, CompilesAndFindsNoDeviationHere) {
  namespace fs = std::filesystem;
  std::vector<std::string> paths;
  for (const char* folder : {"spec", "defects", "regress"}) {
    const fs::path directory =
        fs::path(LOCKSTEP_SOURCE_DIR) / "corpus" / folder;
    if (!fs::exists(directory)) continue;
    for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
      if (entry.path().extension() == ".txtpb") paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  ASSERT_FALSE(paths.empty());
  const bool has_clang = Shell("command -v clang").status == 0;
  int behaves = 0;
  for (const std::string& path : paths) {
    SCOPED_TRACE(path);
    absl::StatusOr<Program> program = LoadProgram(path);
    ASSERT_TRUE(program.ok()) << program.status();
    absl::StatusOr<std::string> text = RenderReproducerC(*program, {});
    ASSERT_TRUE(text.ok()) << text.status();
    const ShellResult run = CompileAndRun("cc", *text);
    // A race is judged by NR_MLOCK, which belongs to the whole machine and lags
    // by a batch: here it only has to come to an end.
    if (absl::StrContains(*text, "cannot be forced from user space")) {
      EXPECT_THAT(run.status, AnyOf(0, 1, 4)) << run.out << *text;
    } else if (StillShipped(path)) {
      EXPECT_THAT(run.status, AnyOf(0, 1, 4)) << run.out << *text;
    } else {
      EXPECT_THAT(run.status, AnyOf(0, 4)) << run.out << *text;
    }
    behaves += run.status == 0;
    if (!has_clang) continue;
    const TemporaryDirectory directory;
    const ShellResult checked = Shell(
        absl::StrCat("clang -std=gnu11 -Wall -Wextra -Werror -fsyntax-only ",
                     directory.Write("repro.c", *text)));
    EXPECT_EQ(checked.status, 0) << checked.err << *text;
  }
  EXPECT_GT(behaves, 0);
}

}  // namespace
}  // namespace lockstep
