// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// mmap, munmap, mprotect, mremap and brk.

#include <cerrno>

#include "gtest/gtest.h"
#include "props/contract_testing.h"

namespace lockstep::contracts {
namespace {

const Outcome kOk = Outcome::Ok();
const Outcome kEnomem = Outcome::Errno(ENOMEM);
const Outcome kEinval = Outcome::Errno(EINVAL);
const Outcome kEagain = Outcome::Errno(EAGAIN);
const Outcome kEfault = Outcome::Errno(EFAULT);

Outcome Mapped(uint64_t arena_page) {
  return Outcome::Ok(static_cast<int64_t>(AddressOf(Page(arena_page))));
}

Case MmapCase(uint64_t page, uint64_t pages, uint32_t flags) {
  Case c(Op::kMmap);
  c.Over(page, pages);
  c.step.prot = uapi::kProtRead | uapi::kProtWrite;
  c.step.flags = flags | uapi::kMapPrivate | uapi::kMapAnonymous;
  return c;
}

TEST(MmapErrnoTest, LengthZeroIsEinvalBeforeEperm) {
  Case c = MmapCase(0, 0, uapi::kMapLocked);
  c.was().memlock_limit = 0;
  EXPECT_TRUE(c.Holds("mmap-errno", kEinval));
  EXPECT_FALSE(c.Holds("mmap-errno", Outcome::Errno(EPERM)));
}

TEST(MmapErrnoTest, LockedAtLimitZeroIsEpermNotEagain) {
  Case c = MmapCase(0, 1, uapi::kMapLocked);
  c.was().memlock_limit = 0;
  EXPECT_TRUE(c.Holds("mmap-errno", Outcome::Errno(EPERM)));
  EXPECT_FALSE(c.Holds("mmap-errno", kEagain));
  EXPECT_FALSE(c.Holds("mmap-errno", Mapped(0)));
}

TEST(MmapErrnoTest, LockingPastTheLimitIsEagainEvenForPagesReplaced) {
  Case c = MmapCase(0, 16, uapi::kMapLocked | uapi::kMapFixed);
  EXPECT_TRUE(c.Holds("mmap-errno", Mapped(0)));
  EXPECT_FALSE(c.Holds("mmap-errno", kEagain));
  c.Map(0, 1, kPlain | kRangeLocked);
  EXPECT_TRUE(c.Holds("mmap-errno", kEagain));
  EXPECT_FALSE(c.Holds("mmap-errno", Mapped(0)));
}

TEST(MmapErrnoTest, FutureAtLimitZeroIsEagain) {
  Case c = MmapCase(0, 1, 0);
  c.was().future_locked = true;
  c.was().memlock_limit = 0;
  EXPECT_TRUE(c.Holds("mmap-errno", kEagain));
  EXPECT_FALSE(c.Holds("mmap-errno", Outcome::Errno(EPERM)));
}

TEST(MmapErrnoTest, AnAddressInTheLastPageIsTakenForAnErrno) {
  Case c = MmapCase(0, 1, uapi::kMapFixed);
  c.step.addr = Address::Raw(-uint64_t{2});
  EXPECT_TRUE(c.Holds("mmap-errno", Outcome::Errno(ENOENT)));
  EXPECT_FALSE(c.Holds("mmap-errno", kEnomem));
  EXPECT_FALSE(c.Holds("mmap-errno", kEinval));
  c.step.addr = Address::Raw(-uint64_t{4096});
  EXPECT_TRUE(c.Holds("mmap-errno", kEnomem));
  EXPECT_FALSE(c.Holds("mmap-errno", Outcome::Errno(4096)));
}

TEST(MmapErrnoTest, NoSecretMemoryHere) {
  Case c = MmapCase(0, 1, 0);
  c.step.flags = uapi::kMapShared;
  c.step.value = static_cast<uint32_t>(MmapSource::kSecret);
  EXPECT_TRUE(c.Holds("mmap-errno", Outcome::Errno(EBADF)));
  EXPECT_FALSE(c.Holds("mmap-errno", Mapped(0)));
}

TEST(MmapEffectTest, MapsWhatWasAskedAtTheHint) {
  Case c = MmapCase(4, 2, 0);
  c.outcome = Mapped(4);
  EXPECT_FALSE(c.Holds("mmap-effect"));
  Set(&c.is(), 4, 2, kPlain);
  EXPECT_TRUE(c.Holds("mmap-effect"));
  Set(&c.is(), 4, 2, kPlain | kRangeLocked);
  EXPECT_FALSE(c.Holds("mmap-effect"));
}

TEST(MmapEffectTest, AFreeHintIsTaken) {
  Case c = MmapCase(4, 2, 0);
  c.outcome = Mapped(10);
  Set(&c.is(), 10, 2, kPlain);
  EXPECT_FALSE(c.Holds("mmap-effect"));
  c.Map(5, 1, kPlain);
  Set(&c.is(), 10, 2, kPlain);
  EXPECT_TRUE(c.Holds("mmap-effect"));
}

TEST(MmapEffectTest, FixedReplacesAndUncharges) {
  Case c = MmapCase(1, 2, uapi::kMapFixed);
  c.Map(0, 4, kPlain | kRangeLocked);
  c.outcome = Mapped(1);
  Set(&c.is(), 1, 2, kPlain);
  EXPECT_TRUE(c.Holds("mmap-effect"));
  c.is().locked_vm = Pages{4};
  EXPECT_FALSE(c.Holds("mmap-effect"));
}

TEST(MmapEffectTest, FutureLocksAsTheFutureSays) {
  Case c = MmapCase(0, 2, uapi::kMapLocked);
  c.was().future_locked = c.was().future_onfault = true;
  c.after = c.before;
  c.outcome = Mapped(0);
  Set(&c.is(), 0, 2, kPlain | kRangeLocked);
  EXPECT_FALSE(c.Holds("mmap-effect"));
  Set(&c.is(), 0, 2, kPlain | kLockBits);
  EXPECT_TRUE(c.Holds("mmap-effect"));
}

TEST(MmapEffectTest, FailureChangesNothing) {
  Case c = MmapCase(0, 17, uapi::kMapLocked);
  c.outcome = kEagain;
  EXPECT_TRUE(c.Holds("mmap-effect"));
  Set(&c.is(), 0, 17, kPlain);
  EXPECT_FALSE(c.Holds("mmap-effect"));
}

TEST(MmapResidencyTest, LockedMappingsArePopulated) {
  Case c = MmapCase(0, 2, uapi::kMapLocked);
  c.outcome = Mapped(0);
  Set(&c.is(), 0, 2, kPlain | kRangeLocked);
  EXPECT_FALSE(c.Holds("mmap-residency"));
  c.engine.Fill(0, Page(0), Page(2));
  EXPECT_TRUE(c.Holds("mmap-residency"));
}

TEST(MunmapTest, HolesAreNoError) {
  Case c(Op::kMunmap);
  c.Over(0, 4);
  EXPECT_TRUE(c.Holds("munmap-errno", kOk));
  EXPECT_FALSE(c.Holds("munmap-errno", kEinval));
  c.step.addr = At(0, 1);
  EXPECT_TRUE(c.Holds("munmap-errno", kEinval));
  EXPECT_FALSE(c.Holds("munmap-errno", kOk));
}

TEST(MunmapTest, GivesTheChargeBack) {
  Case c(Op::kMunmap);
  c.Over(1, 2);
  c.Map(0, 4, kPlain | kRangeLocked);
  EXPECT_FALSE(c.Holds("munmap-effect"));
  Set(&c.is(), 1, 2, 0);
  EXPECT_TRUE(c.Holds("munmap-effect"));
  c.is().locked_vm = Pages{4};
  EXPECT_FALSE(c.Holds("munmap-effect"));
}

TEST(MprotectErrnoTest, HoleAndReadOnlySegment) {
  Case c(Op::kMprotect);
  c.Over(0, 4);
  c.step.prot = uapi::kProtRead | uapi::kProtWrite;
  c.Map(0, 2, kPlain);
  EXPECT_TRUE(c.Holds("mprotect-errno", kEnomem));
  EXPECT_FALSE(c.Holds("mprotect-errno", kOk));
  c.Map(2, 2, kRangeRead | kRangeShared | kRangeShm);
  EXPECT_TRUE(c.Holds("mprotect-errno", Outcome::Errno(EACCES)));
  EXPECT_FALSE(c.Holds("mprotect-errno", kEnomem));
  c.step.length = 0;
  EXPECT_TRUE(c.Holds("mprotect-errno", kOk));
}

TEST(MprotectEffectTest, ChangesAccessAndKeepsLocks) {
  Case c(Op::kMprotect);
  c.Over(0, 4);
  c.step.prot = uapi::kProtRead;
  c.Map(0, 2, kPlain | kLockBits);
  c.outcome = kEnomem;
  EXPECT_FALSE(c.Holds("mprotect-effect"));
  Set(&c.is(), 0, 2, kRangeRead | kRangeMayWrite | kLockBits);
  EXPECT_TRUE(c.Holds("mprotect-effect"));
  Set(&c.is(), 0, 2, kRangeRead | kRangeMayWrite);
  EXPECT_FALSE(c.Holds("mprotect-effect"));
}

TEST(MprotectResidencyTest, LockedPrivatePagesAreCopiedAtOnce) {
  Case c(Op::kMprotect);
  c.Over(0, 1);
  c.step.prot = uapi::kProtRead | uapi::kProtWrite;
  Set(&c.was(), 0, 1, kRangeRead | kRangeMayWrite | kRangeLocked);
  c.engine.Fill(0, Page(0), Page(1), {.present = true, .zero_page = true});
  Mismatch mismatch;
  EXPECT_FALSE(c.Holds("mprotect-residency", &mismatch));  // D17
  EXPECT_EQ(mismatch.seen, "the zero page");
  c.engine.Fill(0, Page(0), Page(1), {.present = true, .unseen = true});
  EXPECT_TRUE(c.Holds("mprotect-residency"));
  c.engine.Fill(0, Page(0), Page(1));
  EXPECT_TRUE(c.Holds("mprotect-residency"));
}

Case MremapCase(uint64_t page, uint64_t old_pages, uint64_t new_pages,
                uint32_t flags) {
  Case c(Op::kMremap);
  c.Over(page, old_pages);
  c.step.length2 = new_pages * kPageSize;
  c.step.flags = flags;
  return c;
}

TEST(MremapErrnoTest, GrowthOfALockedMappingIsLimited) {
  Case c = MremapCase(0, 2, 17, 0);
  c.Map(0, 2, kPlain | kRangeLocked);
  EXPECT_TRUE(c.Holds("mremap-errno", kEagain));
  EXPECT_FALSE(c.Holds("mremap-errno", Mapped(0)));
  c.was().cap_ipc_lock = true;
  EXPECT_TRUE(c.Holds("mremap-errno", Mapped(0)));
  EXPECT_FALSE(c.Holds("mremap-errno", kEagain));
}

TEST(MremapErrnoTest, ArgumentsAndRoom) {
  Case c = MremapCase(0, 2, 4, 0);
  EXPECT_TRUE(c.Holds("mremap-errno", kEfault));
  c.Map(0, 2, kPlain);
  c.Map(3, 1, kPlain);
  EXPECT_TRUE(c.Holds("mremap-errno", kEnomem));
  EXPECT_FALSE(c.Holds("mremap-errno", Mapped(0)));
  c.step.flags = uapi::kMremapFixed;
  EXPECT_TRUE(c.Holds("mremap-errno", kEinval));
  EXPECT_FALSE(c.Holds("mremap-errno", kEnomem));
}

TEST(MremapErrnoTest, ShrinkingNeverLooksAtTheMapping) {
  Case c = MremapCase(0, 2, 1, 0);
  EXPECT_TRUE(c.Holds("mremap-errno", Mapped(0)));
  EXPECT_FALSE(c.Holds("mremap-errno", kEfault));
}

TEST(MremapEffectTest, GrowthIsLockedAndCharged) {
  Case c = MremapCase(0, 2, 4, 0);
  c.Map(0, 2, kPlain | kRangeLocked);
  c.outcome = Mapped(0);
  EXPECT_FALSE(c.Holds("mremap-effect"));
  Set(&c.is(), 0, 4, kPlain | kRangeLocked);
  EXPECT_TRUE(c.Holds("mremap-effect"));
  c.is().locked_vm = Pages{2};
  EXPECT_FALSE(c.Holds("mremap-effect"));
}

TEST(MremapEffectTest, AMoveCarriesTheLock) {
  Case c = MremapCase(0, 2, 2, uapi::kMremapMaymove | uapi::kMremapFixed);
  c.step.new_addr = At(8);
  c.Map(0, 4, kPlain | kRangeLocked);
  c.Map(8, 4, kPlain);
  c.outcome = Mapped(8);
  Set(&c.is(), 0, 2, 0);
  Set(&c.is(), 8, 2, kPlain | kRangeLocked);
  EXPECT_TRUE(c.Holds("mremap-effect"));
  Set(&c.is(), 8, 2, kPlain);
  EXPECT_FALSE(c.Holds("mremap-effect"));
}

TEST(MremapEffectTest, AFailedFixedMoveMayHaveUnmappedItsTarget) {
  Case c = MremapCase(0, 2, 2, uapi::kMremapMaymove | uapi::kMremapFixed);
  c.step.new_addr = At(8);
  c.Map(8, 4, kPlain);
  c.outcome = kEfault;
  EXPECT_TRUE(c.Holds("mremap-effect"));
  Set(&c.is(), 8, 2, 0);
  EXPECT_TRUE(c.Holds("mremap-effect"));
  Set(&c.is(), 8, 3, 0);
  EXPECT_FALSE(c.Holds("mremap-effect"));
}

TEST(MremapResidencyTest, TheNewTailIsPopulated) {
  Case c = MremapCase(0, 1, 2, 0);
  c.Map(0, 1, kPlain | kRangeLocked);
  Set(&c.is(), 0, 2, kPlain | kRangeLocked);
  c.outcome = Mapped(0);
  EXPECT_FALSE(c.Holds("mremap-residency"));
  c.engine.Fill(0, Page(1), Page(2));
  EXPECT_TRUE(c.Holds("mremap-residency"));
}

Case BrkCase(uint64_t pages) {
  Case c(Op::kBrk);
  c.step.addr = Address::Heap(Vpn{pages});
  return c;
}
Outcome Break(uint64_t pages) {
  return Outcome::Ok(static_cast<int64_t>(kHeapBase + pages * kPageSize));
}

TEST(BrkOutcomeTest, GrowthUnderFutureIsLimited) {
  Case c = BrkCase(17);
  EXPECT_TRUE(c.Holds("brk-outcome", Break(17)));
  EXPECT_FALSE(c.Holds("brk-outcome", Break(0)));
  c.was().future_locked = true;
  EXPECT_TRUE(c.Holds("brk-outcome", Break(0)));
  EXPECT_FALSE(c.Holds("brk-outcome", Break(17)));
  EXPECT_FALSE(c.Holds("brk-outcome", kEnomem));
}

TEST(BrkOutcomeTest, StaysClearOfTheNextMapping) {
  Case c = BrkCase(4);
  SetVpn(&c.was(), PageOf(kHeapBase) + Pages{4}, Pages{1}, kPlain);
  EXPECT_TRUE(c.Holds("brk-outcome", Break(0)));
  EXPECT_FALSE(c.Holds("brk-outcome", Break(4)));
}

TEST(BrkEffectTest, HeapIsLockedUnderFuture) {
  Case c = BrkCase(2);
  c.was().future_locked = true;
  c.after = c.before;
  c.outcome = Break(2);
  c.is().brk = kHeapBase + 2 * kPageSize;
  SetVpn(&c.is(), PageOf(kHeapBase), Pages{2}, kPlain);
  EXPECT_FALSE(c.Holds("brk-effect"));
  SetVpn(&c.is(), PageOf(kHeapBase), Pages{2}, kPlain | kRangeLocked);
  EXPECT_TRUE(c.Holds("brk-effect"));
}

TEST(BrkResidencyTest, HeapUnderFutureIsPopulated) {
  Case c = BrkCase(1);
  c.was().future_locked = true;
  c.outcome = Break(1);
  SetVpn(&c.is(), PageOf(kHeapBase), Pages{1}, kPlain | kRangeLocked);
  EXPECT_FALSE(c.Holds("brk-residency"));
  c.engine.Fill(0, PageOf(kHeapBase), PageOf(kHeapBase) + Pages{1});
  EXPECT_TRUE(c.Holds("brk-residency"));
}

}  // namespace
}  // namespace lockstep::contracts
