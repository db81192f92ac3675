// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// brk as the raw system call: it returns the new break, or the old one when it
// cannot. Under MCL_FUTURE growth is locked, charged and limited; shrinking is
// always allowed.

#include <cerrno>

#include "absl/strings/str_format.h"
#include "props/contract_support.h"
#include "props/contracts.h"

namespace lockstep::contracts {
namespace {

enum class Verdict : uint8_t { kMust, kMustNot, kMay };

Verdict VerdictOn(const StepContext& context, uint64_t wanted) {
  const TaskState& task = context.task_before();
  if (wanted < kHeapBase) return Verdict::kMustNot;
  const uint64_t old_end = PageAlign(task.brk);
  const uint64_t new_end = PageAlign(wanted);
  if (old_end == new_end) return Verdict::kMust;
  const bool scarce =
      NearMapCount(context, 2) || context.events.allocation_failed;
  if (wanted <= task.brk) {
    const bool huge = TouchesHugetlb(task, PageOf(new_end), PageOf(old_end));
    // From 6.1 on there must be some heap left to take away.
    if (context.config.profile->Has(Behaviour::kBrkShrinkNeedsHeap) &&
        MappedPages(task, PageOf(new_end), PageOf(old_end)).n == 0) {
      return Verdict::kMustNot;
    }
    return scarce || huge ? Verdict::kMay : Verdict::kMust;
  }
  if (new_end == 0 || new_end > kTaskSize) return Verdict::kMustNot;
  const Pages more = PagesOf(new_end - old_end);
  if (task.future_locked && !MayLockMore(task, more)) return Verdict::kMustNot;
  // One page stays free above the heap, and the guard gap of a stack there.
  const Range* next = FindRange(task, PageOf(old_end));
  if (next != nullptr && next->start <= PageOf(new_end)) {
    return Verdict::kMustNot;
  }
  const bool stack = next != nullptr && next->Has(kRangeGrowsdown);
  return scarce || stack || NearFull(task, more) ? Verdict::kMay
                                                 : Verdict::kMust;
}

bool BrkOutcome(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran()) return true;
  if (context.events.fatal_signal && context.outcome.Is(EINTR)) return true;
  const uint64_t wanted = context.step.addr.Resolve();
  const uint64_t old = context.task_before().brk;
  const Verdict verdict = VerdictOn(context, wanted);
  const uint64_t value = static_cast<uint64_t>(context.outcome.value);
  if (context.outcome.ok() &&
      ((value == wanted && verdict != Verdict::kMustNot) ||
       (value == old && verdict != Verdict::kMust))) {
    return true;
  }
  return Fail(
      mismatch,
      absl::StrFormat("break 0x%x", verdict == Verdict::kMust ? wanted : old),
      lockstep::DebugString(context.outcome));
}

bool BrkEffect(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ok() || Disturbed(context)) return true;
  const TaskState& before = context.task_before();
  const TaskState& after = context.task_after();
  WantTask want = WantTask::Unchanged(before);
  want.brk = static_cast<uint64_t>(context.outcome.value);
  if (!CheckTask(before, after, want, mismatch)) return false;
  const Vpn old_end = PageOf(PageAlign(before.brk));
  const Vpn new_end = PageOf(PageAlign(want.brk));
  if (new_end <= old_end) {
    return RangesBecame(
        before, after, new_end, old_end,
        [](Vpn, Vpn, uint32_t) { return Want{0}; }, mismatch);
  }
  uint32_t bits = kMapped | kRangeRead | kRangeWrite;
  if (before.future_locked) bits |= kRangeLocked;
  if (before.future_onfault) bits |= kRangeLockOnFault;
  // VM_EXEC depends on the personality.
  const Want grown{bits, kMapped | kRangeRead | kRangeWrite | kLockBits |
                             kRangeShared | kRangeFile};
  return RangesBecame(
      before, after, old_end, new_end,
      [grown](Vpn, Vpn, uint32_t) { return grown; }, mismatch);
}

bool BrkResidency(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ok() || !PagesUndisturbed(context)) return true;
  const TaskState& before = context.task_before();
  const Vpn old_end = PageOf(PageAlign(before.brk));
  const Vpn new_end =
      PageOf(PageAlign(static_cast<uint64_t>(context.outcome.value)));
  if (!before.future_locked || new_end <= old_end) return true;
  return PopulatedPagesPresent(context, old_end, new_end, /*hugetlb=*/false,
                               mismatch);
}

constexpr Contract kContracts[] = {
    {.name = "brk-outcome",
     .statement = "brk returns the new break, or the old one if it would leave "
                  "the heap, run into a mapping or pass the limit under FUTURE",
     .source = "brk, do_brk; brk(2)",
     .ops = OpBit(Op::kBrk),
     .holds = BrkOutcome},
    {.name = "brk-effect",
     .statement = "brk maps and unmaps whole heap pages, locked and charged "
                  "under FUTURE; a break that stays changes nothing",
     .source = "brk, do_brk",
     .ops = OpBit(Op::kBrk),
     .holds = BrkEffect},
    {.name = "brk-residency",
     .statement = "what the heap grows by under FUTURE is resident",
     .source = "brk, mm_populate",
     .ops = OpBit(Op::kBrk),
     .holds = BrkResidency},
};

}  // namespace

absl::Span<const Contract> BrkContracts() { return kContracts; }

}  // namespace lockstep::contracts
