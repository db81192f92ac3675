// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Rules in which the profiles differ, and those of what only some have:
// secrets, droppable memory, guard pages, MREMAP_DONTUNMAP, moves of several
// VMAs.

#include <cerrno>
#include <csignal>

#include "gtest/gtest.h"
#include "props/contract_testing.h"

namespace lockstep::contracts {
namespace {

const Outcome kOk = Outcome::Ok();
const Outcome kEnomem = Outcome::Errno(ENOMEM);
const Outcome kEinval = Outcome::Errno(EINVAL);
const Outcome kEagain = Outcome::Errno(EAGAIN);
const Outcome kEfault = Outcome::Errno(EFAULT);
const Outcome kEperm = Outcome::Errno(EPERM);

constexpr uint32_t kSecret = kPlain | kRangeShared | kRangeFile | kRangeSecret;
constexpr uint32_t kDroppable = kPlain | kRangeDroppable;

Outcome Address(uint64_t arena_page) {
  return Outcome::Ok(static_cast<int64_t>(AddressOf(Page(arena_page))));
}

Case OnKernel(absl::string_view kernel, Op op, uint64_t page, uint64_t pages) {
  Case c(op);
  c.Use(kernel);
  c.Over(page, pages);
  return c;
}

// ---- mmap ----

Case MmapCase(absl::string_view kernel, uint64_t pages, uint32_t flags) {
  Case c = OnKernel(kernel, Op::kMmap, 0, pages);
  c.step.prot = uapi::kProtRead | uapi::kProtWrite;
  c.step.flags = flags | uapi::kMapFixed;
  return c;
}
Case SecretCase(absl::string_view kernel, uint64_t pages) {
  Case c = MmapCase(kernel, pages, uapi::kMapShared);
  c.step.value = static_cast<uint32_t>(MmapSource::kSecret);
  return c;
}

TEST(SecretTest, IsLockedAndChargedFromMmapOn) {
  Case c = SecretCase("v6.18", 2);
  c.outcome = Address(0);
  Set(&c.is(), 0, 2, kSecret);
  EXPECT_FALSE(c.Holds("mmap-effect"));
  Set(&c.is(), 0, 2, kSecret | kRangeLocked);
  EXPECT_TRUE(c.Holds("mmap-effect"));
  EXPECT_TRUE(c.Holds("mmap-residency"));
}

TEST(SecretTest, OverTheLimitIsEagainAtLimitZeroToo) {
  Case c = SecretCase("v6.18", 17);
  EXPECT_TRUE(c.Holds("mmap-errno", kEagain));
  EXPECT_FALSE(c.Holds("mmap-errno", Address(0)));
  c.was().memlock_limit = 0;
  EXPECT_TRUE(c.Holds("mmap-errno", kEagain));
  EXPECT_FALSE(c.Holds("mmap-errno", kEnomem));
}

TEST(SecretTest, WhatItReplacesCounts) {
  Case c = SecretCase("v6.18", 16);
  c.Map(0, 1, kPlain | kRangeLocked);
  EXPECT_TRUE(c.Holds("mmap-errno", kEagain));
  EXPECT_FALSE(c.Holds("mmap-errno", Address(0)));
}

TEST(SecretTest, ChargedPerUserItIsNotLockedAndHasNoLimit) {
  for (const absl::string_view kernel : {"v6.1", "v6.12"}) {
    Case c = SecretCase(kernel, 17);
    EXPECT_FALSE(c.Holds("mmap-errno", kEagain));
    EXPECT_TRUE(c.Holds("mmap-errno", Address(0)));
    c.outcome = Address(0);
    Set(&c.is(), 0, 17, kSecret);
    EXPECT_TRUE(c.Holds("mmap-effect"));
    Set(&c.is(), 0, 17, kSecret | kRangeLocked);
    EXPECT_FALSE(c.Holds("mmap-effect"));
  }
}

TEST(SecretTest, IsNeitherPrivateNorExecutable) {
  Case c = SecretCase("v6.18", 1);
  c.step.flags = uapi::kMapPrivate | uapi::kMapFixed;
  EXPECT_TRUE(c.Holds("mmap-errno", kEinval));
  EXPECT_FALSE(c.Holds("mmap-errno", Address(0)));
  c.step.flags = uapi::kMapShared | uapi::kMapFixed;
  EXPECT_TRUE(c.Holds("mmap-errno", Address(0)));
  c.step.prot = uapi::kProtExec;
  EXPECT_TRUE(c.Holds("mmap-errno", kEperm));
  EXPECT_FALSE(c.Holds("mmap-errno", Address(0)));
}

TEST(SecretTest, MlockIsEnomemAndChangesNothing) {
  Case c = OnKernel("v6.18", Op::kMlock, 0, 2);
  c.Map(0, 2, kSecret | kRangeLocked);
  EXPECT_TRUE(c.Holds("mlock-errno", kEnomem));
  EXPECT_FALSE(c.Holds("mlock-errno", kOk));
  c.outcome = kEnomem;
  EXPECT_TRUE(c.Holds("mlock-effect"));
  Set(&c.is(), 0, 2, kSecret);
  EXPECT_FALSE(c.Holds("mlock-effect"));
}

TEST(SecretTest, LockedOnFaultThereIsNothingToPopulate) {
  Case c = OnKernel("v6.18", Op::kMlock, 0, 2);
  c.Map(0, 2, kSecret | kLockBits);
  EXPECT_TRUE(c.Holds("mlock-errno", kOk));
  EXPECT_FALSE(c.Holds("mlock-errno", kEnomem));
}

TEST(SecretTest, MunlockLeavesItLocked) {
  Case c = OnKernel("v6.18", Op::kMunlock, 0, 2);
  c.Map(0, 2, kSecret | kRangeLocked);
  c.outcome = kOk;
  EXPECT_TRUE(c.Holds("munlock-effect"));
  Set(&c.is(), 0, 2, kSecret);
  EXPECT_FALSE(c.Holds("munlock-effect"));
}

TEST(SecretTest, MemfdSecretIsEnosysBefore514) {
  Case c = OnKernel("v4.9", Op::kMemfdSecret, 0, 1);
  EXPECT_TRUE(c.Holds("memfd-secret-errno", Outcome::Errno(ENOSYS)));
  EXPECT_FALSE(c.Holds("memfd-secret-errno", kOk));
  c.Use("v6.1");
  EXPECT_TRUE(c.Holds("memfd-secret-errno", kOk));
  EXPECT_FALSE(c.Holds("memfd-secret-errno", Outcome::Errno(ENOSYS)));
}

TEST(DroppableTest, IsAMapTypeFrom611On) {
  constexpr uint32_t kFlags = uapi::kMapDroppable | uapi::kMapAnonymous;
  Case c = MmapCase("v6.1", 1, kFlags);
  EXPECT_TRUE(c.Holds("mmap-errno", kEinval));
  EXPECT_FALSE(c.Holds("mmap-errno", Address(0)));
  c.Use("v6.12");
  EXPECT_TRUE(c.Holds("mmap-errno", Address(0)));
  c.step.flags |= uapi::kMapLocked;
  EXPECT_TRUE(c.Holds("mmap-errno", kEinval));
  EXPECT_FALSE(c.Holds("mmap-errno", Address(0)));
}

TEST(DroppableTest, FutureDoesNotLockIt) {
  Case c = MmapCase("v6.12", 1, uapi::kMapDroppable | uapi::kMapAnonymous);
  c.was().future_locked = c.is().future_locked = true;
  c.outcome = Address(0);
  Set(&c.is(), 0, 1, kDroppable | kRangeLocked);
  EXPECT_FALSE(c.Holds("mmap-effect"));
  Set(&c.is(), 0, 1, kDroppable);
  EXPECT_TRUE(c.Holds("mmap-effect"));
}

TEST(NoreplaceTest, IsEexistOverAMapping) {
  Case c = MmapCase("v6.1", 2, uapi::kMapPrivate | uapi::kMapAnonymous);
  c.step.flags = (c.step.flags & ~uapi::kMapFixed) | uapi::kMapFixedNoreplace;
  c.Map(1, 1, kPlain);
  EXPECT_TRUE(c.Holds("mmap-errno", Outcome::Errno(EEXIST)));
  EXPECT_FALSE(c.Holds("mmap-errno", Address(0)));
  // Unknown, so only a hint.
  c.Use("v4.9");
  EXPECT_FALSE(c.Holds("mmap-errno", Outcome::Errno(EEXIST)));
  EXPECT_TRUE(c.Holds("mmap-errno", Address(8)));
}

TEST(BrkTest, DoesNotGoDownOverAHoleFrom61On) {
  Case c(Op::kBrk);
  c.was().brk = c.is().brk = kHeapBase + 2 * kPageSize;
  c.step.addr = lockstep::Address::Heap(Vpn{1});
  const Outcome moved = Outcome::Ok(kHeapBase + kPageSize);
  const Outcome unchanged = Outcome::Ok(kHeapBase + 2 * kPageSize);
  EXPECT_TRUE(c.Holds("brk-outcome", moved));
  EXPECT_FALSE(c.Holds("brk-outcome", unchanged));
  c.Use("v6.1");
  EXPECT_FALSE(c.Holds("brk-outcome", moved));
  EXPECT_TRUE(c.Holds("brk-outcome", unchanged));
}

// ---- mlock ----

TEST(OnfaultTest, OfMemoryWithoutAccessIsFineFrom518On) {
  Case c = OnKernel("v4.9", Op::kMlock2, 0, 1);
  c.step.flags = uapi::kMlockOnfault;
  c.Map(0, 1, kRangeMayWrite);
  EXPECT_TRUE(c.Holds("mlock-errno", kEnomem));
  EXPECT_FALSE(c.Holds("mlock-errno", kOk));
  for (absl::string_view kernel : {"v6.1", "v6.12", "v6.18"}) {
    c.Use(kernel);
    EXPECT_FALSE(c.Holds("mlock-errno", kEnomem)) << kernel;
    EXPECT_TRUE(c.Holds("mlock-errno", kOk)) << kernel;
  }
}

TEST(GuardTest, MlockOverOneIsEnomem) {
  Case c = OnKernel("v6.18", Op::kMlock, 0, 3);
  c.Map(0, 3, kPlain);
  EXPECT_FALSE(c.Holds("mlock-errno", kEnomem));
  c.engine.Fill(0, Page(1), Page(2), {.guard = true});
  EXPECT_TRUE(c.Holds("mlock-errno", kEnomem));
  EXPECT_FALSE(c.Holds("mlock-errno", kOk));
  c.step.op = Op::kMlock2;
  c.step.flags = uapi::kMlockOnfault;
  EXPECT_TRUE(c.Holds("mlock-errno", kOk));
  EXPECT_FALSE(c.Holds("mlock-errno", kEnomem));
}

TEST(GuardTest, ATouchIsSigsegv) {
  Case c = OnKernel("v6.18", Op::kTouch, 0, 0);
  c.Map(0, 1, kPlain);
  EXPECT_FALSE(c.Holds("touch-outcome", Outcome::Signal(SIGSEGV)));
  c.engine.Fill(0, Page(0), Page(1), {.guard = true});
  EXPECT_TRUE(c.Holds("touch-outcome", Outcome::Signal(SIGSEGV)));
  EXPECT_FALSE(c.Holds("touch-outcome", kOk));
}

// ---- madvise ----

Case MadviseCase(absl::string_view kernel, uint32_t advice, uint32_t bits) {
  Case c = OnKernel(kernel, Op::kMadvise, 0, 2);
  c.step.flags = advice;
  c.Map(0, 2, bits);
  return c;
}

struct NewAdvice {
  uint32_t advice;
  absl::string_view before, since;
  bool of_locked;  // allowed on locked memory
};
constexpr NewAdvice kNewAdvice[] = {
    {uapi::kMadvWipeonfork, "v4.9", "v6.1", true},
    {uapi::kMadvKeeponfork, "v4.9", "v6.1", true},
    {uapi::kMadvCold, "v4.9", "v6.1", false},
    {uapi::kMadvPageout, "v4.9", "v6.1", false},
    {uapi::kMadvPopulateRead, "v4.9", "v6.1", true},
    {uapi::kMadvPopulateWrite, "v4.9", "v6.1", true},
    {uapi::kMadvDontneedLocked, "v4.9", "v6.1", true},
    {uapi::kMadvCollapse, "v4.9", "v6.1", true},
    {uapi::kMadvGuardInstall, "v6.12", "v6.18", false},
    {uapi::kMadvGuardRemove, "v6.12", "v6.18", true},
};

TEST(MadviseTest, AdviceIsEinvalWhereTheKernelDoesNotHaveIt) {
  for (const NewAdvice& row : kNewAdvice) {
    SCOPED_TRACE(row.advice);
    Case c = MadviseCase(row.before, row.advice, kPlain);
    EXPECT_TRUE(c.Holds("madvise-errno", kEinval));
    EXPECT_FALSE(c.Holds("madvise-errno", kOk));
    c.Use(row.since);
    EXPECT_TRUE(c.Holds("madvise-errno", kOk));
  }
}

TEST(MadviseTest, SomeAdviceIsRefusedOnLockedMemory) {
  for (const NewAdvice& row : kNewAdvice) {
    SCOPED_TRACE(row.advice);
    Case c = MadviseCase(row.since, row.advice, kPlain | kRangeLocked);
    EXPECT_EQ(c.Holds("madvise-errno", kOk), row.of_locked);
    if (!row.of_locked) {
      EXPECT_TRUE(c.Holds("madvise-errno", kEinval));
    }
  }
}

TEST(MadviseTest, DontneedLockedThrowsAwayAndKeepsTheLock) {
  Case c =
      MadviseCase("v6.1", uapi::kMadvDontneedLocked, kPlain | kRangeLocked);
  c.outcome = kOk;
  EXPECT_TRUE(c.Holds("madvise-effect"));
  c.engine.Fill(0, Page(0), Page(2));
  EXPECT_FALSE(c.Holds("madvise-effect"));
  c.engine.pages.clear();
  Set(&c.is(), 0, 2, kPlain);
  EXPECT_FALSE(c.Holds("madvise-effect"));
}

TEST(MadviseTest, PopulateLeavesEveryPageThere) {
  Case c = MadviseCase("v6.1", uapi::kMadvPopulateWrite, kPlain);
  c.outcome = kOk;
  c.engine.Fill(0, Page(0), Page(1));
  EXPECT_FALSE(c.Holds("madvise-leaves"));
  c.engine.Fill(0, Page(0), Page(2));
  EXPECT_TRUE(c.Holds("madvise-leaves"));
}

TEST(MadviseTest, PopulateNeedsAccessAndNoGuard) {
  Case c = MadviseCase("v6.18", uapi::kMadvPopulateWrite, kRangeRead);
  EXPECT_TRUE(c.Holds("madvise-errno", kEinval));
  EXPECT_FALSE(c.Holds("madvise-errno", kOk));
  c.Map(0, 2, kPlain);
  c.engine.Fill(0, Page(1), Page(2), {.guard = true});
  EXPECT_TRUE(c.Holds("madvise-errno", kEfault));
  EXPECT_FALSE(c.Holds("madvise-errno", kOk));
}

TEST(MadviseTest, GuardInstallLeavesGuards) {
  Case c = MadviseCase("v6.18", uapi::kMadvGuardInstall, kPlain);
  c.outcome = kOk;
  c.engine.Fill(0, Page(0), Page(1), {.guard = true});
  EXPECT_FALSE(c.Holds("madvise-leaves"));
  c.engine.Fill(0, Page(0), Page(2), {.guard = true});
  EXPECT_TRUE(c.Holds("madvise-leaves"));
}

// ---- mremap ----

Case MremapCase(absl::string_view kernel, uint64_t pages, uint64_t new_pages,
                uint32_t flags) {
  Case c = OnKernel(kernel, Op::kMremap, 0, pages);
  c.step.length2 = new_pages * kPageSize;
  c.step.flags = flags | uapi::kMremapMaymove;
  c.step.new_addr = At(8);
  return c;
}
constexpr uint32_t kDontunmap = uapi::kMremapFixed | uapi::kMremapDontunmap;

TEST(DontunmapTest, MovesTheLockAndNotTheCharge) {
  Case c = MremapCase("v6.18", 2, 2, kDontunmap);
  c.Map(0, 2, kPlain | kRangeLocked);
  c.outcome = Address(8);
  Set(&c.is(), 8, 2, kPlain | kRangeLocked);
  EXPECT_FALSE(c.Holds("mremap-effect"));  // both locked
  Set(&c.is(), 0, 2, kPlain);
  EXPECT_TRUE(c.Holds("mremap-effect"));
  // As 6.18 does it (D25).
  c.is().locked_vm = Pages{4};
  EXPECT_FALSE(c.Holds("mremap-effect"));
}

TEST(DontunmapTest, TakesTheLockFromThePartAlone) {
  Case c = MremapCase("v6.18", 1, 1, kDontunmap);
  c.Map(0, 2, kPlain | kRangeLocked);
  c.outcome = Address(8);
  Set(&c.is(), 0, 1, kPlain);
  Set(&c.is(), 8, 1, kPlain | kRangeLocked);
  EXPECT_TRUE(c.Holds("mremap-effect"));
  // As 6.18 does it (D26).
  Set(&c.is(), 0, 2, kPlain);
  EXPECT_FALSE(c.Holds("mremap-effect"));
}

TEST(DontunmapTest, IsRefusedBefore57AndForDriverMemory) {
  Case c = MremapCase("v4.9", 2, 2, kDontunmap);
  c.Map(0, 2, kPlain);
  EXPECT_TRUE(c.Holds("mremap-errno", kEinval));
  EXPECT_FALSE(c.Holds("mremap-errno", Address(8)));
  c.Use("v6.1");
  EXPECT_TRUE(c.Holds("mremap-errno", Address(8)));
  c.Map(0, 2, kPlain | kRangeSpecial);
  EXPECT_TRUE(c.Holds("mremap-errno", kEinval));
  EXPECT_FALSE(c.Holds("mremap-errno", Address(8)));
}

TEST(MremapTest, APrivateCopyIsEinvalFrom414On) {
  Case c = MremapCase("v4.9", 0, 1, uapi::kMremapFixed);
  c.Map(0, 2, kPlain);
  EXPECT_TRUE(c.Holds("mremap-errno", Address(8)));
  EXPECT_FALSE(c.Holds("mremap-errno", kEinval));
  c.Use("v6.1");
  EXPECT_FALSE(c.Holds("mremap-errno", Address(8)));
  EXPECT_TRUE(c.Holds("mremap-errno", kEinval));
}

TEST(MremapTest, ALockedTargetCountsFrom617On) {
  Case c = MremapCase("v6.12", 2, 3, uapi::kMremapFixed);
  c.Map(0, 2, kPlain | kRangeLocked);
  c.Map(8, 14, kPlain | kRangeLocked);
  EXPECT_TRUE(c.Holds("mremap-errno", Address(8)));
  EXPECT_FALSE(c.Holds("mremap-errno", kEagain));
  c.Use("v6.18");
  EXPECT_FALSE(c.Holds("mremap-errno", Address(8)));
  EXPECT_TRUE(c.Holds("mremap-errno", kEagain));
  // And the target is still there when the call is refused.
  c.outcome = kEagain;
  EXPECT_TRUE(c.Holds("mremap-effect"));
  Set(&c.is(), 8, 3, 0);
  EXPECT_FALSE(c.Holds("mremap-effect"));
}

TEST(MremapTest, SeveralVmasMoveFrom617On) {
  Case c = MremapCase("v6.12", 3, 3, uapi::kMremapFixed);
  c.Map(0, 1, kPlain | kRangeLocked);
  c.Map(2, 1, kRangeRead);
  c.Map(9, 1, kRangeRead | kRangeWrite);
  EXPECT_TRUE(c.Holds("mremap-errno", kEfault));
  EXPECT_FALSE(c.Holds("mremap-errno", Address(8)));
  c.Use("v6.18");
  EXPECT_FALSE(c.Holds("mremap-errno", kEfault));
  EXPECT_TRUE(c.Holds("mremap-errno", Address(8)));
  c.outcome = Address(8);
  Set(&c.is(), 0, 3, 0);
  Set(&c.is(), 8, 1, kPlain | kRangeLocked);
  EXPECT_FALSE(c.Holds("mremap-effect"));  // page 2 is nowhere
  Set(&c.is(), 10, 1, kRangeRead);
  EXPECT_TRUE(c.Holds("mremap-effect"));
  Set(&c.is(), 9, 1, 0);  // what the source has no page for stays
  EXPECT_FALSE(c.Holds("mremap-effect"));
}

TEST(MremapTest, ASegmentMovesAloneOnly) {
  Case c = MremapCase("v6.18", 4, 4, uapi::kMremapFixed);
  c.Map(2, 2, kPlain | kRangeShared | kRangeFile | kRangeShm);
  c.Map(0, 1, kPlain | kRangeLocked);
  EXPECT_TRUE(c.Holds("mremap-errno", kEfault));
  EXPECT_FALSE(c.Holds("mremap-errno", Address(8)));
  // What lies before the segment has moved.
  c.outcome = kEfault;
  EXPECT_FALSE(c.Holds("mremap-effect"));
  Set(&c.is(), 0, 1, 0);
  Set(&c.is(), 8, 1, kPlain | kRangeLocked);
  EXPECT_TRUE(c.Holds("mremap-effect"));
  Set(&c.is(), 2, 2, 0);
  Set(&c.is(), 10, 2, kPlain | kRangeShared | kRangeFile | kRangeShm);
  EXPECT_FALSE(c.Holds("mremap-effect"));
}

TEST(MremapTest, ASegmentBeforeAHoleStays) {
  Case c = MremapCase("v6.18", 4, 4, uapi::kMremapFixed);
  c.Map(0, 2, kPlain | kRangeShared | kRangeFile | kRangeShm);
  c.Map(8, 1, kPlain);
  EXPECT_TRUE(c.Holds("mremap-errno", kEfault));
  EXPECT_FALSE(c.Holds("mremap-errno", Address(8)));
  c.outcome = kEfault;
  EXPECT_TRUE(c.Holds("mremap-effect"));
  Set(&c.is(), 8, 1, 0);
  EXPECT_FALSE(c.Holds("mremap-effect"));
}

TEST(MremapTest, APartOfASegmentMoves) {
  Case c = MremapCase("v6.18", 2, 2, uapi::kMremapFixed);
  c.Map(0, 4, kPlain | kRangeShared | kRangeFile | kRangeShm);
  EXPECT_TRUE(c.Holds("mremap-errno", Address(8)));
  EXPECT_FALSE(c.Holds("mremap-errno", kEfault));
}

TEST(MremapTest, WhatIsNotThereCannotBeCutFrom516On) {
  Case c = MremapCase("v4.9", 2, 1, 0);
  EXPECT_TRUE(c.Holds("mremap-errno", Address(0)));
  c.Use("v6.1");
  EXPECT_FALSE(c.Holds("mremap-errno", Address(0)));
  EXPECT_TRUE(c.Holds("mremap-errno", kEfault));
}

}  // namespace
}  // namespace lockstep::contracts
