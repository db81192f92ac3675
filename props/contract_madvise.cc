// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// madvise: what throws pages away is refused on locked memory; the rest of
// madvise is judged only as far as it concerns locking.

#include <cerrno>

#include "absl/strings/str_format.h"
#include "props/contract_support.h"
#include "props/contracts.h"

namespace lockstep::contracts {
namespace {

// MADV_HWPOISON and MADV_SOFT_OFFLINE want CAP_SYS_ADMIN and a machine check.
constexpr uint32_t kMadvHwpoison = 100;
constexpr uint32_t kMadvSoftOffline = 101;

struct Advice {
  uint64_t address;
  Vpn start, end;
  uint32_t advice;
  bool wraps;
  // MADV_DONTNEED, MADV_FREE, MADV_REMOVE.
  bool discards() const {
    return advice == uapi::kMadvDontneed || advice == uapi::kMadvFree ||
           advice == uapi::kMadvRemove;
  }
};

Advice AdviceOf(const Step& step) {
  const uint64_t address = step.addr.Resolve();
  const uint64_t bytes = PageAlign(step.length);
  const uint64_t end = address + bytes;
  return {address, PageOf(address), PageOf(end), step.flags,
          end < address || (step.length != 0 && bytes == 0)};
}

bool Known(const StepContext& context, uint32_t advice) {
  if (advice == uapi::kMadvFree) {
    return context.config.profile->Has(Behaviour::kMadvFree);
  }
  return advice <= uapi::kMadvDontneed ||
         (uapi::kMadvRemove <= advice && advice <= uapi::kMadvDodump);
}

// What one VMA answers. Errors that depend on the kernel's configuration (KSM,
// huge pages, swap) are allowed beside success.
Allowed Answer(const Advice& advice, const Range& range) {
  const bool shared_writable =
      range.Has(kRangeShared) && range.Has(kRangeWrite);
  Allowed allowed = Allowed::Success();
  if (advice.discards() && (range.bits & (kLockBits | kRangeHugetlb)) != 0) {
    return Allowed::Only(EINVAL);
  }
  switch (advice.advice) {
    case uapi::kMadvDontneed:
      // VM_PFNMAP; a plain VM_IO mapping may be zapped.
      if (range.Has(kRangeIo)) allowed = Allowed::Only(EINVAL);
      break;
    case uapi::kMadvFree:
      if (range.Has(kRangeIo)) allowed = Allowed::Only(EINVAL);
      // Anonymous memory only; without swap v4.9 does MADV_DONTNEED instead.
      if (range.Has(kRangeFile) || range.Has(kRangeSpecial)) {
        allowed.Or(EINVAL);
      }
      break;
    case uapi::kMadvRemove:
      if (range.Has(kRangeSpecial)) {
        allowed.Or(EINVAL).Or(EACCES).Or(EOPNOTSUPP);
      } else if (!range.Has(kRangeFile)) {
        allowed = Allowed::Only(EINVAL);
      } else if (!shared_writable) {
        allowed = Allowed::Only(EACCES);
      } else {
        allowed.Or(EOPNOTSUPP);  // the file system cannot punch holes
      }
      break;
    case uapi::kMadvWillneed:
      allowed.Or(EBADF);
      break;
    case uapi::kMadvDofork:
      if (range.Has(kRangeSpecial)) allowed.Or(EINVAL);
      break;
    case uapi::kMadvDodump:
      if (range.Has(kRangeSpecial) || range.Has(kRangeHugetlb)) {
        allowed.Or(EINVAL);
      }
      break;
    case uapi::kMadvMergeable:
    case uapi::kMadvUnmergeable:
    case uapi::kMadvHugepage:
    case uapi::kMadvNohugepage:
      allowed.Or(EINVAL);
      break;
    default:
      break;
  }
  return allowed;
}

Allowed MadviseOutcome(const StepContext& context, const Advice& advice) {
  if (!Known(context, advice.advice)) return Allowed::Only(EINVAL);
  if (OffsetInPage(advice.address) != 0 || advice.wraps) {
    return Allowed::Only(EINVAL);
  }
  if (advice.start == advice.end) return Allowed::Success();
  // Holes do not end the walk; they are ENOMEM at its end. The first VMA that
  // refuses ends it. `allowed` gathers what may already have been refused.
  const TaskState& task = context.task_before();
  const Range* const last = task.ranges.data() + task.ranges.size();
  const Range* range = FindRange(task, advice.start);
  Allowed allowed;
  bool hole = false;
  Vpn next = advice.start;
  for (; range != nullptr && range != last && range->start < advice.end;
       ++range) {
    if (range->start > next) hole = true;
    next = range->end;
    const Allowed answer = Answer(advice, *range);
    allowed.Merge(answer);
    if (!answer.ok()) return allowed.WithoutSuccess();
  }
  if (next < advice.end) hole = true;
  allowed = allowed.WithoutSuccess();
  return hole ? allowed.Or(ENOMEM) : allowed.OrSuccess();
}

bool MadviseErrno(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran()) return true;
  const Advice advice = AdviceOf(context.step);
  if (advice.advice == kMadvHwpoison || advice.advice == kMadvSoftOffline) {
    return true;
  }
  Allowed allowed = MadviseOutcome(context, advice);
  // Splitting needs VMAs; within madvise ENOMEM becomes EAGAIN there.
  if (NearMapCount(context, 2) || context.events.allocation_failed) {
    allowed.Or(EAGAIN).Or(ENOMEM);
  }
  if (TouchesHugetlb(context.task_before(), advice.start, advice.end)) {
    allowed.Or(EINVAL);
  }
  if (context.events.fatal_signal) allowed.Or(EINTR);
  return Check(context, allowed, mismatch);
}

// What of the advice does to pages ends before this page: at the first VMA that
// refuses.
Vpn ActsUpTo(const StepContext& context, const Advice& advice) {
  const TaskState& task = context.task_before();
  const Range* const last = task.ranges.data() + task.ranges.size();
  const Range* range = FindRange(task, advice.start);
  for (; range != nullptr && range != last && range->start < advice.end;
       ++range) {
    const Allowed answer = Answer(advice, *range);
    if (!(answer == Allowed::Success())) {
      return std::max(range->start, advice.start);
    }
  }
  return advice.end;
}

// MADV_DONTNEED over several VMAs: those before the first that refuses are
// zapped all the same.
bool MadviseEffect(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran() || Disturbed(context)) return true;
  const TaskState& before = context.task_before();
  if (!NothingChanged(before, context.task_after(), mismatch)) return false;
  const Advice advice = AdviceOf(context.step);
  if (advice.advice != uapi::kMadvDontneed || context.events.interleaved ||
      OffsetInPage(advice.address) != 0 || advice.wraps ||
      advice.start == advice.end) {
    return true;
  }
  const int slot = TaskSlot(context.step);
  const Vpn stop = ActsUpTo(context, advice);
  const Range* const last = before.ranges.data() + before.ranges.size();
  const Range* range = FindRange(before, advice.start);
  for (; range != nullptr && range != last && range->start < stop; ++range) {
    // The first page of each VMA stands for the others.
    const Vpn page = std::max(range->start, advice.start);
    if (page >= stop) break;
    if (range->Has(kRangeSpecial) ||
        !context.engine.ObservePage(slot, page).present) {
      continue;
    }
    return Fail(mismatch,
                absl::StrFormat("page 0x%x is thrown away", AddressOf(page)),
                "it is still there");
  }
  return true;
}

uint64_t NotePresent(const Step& step, const World& before,
                     const Engine& engine) {
  const Advice advice = AdviceOf(step);
  if (!advice.discards() || advice.wraps) return 0;
  const int task = TaskSlot(step);
  return PresentPieces(before.tasks[task], task, advice.start, advice.end,
                       kRangeLocked, engine);
}

bool MadviseKeepsLocked(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran() || !PagesUndisturbed(context)) return true;
  const Advice advice = AdviceOf(context.step);
  // A hole punched into a file takes the page from every mapping of it, locked
  // or not (semantics as for ftruncate).
  if (advice.advice == uapi::kMadvRemove) return true;
  return StillPresent(context, advice.start, advice.end, kRangeLocked,
                      mismatch);
}

constexpr Contract kContracts[] = {
    {.name = "madvise-errno",
     .statement =
         "madvise: EINVAL for unknown advice and for DONTNEED, FREE and "
         "REMOVE once the walk meets a locked VMA",
     .source = "madvise_dontneed, madvise_free, madvise_remove; madvise(2)",
     .ops = OpBit(Op::kMadvise),
     .holds = MadviseErrno},
    {.name = "madvise-effect",
     .statement =
         "madvise changes no lock and no charge; DONTNEED acts on every "
         "VMA before the first that refuses",
     .source = "madvise, zap_page_range",
     .ops = OpBit(Op::kMadvise),
     .holds = MadviseEffect},
    {.name = "madvise-keeps-locked",
     .statement = "madvise throws away no page of a locked VMA",
     .source = "madvise_dontneed, madvise_free; madvise(2)",
     .ops = OpBit(Op::kMadvise),
     .holds = MadviseKeepsLocked,
     .prepare = NotePresent},
};

}  // namespace

absl::Span<const Contract> MadviseContracts() { return kContracts; }

}  // namespace lockstep::contracts
