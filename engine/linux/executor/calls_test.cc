// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// What steps return, by the kernel underneath.

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <vector>

#include "engine/linux/executor/session_testing.h"
#include "engine/linux/wire.h"
#include "engine/outcome.h"
#include "engine/range.h"
#include "engine/step.h"
#include "engine/uapi.h"
#include "engine/units.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep {
// For messages of failed tests.
void PrintTo(const Outcome& outcome, std::ostream* out) {
  *out << DebugString(outcome);
}
}  // namespace lockstep

namespace lockstep::executor {
namespace {

using ::testing::ElementsAre;

std::vector<Outcome> OutcomesOf(
    const std::vector<Step>& steps,
    const wire::ProgramHeader& header = TestHeader()) {
  ProgramRun run = RunProgram(header, steps);
  EXPECT_EQ(run.death, "");
  EXPECT_EQ(run.begin_error, 0);
  EXPECT_TRUE(run.undone);
  return run.outcomes;
}

int64_t ArenaPage(uint64_t page) {
  return static_cast<int64_t>(kArenaBase + page * kPageSize);
}

Step BrkTo(uint64_t heap_page) {
  Step step;
  step.op = Op::kBrk;
  step.addr = Address::Heap(Vpn{heap_page});
  return step;
}

TEST(CallsTest, MmapReturnsTheModelsAddress) {
  EXPECT_THAT(OutcomesOf({MmapPages(3, 2)}),
              ElementsAre(Outcome::Ok(ArenaPage(3))));
}

TEST(CallsTest, MlockStopsAtAHole) {
  EXPECT_THAT(OutcomesOf({MmapPages(0, 2), OnPages(Op::kMlock, 0, 2),
                          OnPages(Op::kMlock, 0, 3)}),
              ElementsAre(Outcome::Ok(ArenaPage(0)), Outcome::Ok(),
                          Outcome::Errno(ENOMEM)));
}

TEST(CallsTest, MlockOverTheLimitIsRefused) {
  wire::ProgramHeader header = TestHeader();
  header.memlock_limit = 2 * kPageSize;
  EXPECT_THAT(OutcomesOf({MmapPages(0, 3), OnPages(Op::kMlock, 0, 3),
                          OnPages(Op::kMlock, 0, 2)},
                         header),
              ElementsAre(Outcome::Ok(ArenaPage(0)), Outcome::Errno(ENOMEM),
                          Outcome::Ok()));
}

TEST(CallsTest, SetrlimitMovesTheLimit) {
  Step none;
  none.op = Op::kSetrlimit;
  EXPECT_THAT(OutcomesOf({MmapPages(0, 1), none, OnPages(Op::kMlock, 0, 1)}),
              ElementsAre(Outcome::Ok(ArenaPage(0)), Outcome::Ok(),
                          Outcome::Errno(EPERM)));
}

TEST(CallsTest, SetcapGivesAndTakesTheCapability) {
  if (!MayLock()) GTEST_SKIP() << "no CAP_IPC_LOCK";
  wire::ProgramHeader header = TestHeader();
  header.memlock_limit = 0;
  Step give, take;
  give.op = take.op = Op::kSetcap;
  give.value = 1;
  Step lock = OnPages(Op::kMlock, 0, 1);
  EXPECT_THAT(
      OutcomesOf({MmapPages(0, 1), lock, give, lock, take, lock}, header),
      ElementsAre(Outcome::Ok(ArenaPage(0)), Outcome::Errno(EPERM),
                  Outcome::Ok(), Outcome::Ok(), Outcome::Ok(),
                  Outcome::Errno(EPERM)));
}

TEST(CallsTest, BrkReturnsTheBreakMovedOrNot) {
  Step below;
  below.op = Op::kBrk;
  below.addr = Address::Raw(kHeapBase - 1);
  Step far;
  far.op = Op::kBrk;
  far.addr = Address::Raw(~uint64_t{0});
  EXPECT_THAT(
      OutcomesOf({BrkTo(3), below, far, BrkTo(1), BrkTo(0)}),
      ElementsAre(Outcome::Ok(static_cast<int64_t>(kHeapBase + 3 * kPageSize)),
                  Outcome::Ok(static_cast<int64_t>(kHeapBase + 3 * kPageSize)),
                  Outcome::Ok(static_cast<int64_t>(kHeapBase + 3 * kPageSize)),
                  Outcome::Ok(static_cast<int64_t>(kHeapBase + kPageSize)),
                  Outcome::Ok(static_cast<int64_t>(kHeapBase))));
}

TEST(CallsTest, TheHeapIsWrittenWhereTheBreakIs) {
  Step touch;
  touch.op = Op::kTouch;
  touch.addr = Address::Heap(Vpn{2});
  touch.value = 1;
  EXPECT_THAT(OutcomesOf({touch, BrkTo(3), touch})[0],
              Outcome::Signal(SIGSEGV));
  EXPECT_THAT(OutcomesOf({touch, BrkTo(3), touch})[2], Outcome::Ok());
}

TEST(CallsTest, ATouchRaisesWhatTheKernelRaises) {
  Step nowhere = TouchPage(9);
  Step kernel = TouchPage(0);
  kernel.addr = Address::Raw(uint64_t{0xffff} << 48);
  Step read_only = MmapPages(4, 1);
  read_only.prot = uapi::kProtRead;
  Step cut = OnPages(Op::kFtruncate, 0, 1);
  EXPECT_THAT(
      OutcomesOf({nowhere, kernel, read_only, TouchPage(4, false),
                  TouchPage(4, true), MmapFilePages(0, 2, 0), cut, TouchPage(0),
                  TouchPage(1)}),
      ElementsAre(Outcome::Signal(SIGSEGV), Outcome::Signal(SIGSEGV),
                  Outcome::Ok(ArenaPage(4)), Outcome::Ok(),
                  Outcome::Signal(SIGSEGV), Outcome::Ok(ArenaPage(0)),
                  Outcome::Ok(), Outcome::Ok(), Outcome::Signal(SIGBUS)));
}

TEST(CallsTest, SegmentStepsOnTheWrongSlotAreSkipped) {
  Step make = ShmStep(Op::kShmget, 2);
  make.length = 2 * kPageSize;
  Step attach = ShmStep(Op::kShmat, 2);
  attach.addr = Address::Arena(Vpn{5});
  Step remove = ShmStep(Op::kShmctl, 2);
  EXPECT_THAT(OutcomesOf({attach, remove, make, make, attach, remove}),
              ElementsAre(Outcome::Skipped(), Outcome::Skipped(),
                          Outcome::Ok(2), Outcome::Skipped(),
                          Outcome::Ok(ArenaPage(5)), Outcome::Ok()));
}

TEST(CallsTest, ARemovedSegmentsSlotIsEmptyAfterTheLastDetach) {
  Step make = ShmStep(Op::kShmget, 0);
  make.length = kPageSize;
  Step attach = ShmStep(Op::kShmat, 0);
  attach.addr = Address::Arena(Vpn{5});
  Step remove = ShmStep(Op::kShmctl, 0);
  EXPECT_THAT(
      OutcomesOf(
          {make, attach, remove, make, OnPages(Op::kMunmap, 5, 1), make}),
      ElementsAre(Outcome::Ok(0), Outcome::Ok(ArenaPage(5)), Outcome::Ok(),
                  Outcome::Skipped(), Outcome::Ok(), Outcome::Ok(0)));
}

TEST(CallsTest, ASegmentIsRefusedBytesOfZero) {
  EXPECT_THAT(OutcomesOf({ShmStep(Op::kShmget, 0)}),
              ElementsAre(Outcome::Errno(EINVAL)));
}

TEST(CallsTest, ASecretIsMappedOnceItIsMade) {
  Step map = MmapFilePages(0, 1, 1);
  map.value = static_cast<uint32_t>(MmapSource::kSecret);
  Step make = OnPages(Op::kMemfdSecret, 0, 1);
  make.slot = 1;
  std::vector<Outcome> outcomes =
      OutcomesOf({map, make, make, map, OnPages(Op::kMlock, 0, 1)});
  EXPECT_EQ(outcomes[0], Outcome::Errno(EBADF));
  if (outcomes[1].Is(ENOSYS)) GTEST_SKIP() << "no memfd_secret";
  EXPECT_EQ(outcomes[1], Outcome::Ok(1));
  EXPECT_EQ(outcomes[2], Outcome::Skipped());
  EXPECT_EQ(outcomes[3], Outcome::Ok(ArenaPage(0)));
  EXPECT_EQ(outcomes[4], Outcome::Errno(ENOMEM));
}

TEST(CallsTest, AnotherUserMayNotLockTheSegment) {
  if (!MaySetuid()) GTEST_SKIP() << "no CAP_SETUID";
  Step make = ShmStep(Op::kShmget, 0);
  make.length = kPageSize;
  Step become = ShmStep(Op::kSetuid, 2);
  Step lock = ShmStep(Op::kShmctl, 0);
  lock.flags = uapi::kShmLock;
  Step back = ShmStep(Op::kSetuid, 0);
  ProgramRun run = RunProgram(TestHeader(), {make, lock, become, lock, back});
  EXPECT_THAT(run.outcomes,
              ElementsAre(Outcome::Ok(0), Outcome::Ok(), Outcome::Ok(),
                          Outcome::Errno(EPERM), Outcome::Ok()));
  EXPECT_EQ(run.seen[3].task.uid, 2);
  EXPECT_EQ(run.seen[3].segments[0].owner, 0);
  EXPECT_TRUE(run.undone);
}

TEST(CallsTest, AStepOutOfBoundsHasNoEffect) {
  ProgramRun run =
      RunProgram(TestHeader(), {MmapPages(63, 2), OnPages(Op::kFork, 0, 0)});
  EXPECT_THAT(run.outcomes,
              ElementsAre(Outcome::Unsupported(), Outcome::Unsupported()));
  EXPECT_TRUE(run.seen[0].ranges.empty());
}

TEST(CallsTest, AStepWithoutACallIsSkipped) {
  EXPECT_THAT(OutcomesOf({Step()}), ElementsAre(Outcome::Skipped()));
}

TEST(CallsTest, MincoreWritesNothingThatIsTheProgramsOwn) {
  EXPECT_THAT(OutcomesOf({MmapPages(0, 64), OnPages(Op::kMincore, 0, 64),
                          OnPages(Op::kMincore, 0, 65)}),
              ElementsAre(Outcome::Ok(ArenaPage(0)), Outcome::Ok(),
                          Outcome::Errno(ENOMEM)));
}

TEST(CallsTest, MremapReturnsTheModelsAddress) {
  Step move = OnPages(Op::kMremap, 0, 1);
  move.length2 = 2 * kPageSize;
  move.flags = uapi::kMremapMaymove | uapi::kMremapFixed;
  move.new_addr = Address::Arena(Vpn{8});
  EXPECT_THAT(
      OutcomesOf({MmapPages(0, 1), move}),
      ElementsAre(Outcome::Ok(ArenaPage(0)), Outcome::Ok(ArenaPage(8))));
}

}  // namespace
}  // namespace lockstep::executor
