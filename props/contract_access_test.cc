// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// madvise, msync, mincore, touch and ftruncate.

#include <cerrno>
#include <csignal>

#include "gtest/gtest.h"
#include "props/contract_testing.h"

namespace lockstep::contracts {
namespace {

const Outcome kOk = Outcome::Ok();
const Outcome kEagain = Outcome::Errno(EAGAIN);
const Outcome kEnomem = Outcome::Errno(ENOMEM);
const Outcome kEinval = Outcome::Errno(EINVAL);
const Outcome kSegv = Outcome::Signal(SIGSEGV);
const Outcome kBus = Outcome::Signal(SIGBUS);

TEST(TouchOutcomeTest, ExecuteOnlyMemoryIsReadWithoutProtectionKeysOnly) {
  Case c(Op::kTouch);
  c.Over(0, 1);
  c.Map(0, 1, kRangeExec);
  EXPECT_TRUE(c.Holds("touch-outcome", kOk));
  EXPECT_FALSE(c.Holds("touch-outcome", kSegv));
  c.config.protection_keys = true;
  EXPECT_TRUE(c.Holds("touch-outcome", kSegv));
  EXPECT_FALSE(c.Holds("touch-outcome", kOk));
  c.Use("v3.12");
  EXPECT_TRUE(c.Holds("touch-outcome", kOk));
}

TEST(MsyncErrnoTest, ASecretHasNoFsync) {
  Case c(Op::kMsync);
  c.Over(0, 2);
  c.step.flags = uapi::kMsSync;
  c.Map(0, 1, kRangeRead | kRangeShared | kRangeSecret | kRangeLocked);
  EXPECT_TRUE(c.Holds("msync-errno", kEinval));
  EXPECT_FALSE(c.Holds("msync-errno", kEnomem));
  c.step.flags = uapi::kMsAsync;
  EXPECT_TRUE(c.Holds("msync-errno", kEnomem));
  EXPECT_FALSE(c.Holds("msync-errno", kEinval));
}

TEST(MsyncErrnoTest, TheSecretOrTheLockedMemoryDecidesThatComesFirst) {
  Case c(Op::kMsync);
  c.Over(0, 3);
  c.step.flags = uapi::kMsSync | uapi::kMsInvalidate;
  c.Map(0, 1, kRangeRead | kRangeShared | kRangeSecret);
  c.Map(2, 1, kPlain | kRangeLocked);
  EXPECT_TRUE(c.Holds("msync-errno", kEinval));
  EXPECT_FALSE(c.Holds("msync-errno", Outcome::Errno(EBUSY)));
  c.Over(2, 3);
  c.Map(4, 1, kRangeRead | kRangeShared | kRangeSecret);
  EXPECT_TRUE(c.Holds("msync-errno", Outcome::Errno(EBUSY)));
  EXPECT_FALSE(c.Holds("msync-errno", kEinval));
}

TEST(MadviseErrnoTest, DiscardingLockedMemoryIsEinval) {
  for (uint32_t advice :
       {uapi::kMadvDontneed, uapi::kMadvFree, uapi::kMadvRemove}) {
    Case c(Op::kMadvise);
    c.Over(0, 4);
    c.step.flags = advice;
    c.Map(2, 2, kPlain | kRangeLocked);
    EXPECT_TRUE(c.Holds("madvise-errno", kEinval)) << advice;
    EXPECT_FALSE(c.Holds("madvise-errno", kOk)) << advice;
  }
}

TEST(MadviseErrnoTest, RemoveOfHugetlbMemoryIsOfSharedMemoryFrom43On) {
  const uint32_t kHuge = kPlain | kRangeHugetlb | kRangeSpecial;
  const Outcome kEacces = Outcome::Errno(EACCES);
  Case c(Op::kMadvise);
  c.Over(0, 16);
  c.step.flags = uapi::kMadvRemove;
  c.Map(0, 16, kHuge);
  EXPECT_TRUE(c.Holds("madvise-errno", kEacces));
  EXPECT_FALSE(c.Holds("madvise-errno", kEinval));
  EXPECT_FALSE(c.Holds("madvise-errno", kOk));
  c.Map(0, 16, kHuge | kRangeShared);
  EXPECT_TRUE(c.Holds("madvise-errno", kOk));
  EXPECT_FALSE(c.Holds("madvise-errno", kEinval));
  EXPECT_FALSE(c.Holds("madvise-errno", kEacces));
  c.Use("v3.12");
  EXPECT_TRUE(c.Holds("madvise-errno", kEinval));
  EXPECT_FALSE(c.Holds("madvise-errno", kOk));
}

TEST(MadviseErrnoTest, AHoleIsEnomemAfterTheWalk) {
  Case c(Op::kMadvise);
  c.Over(0, 4);
  c.step.flags = uapi::kMadvDontneed;
  c.Map(2, 2, kPlain);
  EXPECT_TRUE(c.Holds("madvise-errno", kEnomem));
  EXPECT_FALSE(c.Holds("madvise-errno", kOk));
}

TEST(MadviseErrnoTest, UnknownAdviceIsEinval) {
  Case c(Op::kMadvise);
  c.Over(0, 1);
  c.Map(0, 1, kPlain);
  c.step.flags = uapi::kMadvFree;
  EXPECT_TRUE(c.Holds("madvise-errno", kOk));
  c.Use("v3.12");
  EXPECT_TRUE(c.Holds("madvise-errno", kEinval));
  EXPECT_FALSE(c.Holds("madvise-errno", kOk));
  c.step.flags = 24;  // MADV_DONTNEED_LOCKED, 5.18
  EXPECT_TRUE(c.Holds("madvise-errno", kEinval));
}

TEST(MadviseErrnoTest, AVmaTooManyIsEagain) {
  Case c(Op::kMadvise);
  c.Over(0, 1);
  c.Map(0, 2, kPlain);
  c.step.flags = uapi::kMadvDontfork;
  EXPECT_FALSE(c.Holds("madvise-errno", kEagain));
  c.config.max_map_count = 2;
  EXPECT_TRUE(c.Holds("madvise-errno", kEagain));
  EXPECT_FALSE(c.Holds("madvise-errno", kEnomem));
}

TEST(MadviseEffectTest, DontneedActsUpToTheFirstLockedVma) {
  Case c(Op::kMadvise);
  c.Over(0, 4);
  c.step.flags = uapi::kMadvDontneed;
  c.Map(0, 2, kPlain);
  c.Map(2, 2, kPlain | kRangeLocked);
  c.outcome = kEinval;
  EXPECT_TRUE(c.Holds("madvise-effect"));
  c.engine.Fill(0, Page(2), Page(4));
  EXPECT_TRUE(c.Holds("madvise-effect"));
  c.engine.Fill(0, Page(0), Page(2));
  EXPECT_FALSE(c.Holds("madvise-effect"));
  c.engine.Fill(0, Page(0), Page(2), {.present = true, .unseen = true});
  EXPECT_TRUE(c.Holds("madvise-effect"));
}

TEST(MadviseEffectTest, ChangesNoLock) {
  Case c(Op::kMadvise);
  c.Over(0, 2);
  c.step.flags = uapi::kMadvHugepage;
  c.Map(0, 2, kPlain | kRangeLocked);
  EXPECT_TRUE(c.Holds("madvise-effect"));
  Set(&c.is(), 0, 2, kPlain);
  EXPECT_FALSE(c.Holds("madvise-effect"));
}

TEST(MadviseKeepsLockedTest, LockedPagesStay) {
  Case c(Op::kMadvise);
  c.Over(0, 2);
  c.step.flags = uapi::kMadvDontneed;
  c.Map(0, 2, kPlain | kRangeLocked);
  c.engine.Fill(0, Page(0), Page(2));
  c.Prepare("madvise-keeps-locked");
  c.outcome = kEinval;
  EXPECT_TRUE(c.Holds("madvise-keeps-locked"));
  c.engine.pages.clear();
  EXPECT_FALSE(c.Holds("madvise-keeps-locked"));
}

TEST(MsyncErrnoTest, InvalidateOfLockedMemoryIsEbusy) {
  Case c(Op::kMsync);
  c.Over(0, 4);
  c.step.flags = uapi::kMsInvalidate;
  c.Map(1, 2, kPlain | kRangeLocked);
  EXPECT_TRUE(c.Holds("msync-errno", Outcome::Errno(EBUSY)));
  EXPECT_FALSE(c.Holds("msync-errno", kEnomem));
  c.step.flags = uapi::kMsSync;
  EXPECT_TRUE(c.Holds("msync-errno", kEnomem));
  c.Over(1, 2);
  EXPECT_TRUE(c.Holds("msync-errno", kOk));
  c.step.flags = uapi::kMsSync | uapi::kMsAsync;
  EXPECT_TRUE(c.Holds("msync-errno", kEinval));
}

TEST(MincoreErrnoTest, HolesAreEnomem) {
  Case c(Op::kMincore);
  c.Over(0, 2);
  c.Map(0, 1, kPlain);
  EXPECT_TRUE(c.Holds("mincore-errno", kEnomem));
  EXPECT_FALSE(c.Holds("mincore-errno", kOk));
  c.step.addr = At(0, 1);
  EXPECT_TRUE(c.Holds("mincore-errno", kEinval));
}

TEST(LookingChangesNothingTest, SeesAChargeThatMoves) {
  Case c(Op::kMincore);
  c.Map(0, 1, kPlain | kRangeLocked);
  EXPECT_TRUE(c.Holds("looking-changes-nothing"));
  c.is().locked_vm = Pages{2};
  EXPECT_FALSE(c.Holds("looking-changes-nothing"));
}

Case TouchCase(uint64_t page, bool write) {
  Case c(Op::kTouch);
  c.step.addr = At(page, 5);
  c.step.value = write ? 1 : 0;
  return c;
}

TEST(TouchOutcomeTest, AccessDecides) {
  Case c = TouchCase(0, true);
  EXPECT_TRUE(c.Holds("touch-outcome", kSegv));
  EXPECT_FALSE(c.Holds("touch-outcome", kOk));
  c.Map(0, 2, kRangeRead | kRangeFile);
  EXPECT_TRUE(c.Holds("touch-outcome", kSegv));
  c.step.value = 0;
  EXPECT_TRUE(c.Holds("touch-outcome", kOk));
  EXPECT_FALSE(c.Holds("touch-outcome", kSegv));
  c.was().ranges[0].eof = Page(0);
  EXPECT_TRUE(c.Holds("touch-outcome", kBus));
  EXPECT_FALSE(c.Holds("touch-outcome", kOk));
}

TEST(TouchOutcomeTest, LockedStackGrowsWithinTheLimitOnly) {
  Case c = TouchCase(20, true);
  c.Map(30, 6, kPlain | kRangeGrowsdown | kRangeLocked);
  EXPECT_TRUE(c.Holds("touch-outcome", kOk));
  c.step.addr = At(19);  // 11 + 6 pages
  EXPECT_FALSE(c.Holds("touch-outcome", kOk));
  EXPECT_TRUE(c.Holds("touch-outcome", kSegv));
}

TEST(TouchOutcomeTest, WantOfMemoryMayEndInAnySignal) {
  Case c = TouchCase(0, true);
  c.Map(0, 1, kPlain);
  EXPECT_FALSE(c.Holds("touch-outcome", Outcome::Signal(SIGKILL)));
  c.events.allocation_failed = true;
  EXPECT_TRUE(c.Holds("touch-outcome", Outcome::Signal(SIGKILL)));
}

TEST(TouchEffectTest, OnlyAStackGrows) {
  Case c = TouchCase(4, true);
  c.Map(6, 2, kPlain | kRangeGrowsdown | kRangeLocked);
  EXPECT_TRUE(c.Holds("touch-effect"));
  Set(&c.is(), 4, 4, kPlain | kRangeGrowsdown | kRangeLocked);
  EXPECT_TRUE(c.Holds("touch-effect"));
  Set(&c.is(), 3, 5, kPlain | kRangeGrowsdown | kRangeLocked);
  EXPECT_FALSE(c.Holds("touch-effect"));  // a page too many
  Set(&c.is(), 3, 1, 0);
  c.is().locked_vm = Pages{2};  // D16
  EXPECT_FALSE(c.Holds("touch-effect"));
}

TEST(TouchEffectTest, AGuardPageInsideTheStackMakesItGrowOneMore) {
  Case c = TouchCase(4, true);
  c.Use("v3.12");
  c.Map(6, 2, kPlain | kRangeGrowsdown);
  Set(&c.is(), 3, 5, kPlain | kRangeGrowsdown);
  EXPECT_TRUE(c.Holds("touch-effect"));
  Set(&c.is(), 2, 6, kPlain | kRangeGrowsdown);
  EXPECT_FALSE(c.Holds("touch-effect"));
}

TEST(TouchEffectTest, GrowthPastTheLimitIsSeen) {
  Case c = TouchCase(19, true);
  c.Map(30, 6, kPlain | kRangeGrowsdown | kRangeLocked);
  Set(&c.is(), 19, 17, kPlain | kRangeGrowsdown | kRangeLocked);
  EXPECT_FALSE(c.Holds("touch-effect"));
  c.was().cap_ipc_lock = c.is().cap_ipc_lock = true;
  EXPECT_TRUE(c.Holds("touch-effect"));
}

TEST(TouchResidencyTest, TheTouchedPageIsThere) {
  Case c = TouchCase(0, false);
  EXPECT_FALSE(c.Holds("touch-residency"));
  c.engine.Fill(0, Page(0), Page(1));
  EXPECT_TRUE(c.Holds("touch-residency"));
}

TEST(FtruncateEffectTest, SetsTheSizeAndKeepsCharges) {
  Case c(Op::kFtruncate);
  c.step.slot = 1;
  c.step.length = 4096;
  c.Map(0, 4, kPlain | kRangeFile | kRangeLocked);
  EXPECT_FALSE(c.Holds("ftruncate-effect"));
  c.after.file_size[1] = 4096;
  EXPECT_TRUE(c.Holds("ftruncate-effect"));
  c.is().locked_vm = Pages{1};
  EXPECT_FALSE(c.Holds("ftruncate-effect"));
}

}  // namespace
}  // namespace lockstep::contracts
