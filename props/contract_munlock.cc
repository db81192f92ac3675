// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// munlock: needs no permission, one call undoes any number of locks, and pages
// stay where they are.

#include <cerrno>

#include "props/contract_support.h"
#include "props/contracts.h"

namespace lockstep::contracts {
namespace {

bool MunlockErrno(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran()) return true;
  const Request request = LockRequest(context.step);
  const TaskState& task = context.task_before();
  Allowed allowed;
  if (request.wraps) {
    allowed.Or(EINVAL);
  } else if (!request.empty() &&
             FirstHole(task, request.start, request.end) != request.end) {
    allowed.Or(ENOMEM);
  } else {
    allowed.OrSuccess();
    // A VMA to be split in front and behind needs two more.
    if (!request.empty() &&
        (NearMapCount(context, 2) || context.events.allocation_failed)) {
      allowed.Or(ENOMEM);
    }
  }
  if (context.events.fatal_signal) allowed.Or(EINTR);
  return Check(context, allowed, mismatch);
}

bool MunlockEffect(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran() || Disturbed(context)) return true;
  const TaskState& before = context.task_before();
  const TaskState& after = context.task_after();
  const Request request = LockRequest(context.step);
  if (request.wraps || request.empty()) {
    return NothingChanged(before, after, mismatch);
  }
  const Vpn stop = FirstHole(before, request.start, request.end);
  const auto unlocked = [](Vpn, Vpn, uint32_t was) {
    return Want{Lockable(was) ? was & ~kLockBits : was};
  };
  if (!CheckTask(before, after, WantTask::Unchanged(before), mismatch)) {
    return false;
  }
  // See MlockEffect: a split that failed ends the walk where a VMA begins.
  if (context.outcome.Is(ENOMEM) &&
      (NearMapCount(context, 2) || context.events.allocation_failed)) {
    for (Vpn end = request.start; end != stop;
         end = std::min(FindRange(before, end)->end, stop)) {
      Mismatch ignored;
      if (RangesBecame(before, after, request.start, end, unlocked, &ignored)) {
        return true;
      }
    }
  }
  return RangesBecame(before, after, request.start, stop, unlocked, mismatch);
}

// The pages that the call passes over; munlockall passes over all.
struct Passed {
  Vpn start, end;
};
Passed PassedPages(const Step& step) {
  if (step.op == Op::kMunlockall) return {Vpn{0}, PageOf(kTaskSize)};
  const Request request = LockRequest(step);
  if (request.wraps) return {request.start, request.start};
  return {request.start, request.end};
}

uint64_t NotePresent(const Step& step, const World& before,
                     const Engine& engine) {
  const int task = TaskSlot(step);
  const Passed passed = PassedPages(step);
  return PresentPieces(before.tasks[task], task, passed.start, passed.end, 0,
                       engine);
}

bool MunlockKeepsResidency(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran() || !PagesUndisturbed(context)) return true;
  const Passed passed = PassedPages(context.step);
  return StillPresent(context, passed.start, passed.end, 0, mismatch);
}

constexpr Contract kContracts[] = {
    {.name = "munlock-errno",
     .statement = "munlock never asks for permission or a limit; it fails only "
                  "on a wrap, a hole, or for want of a VMA",
     .source = "munlock, apply_vma_lock_flags; KAPI munlock U3-U7, U15",
     .ops = OpBit(Op::kMunlock),
     .holds = MunlockErrno},
    {.name = "munlock-effect",
     .statement = "munlock takes the lock and its charge off every page up to "
                  "the first hole, however often it was locked",
     .source = "mlock_fixup; KAPI munlock U1, U2, U9, U10, U16",
     .ops = OpBit(Op::kMunlock),
     .holds = MunlockEffect},
    {.name = "munlock-keeps-residency",
     .statement = "munlock and munlockall do not themselves remove pages",
     .source = "munlock_vma_pages_range; TLPI T5",
     .ops = OpBit(Op::kMunlock) | OpBit(Op::kMunlockall),
     .holds = MunlockKeepsResidency,
     .prepare = NotePresent},
};

}  // namespace

absl::Span<const Contract> MunlockContracts() { return kContracts; }

}  // namespace lockstep::contracts
