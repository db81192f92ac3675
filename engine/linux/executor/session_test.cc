// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// A program begins as its header says and leaves nothing to the next one.

#include "engine/linux/executor/session.h"

#include <cerrno>
#include <cstdint>
#include <vector>

#include "engine/linux/executor/session_testing.h"
#include "engine/linux/wire.h"
#include "engine/outcome.h"
#include "engine/step.h"
#include "engine/uapi.h"
#include "engine/units.h"
#include "gtest/gtest.h"

#if defined(__has_feature)
#define LOCKSTEP_HAS_FEATURE(feature) __has_feature(feature)
#else
#define LOCKSTEP_HAS_FEATURE(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || LOCKSTEP_HAS_FEATURE(address_sanitizer)
#define LOCKSTEP_HAS_SHADOW 1
#else
#define LOCKSTEP_HAS_SHADOW 0
#endif

namespace lockstep::executor {
namespace {

Step Plain(Op op, uint32_t flags = 0) {
  Step step;
  step.op = op;
  step.flags = flags;
  return step;
}

// The first look of a program that does nothing after one that did something.
Seen SeenAfterAnother(const std::vector<Step>& first,
                      const std::vector<Step>& second) {
  std::vector<ProgramRun> runs = RunPrograms(TestHeader(), {first, second});
  EXPECT_EQ(runs.back().death, "");
  EXPECT_EQ(runs.size(), 2);
  EXPECT_TRUE(runs[0].undone);
  EXPECT_EQ(runs.back().begin_error, 0);
  return runs.back().seen.empty() ? Seen() : runs.back().seen.back();
}

TEST(SessionTest, AProgramBeginsWithNothing) {
  ProgramRun run = RunProgram(TestHeader(), {Step()});
  ASSERT_EQ(run.begin_error, 0);
  const Seen& seen = run.seen[0];
  EXPECT_TRUE(seen.ranges.empty());
  EXPECT_EQ(seen.task.locked_vm, 0);
  EXPECT_EQ(seen.task.brk, 0);
  EXPECT_EQ(seen.task.memlock_limit, 1 << 20);
  EXPECT_FALSE(seen.task.cap_ipc_lock);
  EXPECT_TRUE(seen.segments.empty());
}

TEST(SessionTest, TheCapabilityIsAsTheHeaderSays) {
  if (!MayLock()) GTEST_SKIP() << "no CAP_IPC_LOCK";
  wire::ProgramHeader header = TestHeader();
  header.cap_ipc_lock = 1;
  ProgramRun run = RunProgram(header, {Step()});
  ASSERT_EQ(run.begin_error, 0);
  EXPECT_TRUE(run.seen[0].task.cap_ipc_lock);
}

TEST(SessionTest, ACapabilityThatIsNotPermittedIsRefused) {
  if (MayLock()) GTEST_SKIP() << "CAP_IPC_LOCK is permitted here";
  wire::ProgramHeader header = TestHeader();
  header.cap_ipc_lock = 1;
  EXPECT_EQ(RunProgram(header, {}).begin_error, EPERM);
}

TEST(SessionTest, AnArenaThatIsTooLargeIsRefused) {
  wire::ProgramHeader header = TestHeader();
  header.arena_pages = wire::kMaxArenaPages + 1;
  EXPECT_EQ(RunProgram(header, {}).begin_error, EFBIG);
}

TEST(SessionTest, FilesThatAreTooLargeAreRefused) {
  wire::ProgramHeader header = TestHeader();
  header.file_size = (wire::kPopulateBudgetPages + 1) * kPageSize;
  EXPECT_EQ(RunProgram(header, {}).begin_error, EFBIG);
}

TEST(SessionTest, TheUserIsAsTheHeaderSaysAndTheNextOneIsNot) {
  if (!MaySetuid()) GTEST_SKIP() << "no CAP_SETUID";
  wire::ProgramHeader header = TestHeader();
  header.uid = 3;
  Step make = ShmStep(Op::kShmget, 0);
  make.length = kPageSize;
  std::vector<ProgramRun> runs =
      RunPrograms(header, {{make, MmapPages(0, 1), TouchPage(0)}, {Step()}});
  ASSERT_EQ(runs.size(), 2);
  ASSERT_EQ(runs[0].begin_error, 0);
  EXPECT_EQ(runs[0].seen[0].task.uid, 3);
  EXPECT_EQ(runs[0].seen[0].segments.at(0).owner, 3);
  // Frames are still seen by who opened pagemap as another user.
  EXPECT_TRUE(runs[0].seen[2].Present(0));
  EXPECT_TRUE(runs[0].undone);
  EXPECT_TRUE(runs[1].seen[0].segments.empty());
}

TEST(SessionTest, MappingsAreUndone) {
  Step place = MmapPages(0, 3);
  place.addr = Address::Raw(0);
  place.flags = uapi::kMapPrivate | uapi::kMapAnonymous;
  Step grow = Plain(Op::kBrk);
  grow.addr = Address::Heap(Vpn{7});
  Step heap = MmapPages(0, 1);
  heap.addr = Address::Heap(Vpn{20});
  Seen seen = SeenAfterAnother({MmapPages(0, 64), place, grow, heap}, {Step()});
  EXPECT_TRUE(seen.ranges.empty());
  EXPECT_EQ(seen.task.brk, 0);
}

TEST(SessionTest, LocksForTheFutureAreUndone) {
  Seen seen = SeenAfterAnother(
      {Plain(Op::kMlockall, uapi::kMclFuture), MmapPages(0, 1)},
      {MmapPages(0, 1)});
  EXPECT_EQ(seen.task.locked_vm, 0);
  EXPECT_FALSE(seen.task.future_locked);
}

TEST(SessionTest, WhatIsLockedForTheFutureIsKnown) {
  ProgramRun run = RunProgram(
      TestHeader(), {Plain(Op::kMlockall, uapi::kMclFuture | uapi::kMclOnfault),
                     Plain(Op::kMlockall, 64), Plain(Op::kMunlockall)});
  EXPECT_TRUE(run.seen[0].task.future_locked);
  EXPECT_TRUE(run.seen[0].task.future_onfault);
  EXPECT_EQ(run.outcomes[1], Outcome::Errno(EINVAL));
  EXPECT_TRUE(run.seen[1].task.future_locked);
  EXPECT_FALSE(run.seen[2].task.future_locked);
}

TEST(SessionTest, MlockallLocksTheImageTooAndThatIsSeen) {
  if (!MayLock()) GTEST_SKIP() << "no CAP_IPC_LOCK";
  if (LOCKSTEP_HAS_SHADOW) GTEST_SKIP() << "AddressSanitizer maps terabytes";
  wire::ProgramHeader header = TestHeader();
  header.cap_ipc_lock = 1;
  std::vector<ProgramRun> runs = RunPrograms(
      header,
      {{MmapPages(0, 5), Plain(Op::kMlockall, uapi::kMclCurrent)}, {Step()}});
  ASSERT_EQ(runs.size(), 2);
  const Seen& seen = runs[0].seen[1];
  EXPECT_EQ(seen.task.image_locked + 5, seen.task.locked_vm);
  EXPECT_GT(seen.task.image_locked, 0);
  EXPECT_TRUE(runs[0].looks_agree);
  EXPECT_TRUE(runs[0].undone);
  EXPECT_EQ(runs[1].seen[0].task.locked_vm, 0);
}

TEST(SessionTest, FilesAreUndone) {
  // A page that is still in the file would be mapped along with its neighbour.
  Seen seen =
      SeenAfterAnother({MmapFilePages(0, 4, 0), TouchPage(0), TouchPage(1),
                        OnPages(Op::kFtruncate, 0, 2)},
                       {MmapFilePages(0, 4, 0), TouchPage(1, /*write=*/false)});
  EXPECT_EQ(seen.At(0).eof, seen.At(0).end);
  EXPECT_FALSE(seen.Present(0));
  EXPECT_TRUE(seen.Present(1));
}

TEST(SessionTest, SegmentsAreUndone) {
  Step make = ShmStep(Op::kShmget, 0);
  make.length = kPageSize;
  Step attach = ShmStep(Op::kShmat, 0);
  attach.addr = Address::Arena(Vpn{5});
  Seen seen = SeenAfterAnother({make, attach}, {Step()});
  EXPECT_TRUE(seen.segments.empty());
  EXPECT_TRUE(seen.ranges.empty());
}

TEST(SessionTest, SecretsAreUndone) {
  Step make = OnPages(Op::kMemfdSecret, 0, 1);
  Step map = MmapFilePages(0, 1, 0);
  map.value = static_cast<uint32_t>(MmapSource::kSecret);
  std::vector<ProgramRun> runs =
      RunPrograms(TestHeader(), {{make, map}, {map, make}});
  ASSERT_EQ(runs.size(), 2);
  if (!runs[0].outcomes[0].ok()) GTEST_SKIP() << "no memfd_secret";
  EXPECT_EQ(runs[1].outcomes[0], Outcome::Errno(EBADF));
  EXPECT_EQ(runs[1].outcomes[1], Outcome::Ok(0));
}

TEST(SessionTest, ProgramsThatCannotBeUndoneNeedTheirOwnProcess) {
  for (Op op : {Op::kFork, Op::kExec, Op::kExit, Op::kSetuid}) {
    const Step steps[] = {OnPages(Op::kMlock, 0, 1), Plain(op)};
    EXPECT_TRUE(NeedsOwnProcess(steps, 2)) << InfoOf(op).name;
    EXPECT_FALSE(NeedsOwnProcess(steps, 1)) << InfoOf(op).name;
  }
}

}  // namespace
}  // namespace lockstep::executor
