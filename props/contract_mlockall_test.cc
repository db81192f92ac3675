// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include <cerrno>

#include "gtest/gtest.h"
#include "props/contract_testing.h"

namespace lockstep::contracts {
namespace {

const Outcome kOk = Outcome::Ok();
const Outcome kEnomem = Outcome::Errno(ENOMEM);
const Outcome kEinval = Outcome::Errno(EINVAL);

Case MlockallCase(uint32_t flags) {
  Case c(Op::kMlockall);
  c.step.flags = flags;
  return c;
}

TEST(MlockallErrnoTest, OnFaultAloneIsEinval) {
  Case c = MlockallCase(uapi::kMclOnfault);
  EXPECT_TRUE(c.Holds("mlockall-errno", kEinval));
  EXPECT_FALSE(c.Holds("mlockall-errno", kOk));  // D6
}

TEST(MlockallErrnoTest, OnFaultIsUnknownToV312) {
  Case c = MlockallCase(uapi::kMclOnfault | uapi::kMclCurrent);
  EXPECT_TRUE(c.Holds("mlockall-errno", kOk));
  c.Use("v3.12");
  EXPECT_TRUE(c.Holds("mlockall-errno", kEinval));
}

TEST(MlockallErrnoTest, EinvalThenEpermThenEnomem) {
  Case c = MlockallCase(0);
  c.Map(0, 17, kPlain);
  c.was().memlock_limit = 0;
  EXPECT_TRUE(c.Holds("mlockall-errno", kEinval));
  c.step.flags = uapi::kMclCurrent;
  EXPECT_TRUE(c.Holds("mlockall-errno", Outcome::Errno(EPERM)));
  c.was().memlock_limit = 16 * kPageSize;
  EXPECT_TRUE(c.Holds("mlockall-errno", kEnomem));
  EXPECT_FALSE(c.Holds("mlockall-errno", kOk));
}

TEST(MlockallErrnoTest, FutureAloneHasNoLimit) {
  Case c = MlockallCase(uapi::kMclFuture);
  c.Map(0, 17, kPlain);
  EXPECT_TRUE(c.Holds("mlockall-errno", kOk));
  EXPECT_FALSE(c.Holds("mlockall-errno", kEnomem));
}

TEST(MlockallEffectTest, CurrentLocksEverythingAndClearsFuture) {
  Case c = MlockallCase(uapi::kMclCurrent);
  c.was().future_locked = true;
  c.Map(0, 2, kPlain);
  c.Map(4, 2, kPlain | kRangeSpecial);
  c.outcome = kOk;
  Set(&c.is(), 0, 2, kPlain | kRangeLocked);
  EXPECT_FALSE(c.Holds("mlockall-effect"));
  c.is().future_locked = false;
  EXPECT_TRUE(c.Holds("mlockall-effect"));
}

TEST(MlockallEffectTest, FutureAloneLeavesMappings) {
  Case c = MlockallCase(uapi::kMclFuture | uapi::kMclOnfault);
  c.Map(0, 2, kPlain | kRangeLocked);
  c.outcome = kOk;
  c.is().future_locked = c.is().future_onfault = true;
  EXPECT_TRUE(c.Holds("mlockall-effect"));
  Set(&c.is(), 0, 2, kPlain | kLockBits);
  EXPECT_FALSE(c.Holds("mlockall-effect"));
}

TEST(MlockallEffectTest, ARefusalChangesNothing) {
  Case c = MlockallCase(uapi::kMclOnfault);
  c.Map(0, 2, kPlain | kRangeLocked);
  c.outcome = kEinval;
  EXPECT_TRUE(c.Holds("mlockall-effect"));
  Set(&c.is(), 0, 2, kPlain);
  EXPECT_FALSE(c.Holds("mlockall-effect"));
}

TEST(MlockallResidencyTest, LeavesOutWhatCannotBePopulated) {
  Case c = MlockallCase(uapi::kMclCurrent);
  c.Map(0, 2, kPlain | kRangeLocked);
  c.Map(2, 2, kRangeMayWrite | kRangeLocked);  // PROT_NONE
  c.outcome = kOk;
  EXPECT_FALSE(c.Holds("mlockall-residency"));
  c.engine.Fill(0, Page(0), Page(2));
  EXPECT_TRUE(c.Holds("mlockall-residency"));
}

TEST(MunlockallErrnoTest, Succeeds) {
  Case c(Op::kMunlockall);
  EXPECT_TRUE(c.Holds("munlockall-errno", kOk));
  EXPECT_FALSE(c.Holds("munlockall-errno", Outcome::Errno(EPERM)));
}

TEST(MunlockallEffectTest, UnlocksAllAndClearsFuture) {
  Case c(Op::kMunlockall);
  c.was().future_locked = true;
  c.Map(0, 2, kPlain | kLockBits);
  EXPECT_FALSE(c.Holds("munlockall-effect"));
  c.is().future_locked = false;
  Set(&c.is(), 0, 2, kPlain);
  EXPECT_TRUE(c.Holds("munlockall-effect"));
}

}  // namespace
}  // namespace lockstep::contracts
