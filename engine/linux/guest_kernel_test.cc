// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Guests for real. Each test boots one, which takes seconds, so each checks a
// lot; they are skipped where QEMU or the kernel is absent.

#include "engine/linux/guest_kernel.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/linux/kernel.h"
#include "engine/linux/kernel_cache.h"
#include "engine/linux/qemu.h"
#include "engine/linux/trace.h"
#include "engine/program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

// What is missing for a guest of that kernel; empty if nothing is.
std::string Missing(absl::string_view which) {
  if (auto qemu = FindQemu(); !qemu.ok()) {
    return std::string(qemu.status().message());
  }
  if (auto image = FindKernelImage(which); !image.ok()) {
    return std::string(image.status().message());
  }
  return "";
}

Program Parse(absl::string_view text) {
  absl::StatusOr<Program> program = ParseProgramText(text, "test");
  EXPECT_TRUE(program.ok()) << program.status();
  return program.ok() ? *program : Program();
}

// Ten pages, of which `locked` are locked by the second step.
Program LockSome(int arena_pages, int locked) {
  return Parse(absl::StrCat(R"(config { arena_pages: )", arena_pages, R"( }
    steps { mmap { addr { page: 0 } length: 40960 prot: READ prot: WRITE
                   flags: PRIVATE flags: ANONYMOUS flags: FIXED } }
    steps { mlock { addr { page: 0 } length: )",
                            locked * 4096, R"( } }
    steps { touch { addr { page: 9 } write: true } }
    steps { munlock { addr { page: 0 } length: 4096 } })"));
}

int PresentPages(const TracedTask& task) {
  int present = 0;
  for (uint64_t word : task.arena.present)
    present += __builtin_popcountll(word);
  return present;
}

int MlockedPages(const TracedTask& task) {
  int mlocked = 0;
  for (uint64_t word : task.arena.mlocked)
    mlocked += __builtin_popcountll(word);
  return mlocked;
}

std::map<wire::CounterName, int64_t> Counters(const TracedStep& step) {
  std::map<wire::CounterName, int64_t> counters;
  for (const wire::CounterRecord& record : step.counters) {
    counters[record.name] = record.value;
  }
  return counters;
}

void ExpectLocksSome(const Trace& trace, int locked) {
  ASSERT_EQ(trace.end, wire::End::kCompleted) << trace.signal << trace.console;
  ASSERT_THAT(trace.steps, SizeIs(4));
  const TracedStep& mlock = trace.steps[1];
  EXPECT_EQ(mlock.outcome, Outcome::Ok(0));
  EXPECT_EQ(mlock.tasks[0].state.locked_vm.n, static_cast<uint64_t>(locked));
  EXPECT_EQ(PresentPages(mlock.tasks[0]), locked);
  EXPECT_EQ(MlockedPages(mlock.tasks[0]), locked);
  EXPECT_EQ(PresentPages(trace.steps[2].tasks[0]), locked + 1);
  const TracedStep& munlock = trace.steps[3];
  EXPECT_EQ(munlock.tasks[0].state.locked_vm.n,
            static_cast<uint64_t>(locked - 1));
}

class GuestKernelTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (std::string missing = Missing(GetParam()); !missing.empty()) {
      GTEST_SKIP() << missing;
    }
  }
  std::unique_ptr<Kernel> Make(const GuestOptions& guest_options = {},
                               const KernelOptions& options = {}) {
    absl::StatusOr<std::unique_ptr<Kernel>> kernel =
        MakeGuestKernelWith(GetParam(), options, guest_options);
    EXPECT_TRUE(kernel.ok()) << kernel.status();
    return kernel.ok() ? *std::move(kernel) : nullptr;
  }
};

TEST_P(GuestKernelTest, RunsProgramsAndSeesEverything) {
  std::unique_ptr<Kernel> kernel = Make();
  ASSERT_NE(kernel, nullptr);
  EXPECT_EQ(kernel->name(), absl::StrCat("guest:", GetParam()));
  EXPECT_THAT(std::string(kernel->release()),
              StartsWith(absl::StrCat(GetParam(), ".")));
  EXPECT_THAT(kernel->limitations(), IsEmpty());

  {
    SCOPED_TRACE("two batches: the guest sees what is new on its drive");
    for (int locked : {4, 7}) {
      const Program programs[] = {LockSome(16, locked), LockSome(64, 3)};
      auto traces = kernel->Run(programs);
      ASSERT_TRUE(traces.ok()) << traces.status();
      ASSERT_THAT(*traces, SizeIs(2));
      ExpectLocksSome((*traces)[0], locked);
      ExpectLocksSome((*traces)[1], 3);
      EXPECT_TRUE((*traces)[0].sees & wire::kSeesPageFlags);
      EXPECT_TRUE((*traces)[0].sees & wire::kSeesCounters);
    }
  }
  {
    SCOPED_TRACE("counters are exact");
    const Program program = LockSome(16, 6);
    auto traces = kernel->Run({&program, 1});
    ASSERT_TRUE(traces.ok()) << traces.status();
    const Trace& trace = (*traces)[0];
    ASSERT_THAT(trace.steps, SizeIs(4));
    EXPECT_THAT(trace.steps[2].counters, IsEmpty());
    auto counters = Counters(trace.steps[3]);
    EXPECT_EQ(counters[wire::CounterName::kNrMlock], 5);
    EXPECT_EQ(counters[wire::CounterName::kUnevictablePgsMlocked], 6);
    EXPECT_EQ(counters[wire::CounterName::kUnevictablePgsMunlocked], 1);
  }
  {
    SCOPED_TRACE("reclaim takes what is not locked");
    const Program program = Parse(R"(
      steps { mmap { addr { page: 0 } length: 40960 prot: READ prot: WRITE
                     flags: PRIVATE flags: ANONYMOUS flags: FIXED
                     flags: POPULATE } }
      steps { mlock { addr { page: 2 } length: 12288 } }
      steps { drain {} }
      steps { reclaim {} }
      steps { touch { addr { page: 8 } write: true } }
      steps { reclaim { page { page: 8 } } }
      steps { reclaim { page { page: 2 } } })");
    auto traces = kernel->Run({&program, 1});
    ASSERT_TRUE(traces.ok()) << traces.status();
    const Trace& trace = (*traces)[0];
    ASSERT_THAT(trace.steps, SizeIs(7)) << trace.signal;
    EXPECT_EQ(PresentPages(trace.steps[1].tasks[0]), 10);
    EXPECT_EQ(trace.steps[2].outcome, Outcome::Ok());
    EXPECT_EQ(trace.steps[3].outcome, Outcome::Ok());
    EXPECT_EQ(trace.steps[3].tasks[0].arena.present[0], 0b11100u);
    EXPECT_EQ(PresentPages(trace.steps[4].tasks[0]), 4);
    EXPECT_EQ(trace.steps[5].outcome, Outcome::Ok());
    EXPECT_EQ(trace.steps[5].tasks[0].arena.present[0], 0b11100u);
    EXPECT_EQ(trace.steps[6].outcome, Outcome::Skipped());
    EXPECT_EQ(trace.steps[6].tasks[0].arena.present[0], 0b11100u);
  }
  {
    SCOPED_TRACE("a pool of huge pages, and none");
    constexpr absl::string_view kShmget =
        "steps { shmget { shm: 0 size: 2097152 hugetlb: true } }";
    const Program programs[] = {
        Parse(absl::StrCat("config { nr_hugepages: 2 }", kShmget)),
        Parse(kShmget)};
    auto traces = kernel->Run(programs);
    ASSERT_TRUE(traces.ok()) << traces.status();
    ASSERT_THAT((*traces)[0].steps, SizeIs(1)) << (*traces)[0].signal;
    EXPECT_TRUE((*traces)[0].steps[0].outcome.ok());
    EXPECT_TRUE((*traces)[0].steps[0].shm[0].hugetlb);
    ASSERT_THAT((*traces)[1].steps, SizeIs(1));
    EXPECT_EQ((*traces)[1].steps[0].outcome, Outcome::Unsupported());
  }
  {
    SCOPED_TRACE("memory runs out");
    const Program program = Parse(R"(
      steps { mmap { addr { page: 0 } length: 40960 prot: READ prot: WRITE
                     flags: PRIVATE flags: ANONYMOUS flags: FIXED } }
      steps { fail_allocation { nth: 4 } }
      steps { mlock { addr { page: 0 } length: 4096 } }
      steps { mlock { addr { page: 0 } length: 40960 } }
      steps { mlock { addr { page: 0 } length: 40960 } }
      steps { fail_allocation { nth: 1 } }
      steps { fail_allocation { nth: 0 } }
      steps { touch { addr { page: 0 } write: true } })");
    const Program programs[] = {program, program};
    auto traces = kernel->Run(programs);
    ASSERT_TRUE(traces.ok()) << traces.status();
    for (const Trace& trace : *traces) {
      ASSERT_THAT(trace.steps, SizeIs(8)) << trace.signal;
      EXPECT_EQ(trace.steps[2].outcome, Outcome::Ok());
      EXPECT_FALSE(trace.steps[2].events.allocation_failed);
      // What could be had before the failure stays, and all of it is VM_LOCKED.
      const TracedStep& failed = trace.steps[3];
      EXPECT_EQ(failed.outcome, Outcome::Errno(EAGAIN));
      EXPECT_TRUE(failed.events.allocation_failed);
      EXPECT_EQ(failed.tasks[0].arena.present[0], 0b111u);
      EXPECT_EQ(failed.tasks[0].state.locked_vm.n, 10u);
      // One allocation failed, not those after it.
      EXPECT_EQ(trace.steps[4].outcome, Outcome::Ok());
      EXPECT_FALSE(trace.steps[4].events.allocation_failed);
      EXPECT_EQ(PresentPages(trace.steps[4].tasks[0]), 10);
      EXPECT_EQ(trace.steps[7].outcome, Outcome::Ok());
    }
  }
  {
    SCOPED_TRACE("tasks that are processes");
    const Program program = Parse(R"(
      steps { mmap { addr { page: 0 } length: 8192 prot: READ prot: WRITE
                     flags: PRIVATE flags: ANONYMOUS flags: FIXED } }
      steps { mlock { addr { page: 0 } length: 8192 } }
      steps { fork { child: 1 } }
      steps { task: 1 exit {} })");
    auto traces = kernel->Run({&program, 1});
    ASSERT_TRUE(traces.ok()) << traces.status();
    const Trace& trace = (*traces)[0];
    ASSERT_THAT(trace.steps, SizeIs(4)) << trace.signal;
    EXPECT_TRUE(trace.steps[2].tasks[1].state.exists);
    const int64_t locked[] = {0, 2, 2, 2};
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(Counters(trace.steps[i])[wire::CounterName::kNrMlock],
                locked[i])
          << i;
    }
    // Locks are not inherited (mlock(2)).
    EXPECT_EQ(trace.steps[2].tasks[1].state.locked_vm.n, 0u);
    EXPECT_EQ(trace.steps[2].tasks[0].state.locked_vm.n, 2u);
    EXPECT_FALSE(trace.steps[3].tasks[1].state.exists);
  }
  {
    SCOPED_TRACE("a program that is too large is refused and the others run");
    const Program huge = LockSome(wire::kMaxArenaPages + 1, 1);
    const Program programs[] = {huge, LockSome(16, 4), huge, LockSome(16, 5)};
    auto traces = kernel->Run(programs);
    ASSERT_TRUE(traces.ok()) << traces.status();
    ASSERT_THAT(*traces, SizeIs(4));
    EXPECT_EQ((*traces)[0].end, wire::End::kRefused);
    ExpectLocksSome((*traces)[1], 4);
    EXPECT_EQ((*traces)[2].end, wire::End::kRefused);
    ExpectLocksSome((*traces)[3], 5);
  }
  {
    SCOPED_TRACE("more programs than a batch takes");
    const std::vector<Program> programs(600, LockSome(16, 5));
    const absl::Time start = absl::Now();
    auto traces = kernel->Run(programs);
    ASSERT_TRUE(traces.ok()) << traces.status();
    const double rate = 600 / absl::ToDoubleSeconds(absl::Now() - start);
    RecordProperty("programs_per_second", absl::StrCat(rate));
    ASSERT_THAT(*traces, SizeIs(600));
    for (const Trace& trace : *traces) ExpectLocksSome(trace, 5);
  }
  EXPECT_GT(kernel->times().system, absl::ZeroDuration());
}

TEST_P(GuestKernelTest, AProgramThatPanicsTheKernelCostsTheOthersNothing) {
  GuestOptions guest_options;
  guest_options.more_command_line = "lockstep.panic_on=23";
  std::unique_ptr<Kernel> kernel = Make(guest_options);
  ASSERT_NE(kernel, nullptr);
  const Program programs[] = {LockSome(16, 1), LockSome(23, 2)};
  auto traces = kernel->Run(programs);
  ASSERT_TRUE(traces.ok()) << traces.status();
  ASSERT_THAT(*traces, SizeIs(2));
  ExpectLocksSome((*traces)[0], 1);
  EXPECT_THAT((*traces)[0].console, IsEmpty());
  EXPECT_EQ((*traces)[1].end, wire::End::kBroken);
  EXPECT_THAT((*traces)[1].console, HasSubstr("Kernel panic - not syncing"));
}

INSTANTIATE_TEST_SUITE_P(Kernels, GuestKernelTest,
                         ::testing::Values("6.1", "6.12"),
                         [](const auto& info) {
                           return absl::StrCat(
                               "Linux",
                               absl::StrReplaceAll(info.param, {{".", "_"}}));
                         });

TEST(GuestTest, AGuestThatHangsIsAnOutcome) {
  if (std::string missing = Missing("6.12"); !missing.empty()) {
    GTEST_SKIP() << missing;
  }
  GuestOptions guest_options;
  guest_options.more_command_line = "lockstep.hang_on=23";
  guest_options.patience = absl::Seconds(6);
  auto kernel = MakeGuestKernelWith("6.12", KernelOptions(), guest_options);
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  const Program programs[] = {LockSome(23, 2), LockSome(16, 3)};
  auto traces = (*kernel)->Run(programs);
  ASSERT_TRUE(traces.ok()) << traces.status();
  ASSERT_THAT(*traces, SizeIs(2));
  EXPECT_EQ((*traces)[0].end, wire::End::kTimedOut);
  EXPECT_THAT((*traces)[0].console, HasSubstr("the guest hangs"));
  ExpectLocksSome((*traces)[1], 3);
}

TEST(GuestTest, AKernelThatIsNotThereNamesTheCommandThatFetchesIt) {
  if (auto qemu = FindQemu(); !qemu.ok()) {
    GTEST_SKIP() << qemu.status().message();
  }
  auto kernel = MakeGuestKernel("99.1", KernelOptions());
  EXPECT_TRUE(absl::IsUnavailable(kernel.status())) << kernel.status();
  EXPECT_THAT(kernel.status().message(), HasSubstr("ci/fetch-kernels.sh 99.1"));
}

TEST(GuestTest, WithoutQemuItSaysWhatToInstall) {
  const std::string path = getenv("PATH");
  setenv("PATH", "/nonexistent", 1);
  auto kernel = MakeGuestKernel("6.1", KernelOptions());
  setenv("PATH", path.c_str(), 1);
  EXPECT_TRUE(absl::IsUnavailable(kernel.status())) << kernel.status();
  EXPECT_THAT(kernel.status().message(), HasSubstr("qemu-system-x86"));
}

// True if the process is gone, or a zombie that is nobody's to run any more.
bool IsGone(pid_t pid) { return kill(pid, 0) != 0 && errno == ESRCH; }

TEST(GuestTest, QemuDiesWithItsParent) {
  if (std::string missing = Missing("6.12"); !missing.empty()) {
    GTEST_SKIP() << missing;
  }
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  const pid_t parent = fork();
  ASSERT_GE(parent, 0);
  if (parent == 0) {
    QemuOptions options;
    options.program = *FindQemu();
    options.accelerator = "tcg";
    options.kernel = FindKernelImage("6.12")->path;
    options.initrd = MakeMemoryFile("initrd", 4096);
    auto qemu = Qemu::Start(options);
    const pid_t pid = qemu.ok() ? (*qemu)->pid() : 0;
    if (write(pipe_fds[1], &pid, sizeof(pid)) < 0) _exit(1);
    while (true) pause();
  }
  pid_t qemu = 0;
  ASSERT_EQ(read(pipe_fds[0], &qemu, sizeof(qemu)),
            static_cast<ssize_t>(sizeof(qemu)));
  ASSERT_GT(qemu, 0);
  EXPECT_EQ(kill(qemu, 0), 0);
  ASSERT_EQ(kill(parent, SIGKILL), 0);
  ASSERT_EQ(waitpid(parent, nullptr, 0), parent);
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (!IsGone(qemu) && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(20));
  }
  EXPECT_TRUE(IsGone(qemu));
  close(pipe_fds[0]);
  close(pipe_fds[1]);
}

}  // namespace
}  // namespace lockstep
