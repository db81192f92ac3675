// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/linux/kernel.h"
#include "engine/linux/trace.h"
#include "engine/linux/wire.h"
#include "engine/outcome.h"
#include "engine/program.h"
#include "engine/units.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Program Parse(absl::string_view text) {
  absl::StatusOr<Program> program = ParseProgramText(text, "test");
  EXPECT_TRUE(program.ok()) << program.status();
  return *std::move(program);
}

// Pages 2 to 5 are mapped, private and anonymous.
constexpr char kMap[] = R"pb(
  steps {
    mmap {
      addr { page: 2 }
      length: 16384
      prot: [ READ, WRITE ]
      flags: [ PRIVATE, FIXED, ANONYMOUS ]
    }
  }
)pb";

class HostKernelTest : public ::testing::TestWithParam<wire::Mode> {
 protected:
  void SetUp() override {
    KernelOptions options;
    options.mode = GetParam();
    absl::StatusOr<std::unique_ptr<Kernel>> kernel = MakeHostKernel(options);
    ASSERT_TRUE(kernel.ok()) << kernel.status();
    kernel_ = *std::move(kernel);
  }
  bool Lacks(absl::string_view what) const {
    for (const std::string& line : kernel_->limitations()) {
      if (line.find(std::string(what)) != std::string::npos) return true;
    }
    return false;
  }
  Trace Run(const Program& program) {
    absl::StatusOr<std::vector<Trace>> traces = kernel_->Run({program});
    EXPECT_TRUE(traces.ok()) << traces.status();
    EXPECT_EQ(traces->size(), 1);
    return traces->front();
  }
  Trace Run(absl::string_view text) { return Run(Parse(text)); }

  std::unique_ptr<Kernel> kernel_;
};

std::vector<Outcome> Outcomes(const Trace& trace) {
  std::vector<Outcome> outcomes;
  for (const TracedStep& step : trace.steps) outcomes.push_back(step.outcome);
  return outcomes;
}

// VmLck of every task after every step; -1 for one that does not exist.
std::vector<std::vector<int>> LockedVm(const Trace& trace, int tasks) {
  std::vector<std::vector<int>> all;
  for (const TracedStep& step : trace.steps) {
    std::vector<int>& locked = all.emplace_back();
    for (int task = 0; task < tasks; ++task) {
      const TaskState& state = step.tasks[task].state;
      locked.push_back(state.exists ? static_cast<int>(state.locked_vm.n) : -1);
    }
  }
  return all;
}

TEST_P(HostKernelTest, LocksAndUnlocksPages) {
  const Trace trace = Run(std::string(kMap) +
                          R"pb(
                            steps {
                              mlock {
                                addr { page: 2 }
                                length: 8192
                              }
                            }
                            steps {
                              munlock {
                                addr { page: 3 }
                                length: 4096
                              }
                            }
                            steps {
                              mlock {
                                addr { page: 5 }
                                length: 8192
                              }
                            }
                          )pb");
  EXPECT_EQ(trace.end, wire::End::kCompleted);
  EXPECT_THAT(
      Outcomes(trace),
      ElementsAre(Outcome::Ok(kArenaBase + 2 * kPageSize), Outcome::Ok(),
                  Outcome::Ok(), Outcome::Errno(ENOMEM)));
  EXPECT_THAT(LockedVm(trace, 1), ElementsAre(ElementsAre(0), ElementsAre(2),
                                              ElementsAre(1), ElementsAre(2)));
  ASSERT_EQ(trace.steps.size(), 4);
  EXPECT_EQ(trace.steps[1].tasks[0].arena.present[0], 0b1100);
}

TEST_P(HostKernelTest, ForkedTasksAreProcessesWithoutTheParentsLocks) {
  const Trace trace = Run(std::string(kMap) +
                          R"pb(
                            steps {
                              mlock {
                                addr { page: 2 }
                                length: 8192
                              }
                            }
                            steps { fork { child: 3 } }
                            steps {
                              task: 3
                              mlock {
                                addr { page: 2 }
                                length: 16384
                              }
                            }
                            steps {
                              munlock {
                                addr { page: 2 }
                                length: 4096
                              }
                            }
                            steps {
                              task: 3
                              exit {}
                            }
                            steps {
                              task: 3
                              munlockall {}
                            }
                          )pb");
  EXPECT_EQ(trace.end, wire::End::kCompleted);
  EXPECT_THAT(Outcomes(trace),
              ElementsAre(Outcome::Ok(kArenaBase + 2 * kPageSize),
                          Outcome::Ok(), Outcome::Ok(3), Outcome::Ok(),
                          Outcome::Ok(), Outcome::Ok(), Outcome::Skipped()));
  EXPECT_THAT(
      LockedVm(trace, 4),
      ElementsAre(ElementsAre(0, -1, -1, -1), ElementsAre(2, -1, -1, -1),
                  ElementsAre(2, -1, -1, 0), ElementsAre(2, -1, -1, 4),
                  ElementsAre(1, -1, -1, 4), ElementsAre(1, -1, -1, -1),
                  ElementsAre(1, -1, -1, -1)));
}

TEST_P(HostKernelTest, TasksThatShareAnAddressSpaceShareItsLocks) {
  const Trace trace = Run(std::string(kMap) +
                          R"pb(
                            steps { fork { child: 1 share_vm: true } }
                            steps {
                              task: 1
                              mlock {
                                addr { page: 2 }
                                length: 8192
                              }
                            }
                            steps { exit {} }
                            steps {
                              task: 1
                              fork { child: 0 share_vm: true }
                            }
                            steps {
                              task: 1
                              mlockall { flags: [ FUTURE ] }
                            }
                          )pb");
  EXPECT_EQ(trace.end, wire::End::kCompleted);
  EXPECT_THAT(
      LockedVm(trace, 2),
      ElementsAre(ElementsAre(0, -1), ElementsAre(0, 0), ElementsAre(2, 2),
                  ElementsAre(-1, 2), ElementsAre(2, 2), ElementsAre(2, 2)));
  ASSERT_EQ(trace.steps.size(), 6);
  for (int step : {1, 2, 4, 5}) {
    EXPECT_EQ(trace.steps[step].tasks[0].state.mm,
              trace.steps[step].tasks[1].state.mm);
  }
  EXPECT_TRUE(trace.steps[5].tasks[0].state.future_locked);
}

TEST_P(HostKernelTest, ExecIsRealAndClearsTheAddressSpace) {
  const Trace trace = Run(std::string(kMap) +
                          R"pb(
                            steps { setrlimit { memlock: 8192 } }
                            steps {
                              mlock {
                                addr { page: 2 }
                                length: 8192
                              }
                            }
                            steps { fork { child: 1 share_vm: true } }
                            steps {
                              task: 1
                              exec {}
                            }
                            steps {
                              task: 1
                              touch { addr { page: 2 } }
                            }
                            steps {
                              task: 1
                              mmap {
                                addr { page: 2 }
                                length: 16384
                                prot: [ READ, WRITE ]
                                flags: [ PRIVATE, FIXED, ANONYMOUS ]
                              }
                            }
                            steps {
                              task: 1
                              mlock {
                                addr { page: 2 }
                                length: 12288
                              }
                            }
                          )pb");
  EXPECT_EQ(trace.end, wire::End::kCompleted);
  const Outcome mapped = Outcome::Ok(kArenaBase + 2 * kPageSize);
  EXPECT_THAT(Outcomes(trace),
              ElementsAre(mapped, Outcome::Ok(), Outcome::Ok(), Outcome::Ok(1),
                          Outcome::Ok(), Outcome::Signal(11), mapped,
                          Outcome::Errno(ENOMEM)));
  ASSERT_EQ(trace.steps.size(), 8);
  const TaskState& after = trace.steps[4].tasks[1].state;
  EXPECT_EQ(after.locked_vm.n, 0);
  EXPECT_EQ(after.memlock_limit, 8192);
  // The new image is the old one.
  EXPECT_EQ(after.total_vm, trace.start.tasks[0].state.total_vm);
  EXPECT_EQ(trace.steps[4].tasks[0].state.locked_vm.n, 2);
}

TEST_P(HostKernelTest, StepsWithoutATaskOrOnAFullSlotAreSkipped) {
  const Trace trace = Run(R"pb(
    steps { fork { child: 0 } }
    steps {
      task: 5
      munlockall {}
    }
    steps {}
    steps { drain {} }
    steps { exit {} }
    steps { munlockall {} }
  )pb");
  EXPECT_EQ(trace.end, wire::End::kCompleted);
  EXPECT_THAT(
      Outcomes(trace),
      ElementsAre(Outcome::Skipped(), Outcome::Skipped(), Outcome::Skipped(),
                  Outcome::Unsupported(), Outcome::Ok(), Outcome::Skipped()));
}

TEST_P(HostKernelTest, SegmentsOfOneProgramAreGoneInTheNext) {
  const char kSegment[] = R"pb(
    steps { shmget { shm: 1 size: 8192 } }
    steps {
      shmat {
        shm: 1
        addr { page: 4 }
      }
    }
    steps { shmctl { shm: 1 command: LOCK } }
    steps { fork { child: 1 } }
  )pb";
  for (int i = 0; i < 2; ++i) {
    const Trace trace = Run(kSegment);
    EXPECT_EQ(trace.end, wire::End::kCompleted);
    ASSERT_EQ(trace.steps.size(), 4);
    EXPECT_TRUE(trace.steps[2].shm[1].locked);
    EXPECT_TRUE(trace.steps[3].outcome.ok());
    EXPECT_FALSE(trace.start.shm[1].exists);
  }
  const Trace trace = Run("steps { shmctl { shm: 1 command: LOCK } }");
  EXPECT_THAT(Outcomes(trace), ElementsAre(Outcome::Skipped()));
}

TEST_P(HostKernelTest, AProgramThatCannotBeHadIsRefusedAndTheOthersRun) {
  Program huge = Parse(kMap);
  huge.config.arena_pages = wire::kMaxArenaPages + 1;
  Program unlimited = Parse(kMap);
  unlimited.config.memlock_limit = kRlimInfinity;
  Program hugetlb = Parse(kMap);
  hugetlb.config.nr_hugepages = 4;
  const Program good = Parse(kMap);
  absl::StatusOr<std::vector<Trace>> traces =
      kernel_->Run({good, huge, good, unlimited, hugetlb, good});
  ASSERT_TRUE(traces.ok()) << traces.status();
  std::vector<wire::End> ends;
  for (const Trace& trace : *traces) ends.push_back(trace.end);
  const wire::End limited =
      Lacks("RLIMIT_MEMLOCK") ? wire::End::kRefused : wire::End::kCompleted;
  EXPECT_THAT(ends, ElementsAre(wire::End::kCompleted, wire::End::kRefused,
                                wire::End::kCompleted, limited,
                                wire::End::kRefused, wire::End::kCompleted));
}

TEST_P(HostKernelTest, AChangedUserAndCapabilityEndWithTheProgram) {
  if (Lacks("CAP_SETUID") || Lacks("CAP_IPC_LOCK")) {
    GTEST_SKIP() << "needs CAP_SETUID and CAP_IPC_LOCK";
  }
  const Trace trace = Run(R"pb(
    config { cap_ipc_lock: true memlock_limit: 0 }
    steps {
      mmap {
        addr { page: 2 }
        length: 16384
        prot: [ READ, WRITE ]
        flags: [ PRIVATE, FIXED, ANONYMOUS ]
      }
    }
    steps { setuid { uid: 2 } }
    steps {
      mlock {
        addr { page: 2 }
        length: 4096
      }
    }
    steps { exec {} }
    steps { setcap { ipc_lock: false } }
    steps { mlockall { flags: [ CURRENT ] } }
  )pb");
  EXPECT_EQ(trace.end, wire::End::kCompleted);
  ASSERT_EQ(trace.steps.size(), 6);
  EXPECT_EQ(trace.steps[2].outcome, Outcome::Ok());
  EXPECT_EQ(trace.steps[3].tasks[0].state.uid, 2);
  EXPECT_TRUE(trace.steps[3].tasks[0].state.cap_ipc_lock);
  EXPECT_EQ(trace.steps[5].outcome, Outcome::Errno(EPERM));
  const Trace next = Run("steps { mlockall { flags: [ CURRENT ] } }");
  EXPECT_EQ(next.start.tasks[0].state.uid, 0);
  EXPECT_THAT(Outcomes(next), ElementsAre(Outcome::Errno(ENOMEM)));
}

TEST_P(HostKernelTest, TheExecutorsTimesAddUp) {
  const Kernel::Times before = kernel_->times();
  Run(kMap);
  const Kernel::Times after = kernel_->times();
  EXPECT_GT(after.user + after.system, before.user + before.system);
}

INSTANTIATE_TEST_SUITE_P(Modes, HostKernelTest,
                         ::testing::Values(wire::Mode::kChildPerBatch,
                                           wire::Mode::kProcessPerProgram),
                         [](const ::testing::TestParamInfo<wire::Mode>& info) {
                           return info.param == wire::Mode::kChildPerBatch
                                      ? "ChildPerBatch"
                                      : "ProcessPerProgram";
                         });

TEST(MakeKernelTest, RefusesOtherNames) {
  absl::StatusOr<std::unique_ptr<Kernel>> kernel = MakeKernel("hosts", {});
  EXPECT_EQ(kernel.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(kernel.status().message()), HasSubstr("\"hosts\""));
}

TEST(FindExecutorTest, SaysWhatTheEnvironmentNamesInVain) {
  setenv("LOCKSTEP_EXECUTOR", "/nonexistent/executor", 1);
  absl::StatusOr<std::unique_ptr<Kernel>> kernel = MakeHostKernel({});
  unsetenv("LOCKSTEP_EXECUTOR");
  EXPECT_EQ(kernel.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(kernel.status().message()),
              HasSubstr("/nonexistent/executor"));
}

TEST(FindExecutorTest, AProgramThatIsNoExecutorIsSaidToBeNone) {
  setenv("LOCKSTEP_EXECUTOR", "/bin/true", 1);
  absl::StatusOr<std::unique_ptr<Kernel>> kernel = MakeHostKernel({});
  unsetenv("LOCKSTEP_EXECUTOR");
  EXPECT_EQ(kernel.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(kernel.status().message()), HasSubstr("/bin/true"));
}

}  // namespace
}  // namespace lockstep
