// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Tasks, SysV shared memory, and the laws of every step.

#include <cerrno>
#include <set>
#include <string>

#include "gtest/gtest.h"
#include "props/contract_testing.h"

namespace lockstep::contracts {
namespace {

const Outcome kOk = Outcome::Ok();
const Outcome kEnomem = Outcome::Errno(ENOMEM);
const Outcome kEinval = Outcome::Errno(EINVAL);
const Outcome kEperm = Outcome::Errno(EPERM);

TEST(EmptySlotSkipsTest, ACallNeedsATask) {
  Case c(Op::kMlock);
  EXPECT_TRUE(c.Holds("empty-slot-skips", kOk));
  c.was().exists = false;
  EXPECT_FALSE(c.Holds("empty-slot-skips", kOk));
  EXPECT_TRUE(c.Holds("empty-slot-skips", Outcome::Skipped()));
}

TEST(SkippedChangesNothingTest, SeesAChange) {
  Case c(Op::kShmctl);
  c.Map(0, 1, kPlain);
  c.outcome = Outcome::Skipped();
  EXPECT_TRUE(c.Holds("skipped-changes-nothing"));
  c.is().memlock_limit = 0;
  EXPECT_FALSE(c.Holds("skipped-changes-nothing"));
}

Case ForkCase() {
  Case c(Op::kFork);
  c.step.slot = 3;
  c.was().future_locked = true;
  c.Map(0, 2, kPlain | kLockBits);
  c.after.tasks[3] = c.is();
  c.after.tasks[3].mm = 2;
  return c;
}

TEST(ForkTest, TheChildInheritsNoLock) {
  Case c = ForkCase();
  TaskState& child = c.after.tasks[3];
  EXPECT_FALSE(c.Holds("fork-inherits-no-lock"));
  Set(&child, 0, 2, kPlain);
  EXPECT_FALSE(c.Holds("fork-inherits-no-lock"));  // def_flags
  child.future_locked = false;
  EXPECT_TRUE(c.Holds("fork-inherits-no-lock"));
  Set(&c.is(), 0, 2, kPlain);  // the parent lost its lock
  EXPECT_FALSE(c.Holds("fork-inherits-no-lock"));
}

TEST(ForkTest, AThreadSharesEverything) {
  Case c = ForkCase();
  c.step.value = 1;
  EXPECT_FALSE(c.Holds("fork-inherits-no-lock"));
  c.after.tasks[3].mm = 1;
  EXPECT_TRUE(c.Holds("fork-inherits-no-lock"));
}

TEST(ForkTest, FailsOnlyForWantOfMemory) {
  Case c = ForkCase();
  EXPECT_TRUE(c.Holds("fork-errno", kOk));
  EXPECT_FALSE(c.Holds("fork-errno", kEnomem));
  c.events.allocation_failed = true;
  EXPECT_TRUE(c.Holds("fork-errno", kEnomem));
  c.before.tasks[3].exists = true;
  EXPECT_FALSE(c.Holds("fork-errno", kOk));
}

TEST(ExecTest, ClearsLocksAndFuture) {
  Case c(Op::kExec);
  c.was().future_locked = true;
  c.Map(0, 2, kPlain | kRangeLocked);
  EXPECT_FALSE(c.Holds("exec-clears"));
  Set(&c.is(), 0, 2, 0);
  EXPECT_FALSE(c.Holds("exec-clears"));
  c.is().future_locked = false;
  EXPECT_TRUE(c.Holds("exec-clears"));
}

TEST(ExecTest, OnlyTheImageIsMapped) {
  Case c(Op::kExec);
  SetVpn(&c.is(), PageOf(kImageBase), Pages{3}, kPlain);
  EXPECT_FALSE(c.Holds("exec-clears"));
  c.config.image_lockable_pages = 3;
  EXPECT_TRUE(c.Holds("exec-clears"));
}

TEST(ExitTest, TheTaskIsGone) {
  Case c(Op::kExit);
  EXPECT_FALSE(c.Holds("exit-clears"));
  c.is() = {};
  EXPECT_TRUE(c.Holds("exit-clears"));
}

TEST(FatalSignalTest, TheTaskDoesNotOutliveItsCall) {
  Case c(Op::kMlock);
  c.events.fatal_signal = true;
  EXPECT_FALSE(c.Holds("fatal-signal-ends-task"));
  c.is() = {};
  EXPECT_TRUE(c.Holds("fatal-signal-ends-task"));
}

TEST(SetrlimitEffectTest, SetsTheLimitAndNothingElse) {
  Case c(Op::kSetrlimit);
  c.step.length = 12345;
  EXPECT_FALSE(c.Holds("setrlimit-effect"));
  c.is().memlock_limit = 12345;
  EXPECT_TRUE(c.Holds("setrlimit-effect"));
  c.is().cap_ipc_lock = true;
  EXPECT_FALSE(c.Holds("setrlimit-effect"));
  c.step.op = Op::kSetcap;
  c.is().memlock_limit = c.was().memlock_limit;
  c.step.value = 1;
  EXPECT_TRUE(c.Holds("setrlimit-effect"));
  c.step.op = Op::kSetuid;
  c.step.slot = 2;
  EXPECT_FALSE(c.Holds("setrlimit-effect"));
  c.is().uid = 2;
  EXPECT_TRUE(c.Holds("setrlimit-effect"));
}

TEST(OtherTasksUntouchedTest, OnlyThreadsSeeAChange) {
  Case c(Op::kMlock);
  c.Map(0, 2, kPlain);
  c.before.tasks[5] = c.was();
  c.before.tasks[5].mm = 9;
  c.after = c.before;
  Set(&c.is(), 0, 2, kPlain | kRangeLocked);
  EXPECT_TRUE(c.Holds("other-tasks-untouched"));
  c.after.tasks[5].ranges = c.is().ranges;
  c.after.tasks[5].locked_vm = c.is().locked_vm;
  EXPECT_FALSE(c.Holds("other-tasks-untouched"));
  c.before.tasks[5].mm = c.after.tasks[5].mm = 1;
  EXPECT_TRUE(c.Holds("other-tasks-untouched"));
}

TEST(EnvironmentKeepsMappingsTest, SeesAMappingThatGoes) {
  Case c(Op::kReclaim);
  c.Map(0, 2, kPlain);
  EXPECT_TRUE(c.Holds("environment-keeps-mappings"));
  Set(&c.is(), 1, 1, 0);
  EXPECT_FALSE(c.Holds("environment-keeps-mappings"));
}

// ---- SysV shared memory ----

Case ShmctlCase(uint32_t command) {
  Case c(Op::kShmctl);
  c.step.flags = command;
  c.before.shm[0] = {.exists = true, .size = 4 * kPageSize};
  c.after = c.before;
  return c;
}

TEST(ShmLockErrnoTest, StrangersAndLimitZeroAreEperm) {
  Case c = ShmctlCase(uapi::kShmLock);
  EXPECT_TRUE(c.Holds("shm-lock-errno", kOk));
  EXPECT_FALSE(c.Holds("shm-lock-errno", kEperm));
  c.was().memlock_limit = 0;
  EXPECT_TRUE(c.Holds("shm-lock-errno", kEperm));
  c.step.flags = uapi::kShmUnlock;
  EXPECT_TRUE(c.Holds("shm-lock-errno", kOk));
  c.was().uid = 1;
  EXPECT_TRUE(c.Holds("shm-lock-errno", kEperm));
  EXPECT_FALSE(c.Holds("shm-lock-errno", kOk));
}

TEST(ShmLockErrnoTest, TheUsersTotalIsLimited) {
  Case c = ShmctlCase(uapi::kShmLock);
  c.before.locked_shm[0] = Pages{13};
  EXPECT_TRUE(c.Holds("shm-lock-errno", kEnomem));
  EXPECT_FALSE(c.Holds("shm-lock-errno", kOk));
  c.before.shm[0].locked = true;  // a second lock is free
  EXPECT_TRUE(c.Holds("shm-lock-errno", kOk));
  c.step.flags = 99;
  EXPECT_TRUE(c.Holds("shm-lock-errno", kEinval));
}

TEST(ShmLockEffectTest, ChargesTheCallerOnce) {
  Case c = ShmctlCase(uapi::kShmLock);
  c.was().uid = c.is().uid = 2;
  EXPECT_FALSE(c.Holds("shm-lock-effect"));
  c.after.shm[0].locked = true;
  c.after.locked_shm[2] = Pages{4};
  EXPECT_TRUE(c.Holds("shm-lock-effect"));
  c.is().locked_vm = Pages{4};  // never locked_vm
  EXPECT_FALSE(c.Holds("shm-lock-effect"));
  c.is().locked_vm = Pages{0};
  c.before = c.after;
  EXPECT_TRUE(c.Holds("shm-lock-effect"));
  c.after.locked_shm[2] = Pages{8};
  EXPECT_FALSE(c.Holds("shm-lock-effect"));
}

TEST(ShmLockEffectTest, UnlockGivesTheChargeBackToWhoLocked) {
  Case c = ShmctlCase(uapi::kShmUnlock);
  c.before.shm[0].locked = true;
  c.before.locked_shm[3] = Pages{4};
  EXPECT_TRUE(c.Holds("shm-lock-effect"));
  c.after.locked_shm[0] = Pages{0} - Pages{4};
  c.after.locked_shm[3] = Pages{4};
  EXPECT_TRUE(c.Holds("shm-lock-effect"));
  c.after.locked_shm[0] = Pages{0};
  EXPECT_FALSE(c.Holds("shm-lock-effect"));
}

TEST(ShmChargeTest, IsTheSizeOfLockedSegments) {
  Case c = ShmctlCase(uapi::kShmLock);
  EXPECT_TRUE(c.Holds("shm-charge-observed"));
  c.after.shm[0].locked = true;
  EXPECT_FALSE(c.Holds("shm-charge-observed"));
  c.after.locked_shm[1] = Pages{4};
  EXPECT_TRUE(c.Holds("shm-charge-observed"));
}

TEST(ShmgetEffectTest, MakesAnUnlockedSegment) {
  Case c(Op::kShmget);
  c.step.length = 5000;
  EXPECT_FALSE(c.Holds("shmget-effect"));
  c.after.shm[0] = {.exists = true, .size = 5000};
  EXPECT_TRUE(c.Holds("shmget-effect"));
  c.after.shm[0].locked = true;
  EXPECT_FALSE(c.Holds("shmget-effect"));
}

Case ShmatCase() {
  Case c(Op::kShmat);
  c.step.addr = At(8);
  c.before.shm[0] = {.exists = true, .locked = true, .size = 4 * kPageSize};
  c.outcome = Outcome::Ok(static_cast<int64_t>(AddressOf(Page(8))));
  c.after = c.before;
  return c;
}
constexpr uint32_t kSegment = kPlain | kRangeShared | kRangeShm | kRangeFile;

// Only where a hole has taken a hugetlb page's reservation, and there is none.
TEST(ShmatEffectTest, ARefusedAttachmentOfHugetlbMemoryMayHaveMadeRoom) {
  Case c = ShmatCase();
  c.Map(8, 4, kPlain);
  c.after.tasks[0].ranges.clear();
  c.step.flags = uapi::kShmRemap;
  c.outcome = kEnomem;
  c.before.shm[0].hugetlb = true;
  EXPECT_TRUE(c.Holds("shmat-effect"));
  c.outcome = kEinval;
  EXPECT_FALSE(c.Holds("shmat-effect"));
  c.outcome = kEnomem;
  c.step.flags = 0;
  EXPECT_FALSE(c.Holds("shmat-effect"));
  c.step.flags = uapi::kShmRemap;
  c.before.shm[0].hugetlb = false;
  EXPECT_FALSE(c.Holds("shmat-effect"));
}

TEST(ShmatErrnoTest, FutureIsLimitedAndATakenAddressRefused) {
  Case c = ShmatCase();
  EXPECT_TRUE(c.Holds("shmat-errno"));
  c.was().future_locked = true;
  c.was().memlock_limit = 3 * kPageSize;
  EXPECT_FALSE(c.Holds("shmat-errno"));
  EXPECT_TRUE(c.Holds("shmat-errno", Outcome::Errno(EAGAIN)));
  c.was().future_locked = false;
  Set(&c.was(), 10, 1, kPlain);
  EXPECT_TRUE(c.Holds("shmat-errno", kEinval));
  EXPECT_FALSE(c.Holds("shmat-errno", kOk));
}

TEST(ShmatEffectTest, AttachingDoesNotLock) {
  Case c = ShmatCase();
  EXPECT_FALSE(c.Holds("shmat-effect"));
  Set(&c.is(), 8, 4, kSegment);
  EXPECT_TRUE(c.Holds("shmat-effect"));
  Set(&c.is(), 8, 4, kSegment | kRangeLocked);
  EXPECT_FALSE(c.Holds("shmat-effect"));
}

TEST(ShmdtEffectTest, UnmapsSegmentsOnly) {
  Case c(Op::kShmdt);
  c.step.addr = At(8);
  c.Map(4, 2, kPlain | kRangeLocked);
  c.Map(8, 4, kSegment | kRangeLocked);
  EXPECT_FALSE(c.Holds("shmdt-effect"));  // nothing was detached
  Set(&c.is(), 8, 4, 0);
  EXPECT_TRUE(c.Holds("shmdt-effect"));
  Set(&c.is(), 4, 2, 0);
  EXPECT_FALSE(c.Holds("shmdt-effect"));
}

// ---- Laws ----

// The law `name` holds, and the others do; asked by its row and all at once.
bool LawHolds(const Case& c, absl::string_view name) {
  for (const Contract& contract : AllContracts()) {
    if (contract.asked != Asked::kLaw) continue;
    if (contract.name == name) continue;
    EXPECT_TRUE(c.Holds(contract.name)) << contract.name;
  }
  const bool holds = c.Holds(name);
  EXPECT_EQ(LawsHold(c.Context()), holds) << name;
  return holds;
}

TEST(LockedVmObservedTest, IsTheSumOfLockedRanges) {
  Case c(Op::kDrain);
  c.Map(0, 2, kPlain | kRangeLocked);
  EXPECT_TRUE(LawHolds(c, "locked-vm-observed"));
  c.is().locked_vm = Pages{3};
  EXPECT_FALSE(LawHolds(c, "locked-vm-observed"));
}

TEST(TotalVmObservedTest, CountsTheImage) {
  Case c(Op::kDrain);
  c.Map(0, 2, kPlain);
  EXPECT_TRUE(LawHolds(c, "total-vm-observed"));
  c.config.image_pages = 5;
  EXPECT_FALSE(LawHolds(c, "total-vm-observed"));
  c.is().total_vm = Pages{7};
  EXPECT_TRUE(LawHolds(c, "total-vm-observed"));
}

TEST(RangesInOrderTest, OverlapIsSeen) {
  Case c(Op::kDrain);
  c.Map(0, 2, kPlain);
  c.Map(2, 2, kPlain);
  EXPECT_TRUE(LawHolds(c, "ranges-in-order"));
  c.is().ranges[1].start = Page(1);
  c.is().total_vm = Pages{5};
  EXPECT_FALSE(LawHolds(c, "ranges-in-order"));
}

TEST(RangesInOrderTest, EmptyRangesAndThoseBehindUserSpaceAreSeen) {
  Case c(Op::kDrain);
  c.Map(0, 2, kPlain);
  c.is().ranges[0].end = c.is().ranges[0].start;
  c.is().total_vm = Pages{0};
  EXPECT_FALSE(LawHolds(c, "ranges-in-order"));
  c.is().ranges[0].start = PageOf(kTaskSize);
  c.is().ranges[0].end = PageOf(kTaskSize) + Pages{1};
  c.is().total_vm = Pages{1};
  EXPECT_FALSE(LawHolds(c, "ranges-in-order"));
}

TEST(OnfaultImpliesLockedTest, InDefFlagsIsSeen) {
  Case c(Op::kDrain);
  c.is().future_onfault = true;
  EXPECT_FALSE(LawHolds(c, "onfault-implies-locked"));
  c.is().future_locked = true;
  EXPECT_TRUE(LawHolds(c, "onfault-implies-locked"));
}

TEST(OnfaultImpliesLockedTest, AloneIsSeen) {
  Case c(Op::kDrain);
  c.Map(0, 2, kPlain | kLockBits);
  EXPECT_TRUE(LawHolds(c, "onfault-implies-locked"));
  c.is().ranges[0].bits = kPlain | kRangeLockOnFault;
  c.is().locked_vm = Pages{0};
  EXPECT_FALSE(LawHolds(c, "onfault-implies-locked"));
}

TEST(SpecialNeverLockedTest, LockedDeviceIsSeen) {
  Case c(Op::kDrain);
  c.Map(0, 2, kPlain | kRangeSpecial);
  EXPECT_TRUE(LawHolds(c, "special-never-locked"));
  c.is().ranges[0].bits |= kRangeLocked;
  c.is().locked_vm = Pages{2};
  EXPECT_FALSE(LawHolds(c, "special-never-locked"));
}

TEST(MemfdSecretErrnoTest, IsUnknown) {
  Case c(Op::kMemfdSecret);
  EXPECT_TRUE(c.Holds("memfd-secret-errno", Outcome::Errno(ENOSYS)));
  EXPECT_FALSE(c.Holds("memfd-secret-errno", kOk));
}

TEST(AllContractsTest, NamesAreUniqueAndRowsComplete) {
  std::set<std::string> names;
  for (const Contract& contract : AllContracts()) {
    EXPECT_TRUE(names.insert(std::string(contract.name)).second)
        << contract.name;
    EXPECT_FALSE(contract.statement.empty()) << contract.name;
    EXPECT_FALSE(contract.source.empty()) << contract.name;
    EXPECT_NE(contract.ops, 0u) << contract.name;
    EXPECT_NE(contract.holds, nullptr) << contract.name;
  }
  EXPECT_EQ(FindContract("no-such-contract"), nullptr);
}

}  // namespace
}  // namespace lockstep::contracts
