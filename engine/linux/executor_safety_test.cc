// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// A program from a stranger harms nobody: not the executor, not the programs
// beside it, not the machine, whoever is killed when.

#include <signal.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/linux/executor_process.h"
#include "engine/linux/executor_testing.h"
#include "engine/linux/kernel.h"
#include "engine/linux/trace.h"
#include "engine/linux/wire.h"
#include "engine/program.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

Program Parse(absl::string_view text) {
  absl::StatusOr<Program> program = ParseProgramText(text, "test");
  EXPECT_TRUE(program.ok()) << program.status();
  return *std::move(program);
}

std::unique_ptr<Kernel> Host(const KernelOptions& options = {}) {
  absl::StatusOr<std::unique_ptr<Kernel>> kernel = MakeHostKernel(options);
  EXPECT_TRUE(kernel.ok()) << kernel.status();
  return kernel.ok() ? *std::move(kernel) : nullptr;
}

// Locks, maps, attaches and unmaps; its observations show whether the process
// that runs it is in order.
Program Harmless() {
  return Parse(R"pb(
    steps {
      mmap {
        addr { page: 2 }
        length: 32768
        prot: [ READ, WRITE ]
        flags: [ PRIVATE, FIXED, ANONYMOUS ]
      }
    }
    steps {
      mlock {
        addr { page: 3 }
        length: 8192
      }
    }
    steps {
      touch {
        addr { page: 7 }
        write: true
      }
    }
    steps { shmget { size: 8192 } }
    steps { shmat { addr { page: 20 } } }
    steps { brk { addr { heap_page: 3 } } }
    steps {
      munmap {
        addr { page: 2 }
        length: 8192
      }
    }
  )pb");
}

void ExpectSame(const Trace& actual, const Trace& expected) {
  EXPECT_EQ(actual.end, expected.end);
  EXPECT_EQ(actual.image_lockable, expected.image_lockable);
  ASSERT_EQ(actual.steps.size(), expected.steps.size());
  for (size_t i = 0; i < actual.steps.size(); ++i) {
    EXPECT_EQ(actual.steps[i].outcome, expected.steps[i].outcome) << i;
    const TracedTask& a = actual.steps[i].tasks[0];
    const TracedTask& b = expected.steps[i].tasks[0];
    EXPECT_EQ(a.state.ranges, b.state.ranges) << i;
    EXPECT_EQ(a.state.total_vm, b.state.total_vm) << i;
    EXPECT_EQ(a.state.locked_vm, b.state.locked_vm) << i;
    EXPECT_EQ(a.arena.present, b.arena.present) << i;
  }
}

struct Nasty {
  const char* name;
  const char* step;
  // Success does no harm: it asks for nothing, or brk answers with the break.
  bool may_succeed = false;
};
// The executor's image is at 0x400000, its shared mapping at 0x300000000000,
// the arena at 0x200000000000. The stack is in the image: that of the kernel,
// below 0x7ffffffff000, is no longer there.
constexpr Nasty kNasty[] = {
    {"MunmapOfEverything", "munmap { addr { raw: 0 } length: 0x7ffffffff000 }"},
    {"MunmapOfTheImage", "munmap { addr { raw: 0x400000 } length: 0x800000 }"},
    {"MunmapOfTheStack",
     "munmap { addr { raw: 0x7fffff000000 } length: 0xfff000 }", true},
    {"MunmapOfControl",
     "munmap { addr { raw: 0x300000000000 } length: 0x100000 }"},
    {"MunmapFromArenaToControl",
     "munmap { addr { page: 0 } length: 0x110000000000 }"},
    {"MunmapFromHeapUpwards",
     "munmap { addr { heap_page: 0 } length: 0x7fff00000000 }"},
    {"MmapFromHeapUpwards",
     "mmap { addr { heap_page: 0 } length: 0x7fff00000000 "
     "flags: [ PRIVATE, FIXED, ANONYMOUS, NORESERVE ] }"},
    // Wraps from the model's heap, not from the real one.
    {"MadviseFromHeapOverEverything",
     "madvise { addr { heap_page: 0 } length: 0xffff000000000000 "
     "advice: DONTNEED }"},
    {"MsyncFromHeapOverEverything",
     "msync { addr { heap_page: 0 } length: 0xfffff00000000000 "
     "flags: [ SYNC ] }"},
    {"MunmapBelowTheHeap",
     "munmap { addr { heap_page: 0 offset: 0xffffffffff800000 } "
     "length: 0x800000 }",
     true},
    {"MmapOverTheImage",
     "mmap { addr { raw: 0x400000 } length: 0x100000 prot: [ READ ] "
     "flags: [ PRIVATE, FIXED, ANONYMOUS ] }"},
    {"MmapOverTheStack",
     "mmap { addr { raw: 0x7ffffffde000 } length: 0x21000 "
     "flags: [ PRIVATE, FIXED, ANONYMOUS ] }"},
    {"MmapOverControl",
     "mmap { addr { raw: 0x300000000000 } length: 4096 prot: [ READ, WRITE ] "
     "flags: [ PRIVATE, FIXED, ANONYMOUS ] }"},
    {"MmapOverEverything",
     "mmap { addr { raw: 0x10000 } length: 0x7fffffff0000 "
     "flags: [ PRIVATE, FIXED, ANONYMOUS, NORESERVE ] }"},
    {"MmapOfATerabyte",
     "mmap { length: 0x10000000000 prot: [ READ, WRITE ] "
     "flags: [ PRIVATE, ANONYMOUS, POPULATE ] }"},
    {"MmapFromTheArenaOutwards",
     "mmap { addr { page: 0 } length: 0x110000000000 "
     "flags: [ PRIVATE, FIXED, ANONYMOUS, NORESERVE ] }"},
    {"MprotectOfTheImage",
     "mprotect { addr { raw: 0x400000 } length: 0x100000 }"},
    {"MprotectOfTheStack",
     "mprotect { addr { raw: 0x7ffffffde000 } length: 0x21000 }"},
    {"MremapOfTheImage",
     "mremap { addr { raw: 0x400000 } old_length: 0x1000 new_length: 0x1000 "
     "flags: [ MAYMOVE, FIXED ] new_addr { page: 4 } }"},
    {"MremapOntoTheImage",
     "mremap { addr { page: 0 } old_length: 0x1000 new_length: 0x1000 "
     "flags: [ MAYMOVE, FIXED ] new_addr { raw: 0x401000 } }"},
    {"MremapShrinksTheImage",
     "mremap { addr { raw: 0x400000 } old_length: 0x80000 new_length: 0x1000 "
     "}"},
    {"MremapOfControlWithoutUnmap",
     "mremap { addr { raw: 0x300000000000 } old_length: 0x1000 "
     "new_length: 0x1000 flags: [ MAYMOVE, DONTUNMAP ] }"},
    {"MadviseDontneedOfTheImage",
     "madvise { addr { raw: 0x400000 } length: 0x800000 advice: DONTNEED }"},
    {"MadviseDontneedOfEverything",
     "madvise { addr { raw: 0 } length: 0x7ffffffff000 advice: DONTNEED }"},
    {"MadviseRemoveOfControl",
     "madvise { addr { raw: 0x300000000000 } length: 0x10000 advice: REMOVE }"},
    {"MadviseDontneedFromTheArenaOutwards",
     "madvise { addr { page: 0 } length: 0x110000000000 advice: DONTNEED }"},
    {"MadviseDontforkOfTheImage",
     "madvise { addr { raw: 0x400000 } length: 0x800000 advice: DONTFORK }"},
    {"MadviseGuardOfTheStack",
     "madvise { addr { raw: 0x7ffffffde000 } length: 0x21000 "
     "advice: GUARD_INSTALL }"},
    {"HwpoisonOfAPage",
     "madvise { addr { page: 0 } length: 4096 advice: 100 }"},
    {"SoftOfflineOfAPage",
     "madvise { addr { page: 0 } length: 4096 advice: 101 }"},
    {"MsyncOfEverything",
     "msync { addr { raw: 0 } length: 0x7ffffffff000 flags: [ SYNC ] }"},
    {"ShmatOverTheImage",
     "shmat { shm: 1 addr { raw: 0x400000 } flags: [ REMAP ] }"},
    {"ShmatOverTheStack",
     "shmat { shm: 1 addr { raw: 0x7ffffffde000 } flags: [ REMAP ] }"},
    {"ShmdtOfTheImage", "shmdt { addr { raw: 0x400000 } }"},
    {"IpcSetOfASegment", "shmctl { shm: 1 command: 1 }"},
    {"SegmentOfATerabyte", "shmget { shm: 2 size: 0x10000000000 }"},
    {"FileOfATerabyte", "ftruncate { fd: 1 size: 0x10000000000 }"},
    {"SecretOfATerabyte", "memfd_secret { fd: 1 size: 0x10000000000 }"},
    {"BreakBelowTheHeap", "brk { addr { raw: 0x400000 } }", true},
    {"BreakAtZero", "brk { addr { raw: 0 } }", true},
    {"BreakBetweenRealAndModelHeap", "brk { addr { raw: 0x7000000 } }", true},
    {"BreakOfATerabyte", "brk { addr { heap_page: 0x10000000 } }", true},
    {"WriteToTheImagesText", "touch { addr { raw: 0x401000 } write: true }"},
    {"WriteToControl", "touch { addr { raw: 0x300000000000 } write: true }"},
    {"WriteToTheStack", "touch { addr { raw: 0x7fffffffe000 } write: true }"},
    {"WriteToTheKernel",
     "touch { addr { raw: 0xffffffff81000000 } write: true }"},
    {"LimitBelowNothing", "setrlimit { memlock: 0 }", true},
    {"UserAndBack", "setuid { uid: 3 }", true},
    {"MlockOfEverything", "mlock { addr { raw: 0 } length: 0x7ffffffff000 }"},
};

class NastyTest : public ::testing::TestWithParam<Nasty> {};

// Every segment slot that the step may name exists, and so does page 0.
Program WithStep(const char* step) {
  return Parse(absl::StrCat(R"pb(
                              config { cap_ipc_lock: false }
                              steps {
                                mmap {
                                  addr { page: 0 }
                                  length: 16384
                                  prot: [ READ, WRITE ]
                                  flags: [ PRIVATE, FIXED, ANONYMOUS, POPULATE ]
                                }
                              }
                              steps { shmget { shm: 1 size: 8192 } }
                              steps {)pb",
                            step, " }"));
}

TEST_P(NastyTest, HarmsNoOtherProgram) {
  for (wire::Mode mode :
       {wire::Mode::kChildPerBatch, wire::Mode::kProcessPerProgram}) {
    KernelOptions options;
    options.mode = mode;
    std::unique_ptr<Kernel> kernel = Host(options);
    ASSERT_NE(kernel, nullptr);
    const Program harmless = Harmless();
    const Program nasty = WithStep(GetParam().step);
    absl::StatusOr<std::vector<Trace>> traces =
        kernel->Run({harmless, nasty, harmless, nasty, harmless});
    ASSERT_TRUE(traces.ok()) << traces.status();
    ASSERT_EQ(traces->size(), 5);
    EXPECT_EQ((*traces)[0].end, wire::End::kCompleted);
    for (int i : {1, 3}) {
      const Trace& trace = (*traces)[i];
      // Not run, refused by the kernel, or without any effect.
      EXPECT_EQ(trace.end, wire::End::kCompleted) << trace.signal;
      ASSERT_EQ(trace.steps.size(), 3);
      EXPECT_TRUE(trace.steps[0].outcome.ok());
      EXPECT_TRUE(trace.steps[1].outcome.ok());
    }
    ExpectSame((*traces)[2], (*traces)[0]);
    ExpectSame((*traces)[4], (*traces)[0]);
  }
}

INSTANTIATE_TEST_SUITE_P(Steps, NastyTest, ::testing::ValuesIn(kNasty),
                         [](const ::testing::TestParamInfo<Nasty>& info) {
                           return std::string(info.param.name);
                         });

TEST(ExecutorSafetyTest, NothingBehindTheArenaIsTouched) {
  std::unique_ptr<Kernel> kernel = Host();
  ASSERT_NE(kernel, nullptr);
  for (const Nasty& nasty : kNasty) {
    if (nasty.may_succeed) continue;
    absl::StatusOr<std::vector<Trace>> traces =
        kernel->Run({WithStep(nasty.step)});
    ASSERT_TRUE(traces.ok()) << traces.status();
    ASSERT_EQ(traces->front().steps.size(), 3) << nasty.name;
    EXPECT_FALSE(traces->front().steps[2].outcome.ok()) << nasty.name;
  }
}

// Many steps, so that there is something to stop in the midst of.
Program Long() {
  Program program = Harmless();
  const std::vector<Step> steps = program.steps;
  for (int i = 0; i < 30; ++i) {
    program.steps.insert(program.steps.end(), steps.begin(), steps.end());
  }
  return program;
}

// Two tasks, a segment, a file and a secret, for long.
Program LongWithTasks() {
  Program program = Parse(R"pb(
    steps { shmget { size: 65536 } }
    steps { shmat { addr { page: 20 } } }
    steps { ftruncate { size: 65536 } }
    steps { memfd_secret { fd: 1 size: 65536 } }
    steps { fork { child: 1 } }
    steps { fork { child: 2 share_vm: true } }
  )pb");
  const Step attached = program.steps[1];
  for (int i = 0; i < 2000; ++i) {
    Step step = attached;
    step.op = Op::kMincore;
    step.length = 65536;
    step.task = static_cast<uint8_t>(i % 3);
    program.steps.push_back(step);
  }
  return program;
}

// Runs the programs in a thread while `disturb` does something to the
// executor's processes, and returns the traces.
std::vector<Trace> RunDisturbed(Kernel* kernel,
                                const std::vector<Program>& programs,
                                const std::function<void()>& disturb) {
  std::vector<Trace> traces;
  std::thread thread([&] {
    absl::StatusOr<std::vector<Trace>> result = kernel->Run(programs);
    EXPECT_TRUE(result.ok()) << result.status();
    if (result.ok()) traces = *std::move(result);
  });
  disturb();
  thread.join();
  return traces;
}

// The number of programs that ended so; the others must be complete.
void ExpectOneLost(const std::vector<Trace>& traces,
                   const std::vector<Program>& programs, wire::End end,
                   int signal) {
  ASSERT_EQ(traces.size(), programs.size());
  int lost = 0;
  for (size_t i = 0; i < traces.size(); ++i) {
    if (traces[i].end == wire::End::kCompleted) {
      EXPECT_EQ(traces[i].steps.size(), programs[i].steps.size());
      continue;
    }
    EXPECT_EQ(traces[i].end, end) << "program " << i;
    EXPECT_EQ(traces[i].signal, signal) << "program " << i;
    ++lost;
  }
  EXPECT_EQ(lost, 1);
}

class DisturbanceTest : public ::testing::TestWithParam<bool> {
 protected:
  std::vector<Program> programs() const {
    return std::vector<Program>(GetParam() ? 12 : 120,
                                GetParam() ? LongWithTasks() : Long());
  }
  // Sends the signal to the process that was made last and runs steps.
  void Disturb(int signal) {
    // Start, supervisor, spawner; then those that run programs.
    ASSERT_TRUE(copy_.AwaitProcesses(4));
    absl::SleepFor(absl::Milliseconds(10));
    while (true) {
      const std::vector<pid_t> pids = copy_.Processes();
      if (pids.size() >= 4 && kill(pids.back(), signal) == 0) return;
    }
  }
  ExecutorCopy copy_;
};

TEST_P(DisturbanceTest, AHangingStepIsCutOffAndTheOthersRun) {
  KernelOptions options;
  options.step_limit = absl::Milliseconds(300);
  std::unique_ptr<Kernel> kernel = Host(options);
  ASSERT_NE(kernel, nullptr);
  const std::vector<Trace> traces =
      RunDisturbed(kernel.get(), programs(), [&] { Disturb(SIGSTOP); });
  ExpectOneLost(traces, programs(), wire::End::kTimedOut, SIGKILL);
}

TEST_P(DisturbanceTest, AKilledProcessCostsOneProgram) {
  std::unique_ptr<Kernel> kernel = Host();
  ASSERT_NE(kernel, nullptr);
  const std::vector<Trace> traces =
      RunDisturbed(kernel.get(), programs(), [&] { Disturb(SIGKILL); });
  ExpectOneLost(traces, programs(), wire::End::kKilled, SIGKILL);
}

TEST_P(DisturbanceTest, AKilledSupervisorCostsNothing) {
  std::unique_ptr<Kernel> kernel = Host();
  ASSERT_NE(kernel, nullptr);
  const std::vector<Trace> traces = RunDisturbed(kernel.get(), programs(), [&] {
    ASSERT_TRUE(copy_.AwaitProcesses(4));
    absl::SleepFor(absl::Milliseconds(20));
    // The second: the supervisor. The first only waits for it.
    kill(copy_.Processes()[1], SIGKILL);
  });
  ASSERT_EQ(traces.size(), programs().size());
  for (const Trace& trace : traces) {
    EXPECT_EQ(trace.end, wire::End::kCompleted);
  }
  kernel = nullptr;
  EXPECT_TRUE(copy_.AwaitNone());
}

INSTANTIATE_TEST_SUITE_P(Tasks, DisturbanceTest, ::testing::Bool(),
                         [](const ::testing::TestParamInfo<bool>& info) {
                           return info.param ? "Several" : "One";
                         });

// Segments that this namespace has, by id.
std::set<int> Segments() {
  std::set<int> ids;
  shm_info info;
  const int last = shmctl(0, SHM_INFO, reinterpret_cast<shmid_ds*>(&info));
  for (int i = 0; i <= last; ++i) {
    shmid_ds segment;
    if (const int id = shmctl(i, SHM_STAT, &segment); id >= 0) ids.insert(id);
  }
  return ids;
}

struct Killing {
  const char* name;
  bool as_nobody;
  bool several_tasks;
  // Which of the executor's processes is killed; -1: the one that started it.
  int victim;
};
constexpr Killing kKillings[] = {
    {"ParentOfOneTask", false, false, -1},
    {"ParentOfSeveral", false, true, -1},
    {"ParentOfSeveralAsNobody", true, true, -1},
    {"ParentOfOneTaskAsNobody", true, false, -1},
    {"FirstProcess", false, true, 0},
    {"Supervisor", false, true, 1},
};

class KillingTest : public ::testing::TestWithParam<Killing> {};

// Runs the programs over and over again until it is killed.
[[noreturn]] void RunForEver(const Killing& killing) {
  if (killing.as_nobody && (setgid(65534) != 0 || setuid(65534) != 0)) {
    _exit(3);
  }
  absl::StatusOr<std::unique_ptr<Kernel>> kernel = MakeHostKernel({});
  if (!kernel.ok()) _exit(4);
  const std::vector<Program> programs(
      8, killing.several_tasks ? LongWithTasks() : Long());
  while ((*kernel)->Run(programs).ok()) {
  }
  _exit(5);
}

TEST_P(KillingTest, LeavesNothingBehind) {
  const Killing& killing = GetParam();
  if ((killing.as_nobody || killing.victim >= 0) && geteuid() != 0) {
    GTEST_SKIP() << "only root changes its user and has namespaces to lose";
  }
  ExecutorCopy copy;
  const std::set<int> before = Segments();
  const pid_t parent = fork();
  ASSERT_GE(parent, 0);
  if (parent == 0) RunForEver(killing);
  ASSERT_TRUE(copy.AwaitProcesses(4));
  absl::SleepFor(absl::Milliseconds(100));
  if (killing.victim >= 0) {
    kill(copy.Processes()[killing.victim], SIGKILL);
    absl::SleepFor(absl::Milliseconds(50));
  }
  kill(parent, SIGKILL);
  int status = 0;
  ASSERT_EQ(waitpid(parent, &status, 0), parent);
  EXPECT_TRUE(WIFSIGNALED(status)) << "exit status " << WEXITSTATUS(status);
  EXPECT_TRUE(copy.AwaitNone());
  EXPECT_EQ(Segments(), before);
}

INSTANTIATE_TEST_SUITE_P(Victims, KillingTest, ::testing::ValuesIn(kKillings),
                         [](const ::testing::TestParamInfo<Killing>& info) {
                           return std::string(info.param.name);
                         });

TEST(ExecutorSafetyTest, ProcessesThatRunProgramsAreConfined) {
  ExecutorCopy copy;
  std::unique_ptr<Kernel> kernel = Host();
  ASSERT_NE(kernel, nullptr);
  const std::vector<pid_t> pids = copy.Processes();
  ASSERT_EQ(pids.size(), 3);
  const pid_t spawner = pids.back();
  EXPECT_EQ(StatusLine(spawner, "Seccomp"), "2");
  EXPECT_EQ(StatusLine(spawner, "NoNewPrivs"), "1");
  EXPECT_EQ(StatusLine(spawner, "Cpus_allowed_list").find_first_of(",-"),
            std::string::npos);
  // CAP_SETGID, CAP_SETUID, CAP_IPC_LOCK, CAP_SYS_ADMIN at most.
  uint64_t bounding;
  ASSERT_TRUE(absl::SimpleHexAtoi(StatusLine(spawner, "CapPrm"), &bounding));
  EXPECT_EQ(bounding & ~uint64_t{0x2040c0}, 0);
}

// A batch of Harmless, as bytes.
std::string HarmlessBatch() {
  absl::StatusOr<std::string> bytes = EncodeBatch(
      {Harmless()}, wire::Look::kPages, wire::Mode::kChildPerBatch, 2000);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  return *std::move(bytes);
}

template <typename T>
void Put(const T& value, size_t at, std::string* bytes) {
  std::memcpy(bytes->data() + at, &value, sizeof value);
}

TEST(ExecutorSafetyTest, ACorruptBatchIsRefused) {
  absl::StatusOr<std::string> path = FindExecutor();
  ASSERT_TRUE(path.ok()) << path.status();
  auto executor = ExecutorProcess::Start(*path);
  ASSERT_TRUE(executor.ok()) << executor.status();
  const std::string good = HarmlessBatch();
  constexpr size_t kProgram = sizeof(wire::BatchHeader);
  constexpr size_t kFirstStep = kProgram + sizeof(wire::ProgramHeader);
  std::vector<std::string> corrupt = {"", "x", std::string(100, '\xff'),
                                      good.substr(0, good.size() - 8),
                                      good + std::string(8, '\0')};
  auto with = [&](auto value, size_t at) {
    corrupt.push_back(good);
    Put(value, at, &corrupt.back());
  };
  with(uint32_t{0}, offsetof(wire::BatchHeader, magic));
  with(uint32_t{2}, offsetof(wire::BatchHeader, programs));
  with(uint32_t{7}, offsetof(wire::BatchHeader, look));
  with(uint32_t{7}, offsetof(wire::BatchHeader, mode));
  with(uint32_t{0}, offsetof(wire::BatchHeader, step_limit_ms));
  with(uint64_t{1} << 40, offsetof(wire::BatchHeader, bytes));
  with(uint64_t{1} << 40,
       kProgram + offsetof(wire::ProgramHeader, arena_pages));
  with(~uint32_t{0}, kProgram + offsetof(wire::ProgramHeader, steps));
  with(uint8_t{4}, kProgram + offsetof(wire::ProgramHeader, uid));
  with(uint8_t{200}, kFirstStep + offsetof(Step, op));
  with(uint8_t{3}, kFirstStep + offsetof(Step, during_count));
  with(uint8_t{9}, kFirstStep + offsetof(Step, addr) + offsetof(Address, base));
  for (size_t i = 0; i < corrupt.size(); ++i) {
    EXPECT_EQ((*executor)->Run(corrupt[i]).status().code(),
              absl::StatusCode::kInvalidArgument)
        << i;
  }
  absl::StatusOr<absl::string_view> result = (*executor)->Run(good);
  ASSERT_TRUE(result.ok()) << result.status();
  wire::ResultHeader header;
  std::memcpy(&header, result->data(), sizeof header);
  EXPECT_EQ(header.programs, 1);
}

TEST(ExecutorSafetyTest, WhatDoesNotFitTheResultIsSentAgain) {
  absl::StatusOr<std::string> path = FindExecutor();
  ASSERT_TRUE(path.ok()) << path.status();
  auto executor = ExecutorProcess::Start(*path);
  ASSERT_TRUE(executor.ok()) << executor.status();
  // About 80 MB of results.
  Program program = Parse("");
  program.config.arena_pages = wire::kMaxArenaPages;
  Step map;
  map.op = Op::kMmap;
  map.length = kPageSize;
  map.flags = 0x32;  // PRIVATE, FIXED, ANONYMOUS
  for (int i = 0; i < 128; ++i) {
    map.addr = Address::Arena(Vpn{static_cast<uint64_t>(2 * i)});
    map.prot = i % 4;
    program.steps.push_back(map);
  }
  const std::vector<Program> programs(300, program);
  absl::Span<const Program> rest = programs;
  int rounds = 0;
  while (!rest.empty()) {
    absl::StatusOr<std::string> batch =
        EncodeBatch(rest, wire::Look::kPages, wire::Mode::kChildPerBatch, 2000);
    ASSERT_TRUE(batch.ok()) << batch.status();
    absl::StatusOr<absl::string_view> result = (*executor)->Run(*batch);
    ASSERT_TRUE(result.ok()) << result.status();
    wire::ResultHeader header;
    std::memcpy(&header, result->data(), sizeof header);
    ASSERT_GT(header.programs, 0);
    absl::StatusOr<std::vector<Trace>> first =
        DecodeResult(rest.first(header.programs), wire::Look::kPages, *result);
    ASSERT_TRUE(first.ok()) << first.status();
    for (const Trace& trace : *first) {
      ASSERT_EQ(trace.end, wire::End::kCompleted);
    }
    rest.remove_prefix(header.programs);
    ++rounds;
  }
  EXPECT_GT(rounds, 1);
}

}  // namespace
}  // namespace lockstep
