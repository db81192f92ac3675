// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// mlock and mlock2: semantics of do_mlock as in each profile without its
// defects. The order of the checks is part of the contract: flags, permission,
// limit, walk over the VMAs, populate.

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "props/contract_support.h"
#include "props/contracts.h"

namespace lockstep::contracts {
namespace {

constexpr uint64_t kMlockOps = OpBit(Op::kMlock) | OpBit(Op::kMlock2);

bool OnFault(const Step& step) {
  return step.op == Op::kMlock2 && (step.flags & uapi::kMlockOnfault) != 0;
}

// What is wrong before the address space is looked at; 0: nothing.
int EarlyErrno(const StepContext& context) {
  const Step& step = context.step;
  if (step.op == Op::kMlock2) {
    if (!context.config.profile->Has(Behaviour::kMlock2)) return ENOSYS;
    if ((step.flags & ~uapi::kMlockOnfault) != 0) return EINVAL;
  }
  return CanDoMlock(context.task_before()) ? 0 : EPERM;
}

// Pages that are locked already are not charged again; the kernel looks for
// them only if the limit would be passed. In a range that wraps it looks at
// all that is above its start from 6.1 on.
bool WithinLimit(const Profile& profile, const TaskState& task,
                 const Request& request) {
  if (MayLockMore(task, request.pages)) return true;
  if (request.wraps && !profile.Has(Behaviour::kOverlapClampsEnd)) return false;
  const Pages overlap = LockedPages(
      task, request.start, request.wraps ? PageOf(kTaskSize) : request.end);
  return task.locked_vm + request.pages - overlap <= LimitPages(task);
}

// What populate returns over [start, end), which has no hole.
Allowed PopulateOutcome(const StepContext& context, const Request& request) {
  const TaskState& task = context.task_before();
  const bool onfault = OnFault(context.step);
  const bool needs_access =
      context.config.profile->Has(Behaviour::kOnfaultNeedsAccess);
  Allowed allowed;
  // A failed allocation is ENOMEM inside and becomes EAGAIN; or a huge page was
  // not to be had and small ones served, or it comes behind another failure.
  if (context.events.allocation_failed) allowed.Or(EAGAIN);
  // The guard pages of a task that is gone cannot be asked for any more.
  if (context.events.fatal_signal &&
      context.config.profile->Has(Behaviour::kMadvGuard)) {
    allowed.Or(ENOMEM);
  }
  const Range* const last = task.ranges.data() + task.ranges.size();
  const Range* range = FindRange(task, request.start);
  for (; range != nullptr && range != last && range->start < request.end;
       ++range) {
    if (range->Has(kRangeIo)) continue;
    // What memfd_secret made cannot be looked at from the kernel, so populate
    // fails, except where there is nothing to populate.
    if (range->Has(kRangeSecret)) {
      if (range->Has(kRangeLockOnFault)) continue;
      return allowed.Or(ENOMEM);
    }
    // VMAs that are never locked never become lock-on-fault either: they are
    // populated even by mlock2(MLOCK_ONFAULT).
    const bool fills = !onfault || !Lockable(range->bits);
    const bool no_access = NoAccess(context, range->bits);
    if (no_access && (fills || needs_access)) return allowed.Or(ENOMEM);
    if (fills && range->eof < std::min(range->end, request.end)) {
      return allowed.Or(ENOMEM);
    }
    if (fills && HasGuard(context, std::max(range->start, request.start),
                          std::min(range->end, request.end))) {
      return allowed.Or(ENOMEM);
    }
    // A private mapping of a pool that has run out fails with SIGBUS inside.
    if (fills && range->Has(kRangeHugetlb)) allowed.Or(ENOMEM).Or(EAGAIN);
  }
  return allowed.OrSuccess();
}

Allowed MlockOutcome(const StepContext& context) {
  const TaskState& task = context.task_before();
  const Request request = LockRequest(context.step);
  const int early = EarlyErrno(context);
  if (early != 0) return Allowed::Only(early);
  const Profile& profile = *context.config.profile;
  if (!WithinLimit(profile, task, request)) {
    Allowed allowed = Allowed::Only(ENOMEM);
    // Up to 6.0 count_mm_mlocked_page_nr on a range that wraps inside one
    // locked VMA yields a negative number of pages, so the limit may be passed;
    // then the wrap itself is the error. Both are right.
    if (request.wraps && !profile.Has(Behaviour::kOverlapClampsEnd)) {
      allowed.Or(EINVAL);
    }
    return allowed;
  }
  if (request.wraps) return Allowed::Only(EINVAL);
  if (request.empty()) return Allowed::Success();
  if (FirstHole(task, request.start, request.end) != request.end) {
    return Allowed::Only(ENOMEM);
  }
  Allowed allowed = PopulateOutcome(context, request);
  // A VMA to be split in front and behind needs two more.
  if (NearMapCount(context, 2)) allowed.Or(ENOMEM);
  return allowed;
}

bool MlockErrno(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran()) return true;
  Allowed allowed = MlockOutcome(context);
  if (context.events.fatal_signal) {
    // The killable lock, and populate between two pages.
    const int early = EarlyErrno(context);
    if (early == 0) allowed.Or(EINTR);
  }
  return Check(context, allowed, mismatch);
}

bool MlockEffect(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran() || Disturbed(context)) return true;
  const TaskState& before = context.task_before();
  const TaskState& after = context.task_after();
  const Request request = LockRequest(context.step);
  if (EarlyErrno(context) != 0 || request.wraps || request.empty() ||
      !WithinLimit(*context.config.profile, before, request)) {
    return NothingChanged(before, after, mismatch);
  }
  const Vpn stop = FirstHole(before, request.start, request.end);
  const uint32_t add =
      kRangeLocked | (OnFault(context.step) ? kRangeLockOnFault : 0u);
  // No VMA could be had for a split: the walk ends there. Before, pages have
  // the new state, behind it the old one.
  const bool may_stop =
      context.outcome.Is(ENOMEM) &&
      (NearMapCount(context, 2) || context.events.allocation_failed);
  const auto locked = [add](Vpn, Vpn, uint32_t was) {
    if (!Lockable(was) || was == 0) return Want{was};
    return Want{(was & ~kLockBits) | add};
  };
  if (!CheckTask(before, after, WantTask::Unchanged(before), mismatch)) {
    return false;
  }
  if (!may_stop) {
    return RangesBecame(before, after, request.start, stop, locked, mismatch);
  }
  // Stops lie where a VMA begins.
  Vpn end = request.start;
  for (;;) {
    Mismatch ignored;
    if (RangesBecame(before, after, request.start, end, locked, &ignored)) {
      return true;
    }
    if (end == stop) break;
    end = std::min(FindRange(before, end)->end, stop);
  }
  return RangesBecame(before, after, request.start, stop, locked, mismatch);
}

bool MlockResidency(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ok() || !PagesUndisturbed(context)) return true;
  const Request request = LockRequest(context.step);
  if (request.empty()) return true;
  return PopulatedPagesPresent(context, request.start, request.end,
                               /*hugetlb=*/true, mismatch);
}

// There is no other task: what fork has shared may have lost a locker that the
// kernel did not count (mlock_count, from 5.18).
bool OwnsItsPages(const StepContext& context) {
  const int own = TaskSlot(context.step);
  for (int slot = 0; slot < kTaskSlots; ++slot) {
    if (slot != own && context.before.tasks[slot].exists) return false;
  }
  return true;
}

bool MlockMarksPages(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ok() || !PagesUndisturbed(context) ||
      !context.engine.SeesMlocked() || !OwnsItsPages(context)) {
    return true;
  }
  const Request request = LockRequest(context.step);
  if (request.empty()) return true;
  const TaskState& task = context.task_after();
  const int slot = TaskSlot(context.step);
  const Range* const last = task.ranges.data() + task.ranges.size();
  const Range* range = FindRange(task, request.start);
  for (; range != nullptr && range != last && range->start < request.end;
       ++range) {
    if (!range->Has(kRangeLocked) || range->Has(kRangeLockOnFault) ||
        range->Has(kRangeShared)) {
      continue;
    }
    Vpn page = std::max(range->start, request.start);
    // As for residency: populate leaves the guard page out.
    if (range->Has(kRangeGrowsdown) && page == range->start &&
        !context.config.profile->Has(Behaviour::kStackGuardGap)) {
      ++page;
    }
    for (const Vpn end = std::min(range->end, request.end); page < end;
         ++page) {
      const PageState state = context.engine.ObservePage(slot, page);
      // Huge pages that are mapped in pieces are never marked.
      if (state.anonymous && !state.huge && !state.mlocked) {
        return Fail(mismatch,
                    absl::StrCat(DescribePages(page, page + Pages{1},
                                               range->bits | kMapped),
                                 ", Mlocked"),
                    "not Mlocked");
      }
    }
  }
  return true;
}

constexpr Contract kContracts[] = {
    {.name = "mlock-errno",
     .statement = "mlock and mlock2 fail exactly when and as they must: flags, "
                  "permission, limit without double charge, holes, populate",
     .source = "do_mlock, apply_vma_lock_flags, __mlock_posix_error_return; "
               "KAPI mlock L2, L4, L7-L11, L22, L28, L30",
     .ops = kMlockOps,
     .holds = MlockErrno},
    {.name = "mlock-effect",
     .statement = "mlock marks and charges every lockable page up to the first "
                  "hole once, whatever its lock was, and nothing else",
     .source = "mlock_fixup; KAPI mlock L3, L5, L16, L18, L23, L27, L32-L38; "
               "TLPI T1, T2",
     .ops = kMlockOps,
     .holds = MlockEffect},
    {.name = "mlock-residency",
     .statement =
         "after a successful mlock every page of the range is resident",
     .source = "__mm_populate; KAPI mlock L21, L24; TLPI T4",
     .ops = kMlockOps,
     .holds = MlockResidency},
    {.name = kMlockMlocked,
     .statement = "after a successful mlock every small private page of the "
                  "range is Mlocked, wherever it came from",
     .source = "mlock_vma_folio; unevictable-lru.rst, \"mlock()/mlock2()/"
               "mlockall() System Call Handling\"",
     .ops = kMlockOps,
     .holds = MlockMarksPages},
};

}  // namespace

absl::Span<const Contract> MlockContracts() { return kContracts; }

}  // namespace lockstep::contracts
