// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// mprotect: changes access VMA by VMA and leaves locks alone; a private locked
// range that becomes writable is copied at once (D17 where it is not).

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "props/contract_support.h"
#include "props/contracts.h"

namespace lockstep::contracts {
namespace {

constexpr uint32_t kProtSem = 8;
constexpr uint32_t kProtAccess =
    uapi::kProtRead | uapi::kProtWrite | uapi::kProtExec;
// PROT_GROWSDOWN and PROT_GROWSUP move the start: not a program's words.
constexpr uint32_t kProtGrows = 0x03000000;

struct Change {
  uint64_t address;
  Vpn start, end;
  uint32_t access;  // RangeBits
  bool wraps;       // or ends at 2^64
};

Change ChangeOf(const Step& step) {
  const uint64_t address = step.addr.Resolve();
  const uint64_t end = address + PageAlign(step.length);
  uint32_t access = 0;
  if ((step.prot & uapi::kProtRead) != 0) access |= kRangeRead;
  if ((step.prot & uapi::kProtWrite) != 0) access |= kRangeWrite;
  if ((step.prot & uapi::kProtExec) != 0) access |= kRangeExec;
  return {address, PageOf(address), PageOf(end), access, end <= address};
}

bool Denied(const Range& range, const Change& change) {
  // The file system of memfd_secret is mounted noexec.
  if ((change.access & kRangeExec) != 0 && range.Has(kRangeSecret)) return true;
  return (change.access & kRangeWrite) != 0 && !range.Has(kRangeMayWrite);
}

// The argument checks; Success if there is a range to be walked.
Allowed Arguments(const Step& step, const Change& change) {
  if (OffsetInPage(change.address) != 0) return Allowed::Only(EINVAL);
  if (step.length == 0) return Allowed::Success();
  if (change.wraps) return Allowed::Only(ENOMEM);
  if ((step.prot & ~(kProtAccess | kProtSem)) != 0) {
    return Allowed::Only(EINVAL);
  }
  return Allowed::Success();
}

// Where the walk over the VMAs ends and why.
struct Walk {
  Vpn stop;
  int error = 0;
};
Walk WalkOf(const TaskState& task, const Change& change) {
  const Range* const last = task.ranges.data() + task.ranges.size();
  const Range* range = FindRange(task, change.start);
  Vpn next = change.start;
  for (; range != nullptr && range != last && next < change.end; ++range) {
    if (range->start > next) break;
    if (Denied(*range, change)) return {next, EACCES};
    next = range->end;
  }
  if (next < change.end) return {next, ENOMEM};
  return {change.end, 0};
}

bool Walks(const Step& step, const Change& change) {
  return step.length != 0 && Arguments(step, change).ok();
}

// A VMA could not be split: none left, or huge pages cut.
bool MayStop(const StepContext& context, const Change& change) {
  return NearMapCount(context, 2) || context.events.allocation_failed ||
         TouchesHugetlb(context.task_before(), change.start, change.end);
}

bool MprotectErrno(const StepContext& context, Mismatch* mismatch) {
  const Step& step = context.step;
  if (!context.outcome.ran() || (step.prot & kProtGrows) != 0) return true;
  const Change change = ChangeOf(step);
  Allowed allowed = Arguments(step, change);
  if (Walks(step, change)) {
    const Walk walk = WalkOf(context.task_before(), change);
    if (walk.error != 0) allowed = Allowed::Only(walk.error);
    if (NearMapCount(context, 2) || context.events.allocation_failed) {
      allowed.Or(ENOMEM);
    }
    if (TouchesHugetlb(context.task_before(), change.start, change.end)) {
      allowed.Or(EINVAL);
    }
  }
  if (context.events.fatal_signal) allowed.Or(EINTR);
  return Check(context, allowed, mismatch);
}

bool MprotectEffect(const StepContext& context, Mismatch* mismatch) {
  const Step& step = context.step;
  if (!context.outcome.ran() || Disturbed(context) ||
      (step.prot & kProtGrows) != 0) {
    return true;
  }
  const TaskState& before = context.task_before();
  const TaskState& after = context.task_after();
  const Change change = ChangeOf(step);
  if (!Walks(step, change)) return NothingChanged(before, after, mismatch);
  if (!CheckTask(before, after, WantTask::Unchanged(before), mismatch)) {
    return false;
  }
  const Walk walk = WalkOf(before, change);
  const auto changed = [&change](Vpn, Vpn, uint32_t was) {
    return Want{was == 0 ? 0 : (was & ~kAccessBits) | change.access};
  };
  if (!context.outcome.ok() && MayStop(context, change)) {
    for (Vpn end = change.start; end < walk.stop;
         end = FindRange(before, end)->end) {
      Mismatch ignored;
      if (RangesBecame(before, after, change.start, end, changed, &ignored)) {
        return true;
      }
    }
  }
  return RangesBecame(before, after, change.start, walk.stop, changed,
                      mismatch);
}

// The first pages of a range are looked at one by one; a slip shows there.
constexpr uint64_t kPagesLookedAt = 64;

bool MprotectResidency(const StepContext& context, Mismatch* mismatch) {
  const Step& step = context.step;
  if (!context.outcome.ok() || !PagesUndisturbed(context) ||
      (step.prot & uapi::kProtWrite) == 0 || (step.prot & kProtGrows) != 0) {
    return true;
  }
  const TaskState& before = context.task_before();
  const Change change = ChangeOf(step);
  if (!Walks(step, change)) return true;
  const Range* const last = before.ranges.data() + before.ranges.size();
  const Range* range = FindRange(before, change.start);
  for (; range != nullptr && range != last && range->start < change.end;
       ++range) {
    if ((range->bits & (kLockBits | kRangeWrite | kRangeShared)) !=
        kRangeLocked) {
      continue;
    }
    Vpn from = std::max(range->start, change.start);
    if (range->Has(kRangeGrowsdown) && from == range->start) ++from;
    const Vpn to = std::min({range->end, range->eof, change.end});
    for (Vpn page = from; page < std::min(to, from + Pages{kPagesLookedAt});
         ++page) {
      const PageState state = context.engine.ObservePage(TaskSlot(step), page);
      if (state.unseen || (state.present && state.anonymous)) continue;
      if (state.guard) break;  // populate ends there
      return Fail(
          mismatch,
          absl::StrCat(DescribePages(page, page + Pages{1},
                                     range->bits | kMapped | kRangeWrite),
                       ", a page of the task's own"),
          !state.present    ? "not present"
          : state.zero_page ? "the zero page"
                            : "a shared page");
    }
  }
  return true;
}

constexpr Contract kContracts[] = {
    {.name = "mprotect-errno",
     .statement =
         "mprotect: EINVAL for bad arguments, ENOMEM at a hole, EACCES "
         "where writing is not allowed",
     .source = "mprotect; mprotect(2)",
     .ops = OpBit(Op::kMprotect),
     .holds = MprotectErrno},
    {.name = "mprotect-effect",
     .statement = "mprotect changes access up to where it fails, and no lock",
     .source = "mprotect_fixup",
     .ops = OpBit(Op::kMprotect),
     .holds = MprotectEffect},
    {.name = "mprotect-residency",
     .statement =
         "a locked private range made writable has pages of its own at "
         "once",
     .source = "mprotect_fixup since 36f881883c57 (4.2)",
     .ops = OpBit(Op::kMprotect),
     .holds = MprotectResidency},
};

}  // namespace

absl::Span<const Contract> MprotectContracts() { return kContracts; }

}  // namespace lockstep::contracts
