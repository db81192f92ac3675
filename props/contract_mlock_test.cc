// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include <cerrno>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "props/contract_testing.h"

namespace lockstep::contracts {
namespace {

const Outcome kOk = Outcome::Ok();
const Outcome kEnomem = Outcome::Errno(ENOMEM);
const Outcome kEinval = Outcome::Errno(EINVAL);
const Outcome kEperm = Outcome::Errno(EPERM);

Case MlockCase(uint64_t page, uint64_t pages) {
  Case c(Op::kMlock);
  c.Over(page, pages);
  return c;
}

TEST(MlockErrnoTest, MappedRangeWithinTheLimitSucceeds) {
  Case c = MlockCase(0, 4);
  c.Map(0, 4, kPlain);
  EXPECT_TRUE(c.Holds("mlock-errno", kOk));
  EXPECT_FALSE(c.Holds("mlock-errno", kEnomem));
}

TEST(MlockErrnoTest, MismatchNamesBothErrnos) {
  Case c = MlockCase(0, 4);
  c.outcome = kOk;
  Mismatch mismatch;
  EXPECT_FALSE(c.Holds("mlock-errno", &mismatch));
  EXPECT_EQ(mismatch.expected, "ENOMEM");
  EXPECT_EQ(mismatch.seen, "OK");
}

TEST(MlockErrnoTest, PermissionComesBeforeEverythingElse) {
  Case c = MlockCase(0, 0);
  c.was().memlock_limit = 0;
  EXPECT_TRUE(c.Holds("mlock-errno", kEperm));
  c.step.length = ~uint64_t{0} - 4095;
  EXPECT_TRUE(c.Holds("mlock-errno", kEperm));
  EXPECT_FALSE(c.Holds("mlock-errno", kEinval));
  c.was().cap_ipc_lock = true;
  EXPECT_TRUE(c.Holds("mlock-errno", kEinval));
  EXPECT_FALSE(c.Holds("mlock-errno", kEperm));
}

TEST(MlockErrnoTest, LimitBelowOnePageIsNotEperm) {
  Case c = MlockCase(0, 1);
  c.Map(0, 4, kPlain);
  c.was().memlock_limit = 4095;
  EXPECT_TRUE(c.Holds("mlock-errno", kEnomem));
  c.step.length = 0;
  EXPECT_TRUE(c.Holds("mlock-errno", kOk));
}

TEST(MlockErrnoTest, PagesAlreadyLockedAreNotChargedTwice) {
  Case c = MlockCase(0, 16);
  c.Map(0, 16, kPlain | kRangeLocked);
  EXPECT_TRUE(c.Holds("mlock-errno", kOk));
  EXPECT_FALSE(c.Holds("mlock-errno", kEnomem));  // D3
  c.Map(16, 1, kPlain);
  c.Over(0, 17);
  EXPECT_TRUE(c.Holds("mlock-errno", kEnomem));
  EXPECT_FALSE(c.Holds("mlock-errno", kOk));
}

TEST(MlockErrnoTest, RoundingIsModulo2To64) {
  Case c = MlockCase(0, 0);
  c.Map(0, 4, kPlain);
  c.was().cap_ipc_lock = true;
  c.step.length = ~uint64_t{0};
  EXPECT_TRUE(c.Holds("mlock-errno", kOk));
  c.step.length = ~uint64_t{0} - 4095;
  EXPECT_TRUE(c.Holds("mlock-errno", kEinval));
  // Limit first.
  c.was().cap_ipc_lock = false;
  EXPECT_TRUE(c.Holds("mlock-errno", kEnomem));
}

// A limit that only a range of nearly all pages passes, and only since two are
// locked already.
TEST(MlockErrnoTest, OfARangeThatWrapsPagesAreNotChargedTwice) {
  Case c = MlockCase(0, 0);
  c.config.SetProfile(**FindProfile("v6.1"));
  c.Map(0, 2, kPlain | kRangeLocked);
  c.step.length = ~uint64_t{0} - 4095;
  c.was().memlock_limit = c.step.length;
  EXPECT_TRUE(c.Holds("mlock-errno", kEinval));
  EXPECT_FALSE(c.Holds("mlock-errno", kEnomem));
  // Below the range: they count.
  c.step.addr = At(2, 0);
  EXPECT_TRUE(c.Holds("mlock-errno", kEnomem));
  EXPECT_FALSE(c.Holds("mlock-errno", kEinval));
  // The kernel before may have them as a negative number.
  c.config.SetProfile(**FindProfile("v4.9"));
  EXPECT_TRUE(c.Holds("mlock-errno", kEnomem));
  EXPECT_TRUE(c.Holds("mlock-errno", kEinval));
}

TEST(MlockErrnoTest, UnmappedOddAddressIsEnomemEvenForLengthZero) {
  Case c = MlockCase(0, 0);
  EXPECT_TRUE(c.Holds("mlock-errno", kOk));
  c.step.addr = At(0, 1);
  EXPECT_TRUE(c.Holds("mlock-errno", kEnomem));
}

TEST(MlockErrnoTest, PopulateFailuresAreEnomemAndEagain) {
  Case c = MlockCase(0, 4);
  c.Map(0, 4, kRangeMayWrite);  // PROT_NONE
  EXPECT_TRUE(c.Holds("mlock-errno", kEnomem));
  EXPECT_FALSE(c.Holds("mlock-errno", kOk));
  c.Map(0, 4, kPlain | kRangeFile);
  c.was().ranges[0].eof = Page(2);
  EXPECT_TRUE(c.Holds("mlock-errno", kEnomem));
  c.Map(0, 4, kPlain);
  EXPECT_FALSE(c.Holds("mlock-errno", Outcome::Errno(EAGAIN)));
  c.events.allocation_failed = true;
  EXPECT_TRUE(c.Holds("mlock-errno", Outcome::Errno(EAGAIN)));
}

TEST(MlockErrnoTest, DeviceRangesAreSkipped) {
  Case c = MlockCase(0, 4);
  c.Map(0, 4, kRangeIo | kRangeSpecial);
  EXPECT_TRUE(c.Holds("mlock-errno", kOk));
  EXPECT_FALSE(c.Holds("mlock-errno", kEnomem));
}

TEST(MlockErrnoTest, OnlyAFatalSignalInterrupts) {
  Case c = MlockCase(0, 4);
  c.Map(0, 4, kPlain);
  EXPECT_FALSE(c.Holds("mlock-errno", Outcome::Errno(EINTR)));
  c.events.fatal_signal = true;
  EXPECT_TRUE(c.Holds("mlock-errno", Outcome::Errno(EINTR)));
}

TEST(MlockErrnoTest, FewVmasLeftMayBeEnomem) {
  Case c = MlockCase(1, 1);
  c.Map(0, 4, kPlain);
  c.config.max_map_count = 2;
  EXPECT_TRUE(c.Holds("mlock-errno", kEnomem));
  EXPECT_TRUE(c.Holds("mlock-errno", kOk));
}

TEST(Mlock2ErrnoTest, FlagsComeBeforePermission) {
  Case c(Op::kMlock2);
  c.Over(0, 1);
  c.was().memlock_limit = 0;
  c.step.flags = 2;
  EXPECT_TRUE(c.Holds("mlock-errno", kEinval));
  EXPECT_FALSE(c.Holds("mlock-errno", kEperm));
  c.Use("v3.12");
  EXPECT_TRUE(c.Holds("mlock-errno", Outcome::Errno(ENOSYS)));
  EXPECT_FALSE(c.Holds("mlock-errno", kEinval));
}

TEST(Mlock2ErrnoTest, OnFaultPastTheEndOfAFileSucceeds) {
  Case c(Op::kMlock2);
  c.Over(0, 4);
  c.step.flags = uapi::kMlockOnfault;
  c.Map(0, 4, kPlain | kRangeFile);
  c.was().ranges[0].eof = Page(1);
  EXPECT_TRUE(c.Holds("mlock-errno", kOk));
  c.Map(0, 4, kRangeMayWrite);
  EXPECT_TRUE(c.Holds("mlock-errno", kEnomem));  // onfault-needs-access
  EXPECT_FALSE(c.Holds("mlock-errno", kOk));
}

TEST(MlockEffectTest, LocksAndChargesTheRangeOnly) {
  Case c = MlockCase(1, 2);
  c.Map(0, 4, kPlain);
  c.outcome = kOk;
  EXPECT_FALSE(c.Holds("mlock-effect"));  // nothing happened
  Set(&c.is(), 1, 2, kPlain | kRangeLocked);
  EXPECT_TRUE(c.Holds("mlock-effect"));
  c.is().locked_vm = Pages{4};  // D4
  EXPECT_FALSE(c.Holds("mlock-effect"));
  Set(&c.is(), 1, 3, kPlain | kRangeLocked);
  EXPECT_FALSE(c.Holds("mlock-effect"));  // a page too many
}

TEST(MlockEffectTest, MismatchShowsThePages) {
  Case c = MlockCase(1, 1);
  c.Map(0, 2, kPlain);
  c.outcome = kOk;
  Mismatch mismatch;
  ASSERT_FALSE(c.Holds("mlock-effect", &mismatch));
  EXPECT_EQ(mismatch.expected,
            "pages 0x200000001000 to 0x200000002000: rw-p locked maywrite");
  EXPECT_EQ(mismatch.seen,
            "pages 0x200000001000 to 0x200000002000: rw-p maywrite");
}

TEST(MlockEffectTest, PlainLockTakesOnFaultOff) {
  Case c = MlockCase(0, 4);
  c.Map(0, 4, kPlain | kLockBits);
  c.outcome = kOk;
  EXPECT_FALSE(c.Holds("mlock-effect"));
  Set(&c.is(), 0, 4, kPlain | kRangeLocked);
  EXPECT_TRUE(c.Holds("mlock-effect"));
}

TEST(MlockEffectTest, AHoleLeavesThePrefixLocked) {
  Case c = MlockCase(0, 6);
  c.Map(0, 2, kPlain);
  c.Map(3, 2, kPlain);
  c.outcome = kEnomem;
  Set(&c.is(), 0, 2, kPlain | kRangeLocked);
  EXPECT_TRUE(c.Holds("mlock-effect"));
  Set(&c.is(), 3, 2, kPlain | kRangeLocked);
  EXPECT_FALSE(c.Holds("mlock-effect"));
}

TEST(MlockEffectTest, ARefusalChangesNothing) {
  Case c = MlockCase(0, 17);
  c.Map(0, 17, kPlain);
  c.outcome = kEnomem;
  EXPECT_TRUE(c.Holds("mlock-effect"));
  Set(&c.is(), 0, 17, kPlain | kRangeLocked);
  EXPECT_FALSE(c.Holds("mlock-effect"));
}

TEST(MlockEffectTest, WantOfVmasStopsAtAVma) {
  Case c = MlockCase(0, 3);
  c.Map(0, 2, kPlain);
  c.Map(2, 2, kPlain | kRangeExec);
  c.config.max_map_count = 2;
  c.outcome = kEnomem;
  Set(&c.is(), 0, 2, kPlain | kRangeLocked);
  EXPECT_TRUE(c.Holds("mlock-effect"));
  Set(&c.is(), 1, 1, kPlain);
  EXPECT_FALSE(c.Holds("mlock-effect"));
}

TEST(MlockEffectTest, SpecialRangesStayUnlocked) {
  Case c = MlockCase(0, 2);
  c.Map(0, 1, kPlain | kRangeSpecial);
  c.Map(1, 1, kPlain);
  c.outcome = kOk;
  Set(&c.is(), 1, 1, kPlain | kRangeLocked);
  EXPECT_TRUE(c.Holds("mlock-effect"));
  Set(&c.is(), 0, 1, kPlain | kRangeSpecial | kRangeLocked);
  EXPECT_FALSE(c.Holds("mlock-effect"));
}

TEST(MlockResidencyTest, EveryPageIsPresentAfterSuccess) {
  Case c = MlockCase(0, 4);
  c.Map(0, 4, kPlain | kRangeLocked);
  c.engine.Fill(0, Page(0), Page(3));
  c.outcome = kOk;
  EXPECT_FALSE(c.Holds("mlock-residency"));
  c.engine.Fill(0, Page(3), Page(4));
  EXPECT_TRUE(c.Holds("mlock-residency"));
}

TEST(MlockResidencyTest, OnFaultAsksForNoPage) {
  Case c = MlockCase(0, 4);
  c.Map(0, 4, kPlain | kLockBits);
  c.outcome = kOk;
  EXPECT_TRUE(c.Holds("mlock-residency"));
}

// Four locked pages, of which the last is not Mlocked.
Case OneIsNotMlocked(uint32_t bits = kPlain | kRangeLocked) {
  Case c = MlockCase(0, 4);
  c.Map(0, 4, bits);
  c.engine.Fill(0, Page(0), Page(3),
                {.present = true, .mlocked = true, .anonymous = true});
  c.engine.Fill(0, Page(3), Page(4));
  c.outcome = kOk;
  return c;
}

TEST(MlockMlockedTest, EveryPageIsMlockedAfterSuccess) {
  Case c = OneIsNotMlocked();
  Mismatch mismatch;
  EXPECT_FALSE(c.Holds("mlock-mlocked", &mismatch));
  EXPECT_THAT(mismatch.expected,
              ::testing::EndsWith("locked maywrite, Mlocked"));
  EXPECT_EQ(mismatch.seen, "not Mlocked");
  c.outcome = kEnomem;
  EXPECT_TRUE(c.Holds("mlock-mlocked"));
  c.outcome = kOk;
  c.Over(0, 3);
  EXPECT_TRUE(c.Holds("mlock-mlocked"));
}

TEST(MlockMlockedTest, OnlySmallPrivatePagesThatPopulateBroughtInMust) {
  // Lock on fault passes over what is shared by copy on write.
  EXPECT_TRUE(OneIsNotMlocked(kPlain | kLockBits).Holds("mlock-mlocked"));
  EXPECT_TRUE(OneIsNotMlocked(kPlain | kRangeLocked | kRangeShared)
                  .Holds("mlock-mlocked"));
  EXPECT_TRUE(OneIsNotMlocked(kPlain | kRangeIo).Holds("mlock-mlocked"));
  for (const PageState& other :
       {PageState{.present = true, .zero_page = true},
        PageState{.present = true, .anonymous = true, .huge = true},
        PageState{.present = true}}) {
    Case c = OneIsNotMlocked();
    c.engine.Fill(0, Page(3), Page(4), other);
    EXPECT_TRUE(c.Holds("mlock-mlocked"));
  }
}

// Up to 4.11 populate passes over the guard page of a stack.
TEST(MlockMlockedTest, TheGuardPageInsideAStackNeedNot) {
  Case c = MlockCase(3, 1);
  c.Map(3, 1, kPlain | kRangeLocked | kRangeGrowsdown);
  c.engine.Fill(0, Page(3), Page(4));
  c.outcome = kOk;
  EXPECT_FALSE(c.Holds("mlock-mlocked"));
  c.config.SetProfile(**FindProfile("v3.12"));
  EXPECT_TRUE(c.Holds("mlock-mlocked"));
}

TEST(MlockMlockedTest, SaysNothingWhereTheFlagIsNotSeenOrNotTheTasksAlone) {
  Case c = OneIsNotMlocked();
  c.engine.sees_mlocked = false;
  EXPECT_TRUE(c.Holds("mlock-mlocked"));
  c.engine.sees_mlocked = true;
  c.before.tasks[2].exists = true;
  EXPECT_TRUE(c.Holds("mlock-mlocked"));
  c.before.tasks[2].exists = false;
  c.events.interleaved = true;
  EXPECT_TRUE(c.Holds("mlock-mlocked"));
  c.events.interleaved = false;
  EXPECT_FALSE(c.Holds("mlock-mlocked"));
}

TEST(MunlockErrnoTest, NeedsNoPermission) {
  Case c(Op::kMunlock);
  c.Over(0, 4);
  c.Map(0, 4, kPlain);
  c.was().memlock_limit = 0;
  EXPECT_TRUE(c.Holds("munlock-errno", kOk));
  EXPECT_FALSE(c.Holds("munlock-errno", kEperm));
  c.Over(0, 5);
  EXPECT_TRUE(c.Holds("munlock-errno", kEnomem));
  c.step.length = ~uint64_t{0} - 4095;
  EXPECT_TRUE(c.Holds("munlock-errno", kEinval));
  EXPECT_FALSE(c.Holds("munlock-errno", kEnomem));
}

TEST(MunlockEffectTest, OneCallUndoesTheLockUpToTheFirstHole) {
  Case c(Op::kMunlock);
  c.Over(0, 6);
  c.Map(0, 2, kPlain | kLockBits);
  c.Map(3, 2, kPlain | kRangeLocked);
  c.outcome = kEnomem;
  EXPECT_FALSE(c.Holds("munlock-effect"));
  Set(&c.is(), 0, 2, kPlain);
  EXPECT_TRUE(c.Holds("munlock-effect"));
  c.is().locked_vm = c.was().locked_vm;
  EXPECT_FALSE(c.Holds("munlock-effect"));
}

TEST(MunlockEffectTest, AWrapChangesNothing) {
  Case c(Op::kMunlock);
  c.Over(0, 2);
  c.step.length = ~uint64_t{0} - 4095;
  c.Map(0, 2, kPlain | kRangeLocked);
  c.outcome = kEinval;
  EXPECT_TRUE(c.Holds("munlock-effect"));
  Set(&c.is(), 0, 2, kPlain);
  EXPECT_FALSE(c.Holds("munlock-effect"));
}

TEST(MunlockKeepsResidencyTest, PagesThatWereThereStay) {
  for (Op op : {Op::kMunlock, Op::kMunlockall}) {
    Case c(op);
    c.Over(0, 4);
    c.Map(0, 4, kPlain | kRangeLocked);
    c.engine.Fill(0, Page(0), Page(4));
    c.Prepare("munlock-keeps-residency");
    EXPECT_TRUE(c.Holds("munlock-keeps-residency"));
    c.engine.pages.erase({0, Page(2).n});
    EXPECT_FALSE(c.Holds("munlock-keeps-residency"));
  }
}

}  // namespace
}  // namespace lockstep::contracts
