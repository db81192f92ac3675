// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// mlockall and munlockall.

#include <cerrno>

#include "props/contract_support.h"
#include "props/contracts.h"

namespace lockstep::contracts {
namespace {

const Vpn kEverywhere = PageOf(kTaskSize);

// 0: mlockall goes through. MCL_ONFAULT alone asks for nothing and is refused
// as the manual page says; v4.9 as released accepts it (D6).
int MlockallError(const StepContext& context) {
  const uint32_t flags = context.step.flags;
  const TaskState& task = context.task_before();
  uint32_t known = uapi::kMclCurrent | uapi::kMclFuture;
  if (context.config.profile->Has(Behaviour::kMlock2)) {
    known |= uapi::kMclOnfault;
  }
  if ((flags & ~known) != 0 ||
      (flags & (uapi::kMclCurrent | uapi::kMclFuture)) == 0) {
    return EINVAL;
  }
  if (!CanDoMlock(task)) return EPERM;
  if ((flags & uapi::kMclCurrent) != 0 && !task.cap_ipc_lock &&
      task.total_vm > LimitPages(task)) {
    return ENOMEM;
  }
  return 0;
}

bool MlockallErrno(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran()) return true;
  const int error = MlockallError(context);
  Allowed allowed = error == 0 ? Allowed::Success() : Allowed::Only(error);
  if (context.events.fatal_signal && error != EINVAL && error != EPERM) {
    allowed.Or(EINTR);
  }
  return Check(context, allowed, mismatch);
}

bool MlockallEffect(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran() || Disturbed(context)) return true;
  const TaskState& before = context.task_before();
  const TaskState& after = context.task_after();
  if (MlockallError(context) != 0) {
    return NothingChanged(before, after, mismatch);
  }
  const uint32_t flags = context.step.flags;
  const bool onfault = (flags & uapi::kMclOnfault) != 0;
  WantTask want = WantTask::Unchanged(before);
  want.future_locked = (flags & uapi::kMclFuture) != 0;
  want.future_onfault = want.future_locked && onfault;
  if (!CheckTask(before, after, want, mismatch)) return false;
  if ((flags & uapi::kMclCurrent) == 0) {
    return RangesUnchanged(before, after, mismatch);
  }
  const uint32_t add = kRangeLocked | (onfault ? kRangeLockOnFault : 0u);
  const auto locked = [add](Vpn, Vpn, uint32_t was) {
    if (was == 0 || !Lockable(was)) return Want{was};
    return Want{(was & ~kLockBits) | add};
  };
  return RangesBecame(before, after, Vpn{0}, kEverywhere, locked, mismatch);
}

// Populate's failures are ignored, and it goes on with the next VMA.
bool MlockallResidency(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ok() || !PagesUndisturbed(context) ||
      (context.step.flags & uapi::kMclCurrent) == 0) {
    return true;
  }
  return PopulatedPagesPresent(context, Vpn{0}, kEverywhere, /*hugetlb=*/false,
                               mismatch);
}

bool MunlockallErrno(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran()) return true;
  Allowed allowed = Allowed::Success();
  if (context.events.fatal_signal) allowed.Or(EINTR);
  return Check(context, allowed, mismatch);
}

bool MunlockallEffect(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ok() || Disturbed(context)) return true;
  const TaskState& before = context.task_before();
  WantTask want = WantTask::Unchanged(before);
  want.future_locked = want.future_onfault = false;
  const auto unlocked = [](Vpn, Vpn, uint32_t was) {
    return Want{Lockable(was) ? was & ~kLockBits : was};
  };
  return CheckTask(before, context.task_after(), want, mismatch) &&
         RangesBecame(before, context.task_after(), Vpn{0}, kEverywhere,
                      unlocked, mismatch);
}

constexpr Contract kContracts[] = {
    {.name = "mlockall-errno",
     .statement = "mlockall: EINVAL for bad flags and MCL_ONFAULT alone, then "
                  "EPERM, then ENOMEM if CURRENT and total_vm passes the limit",
     .source = "mlockall; mlockall(2)",
     .ops = OpBit(Op::kMlockall),
     .holds = MlockallErrno},
    {.name = "mlockall-effect",
     .statement = "mlockall sets def_flags anew, with CURRENT locks every "
                  "lockable VMA as asked, and when refused changes nothing",
     .source = "apply_mlockall_flags",
     .ops = OpBit(Op::kMlockall),
     .holds = MlockallEffect},
    {.name = "mlockall-residency",
     .statement = "after mlockall(MCL_CURRENT) every page that can be resident "
                  "is, unless locked on fault",
     .source = "mlockall, mm_populate; TLPI T4",
     .ops = OpBit(Op::kMlockall),
     .holds = MlockallResidency},
    {.name = "munlockall-errno",
     .statement = "munlockall succeeds",
     .source = "munlockall",
     .ops = OpBit(Op::kMunlockall),
     .holds = MunlockallErrno},
    {.name = "munlockall-effect",
     .statement = "munlockall unlocks every VMA and clears def_flags",
     .source = "apply_mlockall_flags",
     .ops = OpBit(Op::kMunlockall),
     .holds = MunlockallEffect},
};

}  // namespace

absl::Span<const Contract> MlockallContracts() { return kContracts; }

}  // namespace lockstep::contracts
