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
  // MADV_DONTNEED, MADV_FREE, MADV_REMOVE and the like: never of locked memory.
  bool discards() const {
    return advice == uapi::kMadvDontneed || advice == uapi::kMadvFree ||
           advice == uapi::kMadvRemove || advice == uapi::kMadvCold ||
           advice == uapi::kMadvPageout || advice == uapi::kMadvGuardInstall;
  }
  // Zaps what it is given.
  bool zaps() const {
    return advice == uapi::kMadvDontneed || advice == uapi::kMadvDontneedLocked;
  }
  bool populates() const {
    return advice == uapi::kMadvPopulateRead ||
           advice == uapi::kMadvPopulateWrite;
  }
};

Advice AdviceOf(const Step& step) {
  const uint64_t address = step.addr.Resolve();
  const uint64_t bytes = PageAlign(step.length);
  const uint64_t end = address + bytes;
  return {address, PageOf(address), PageOf(end), step.flags,
          end < address || (step.length != 0 && bytes == 0)};
}

// Advice that came after 3.12, and the behaviour that says a kernel has it.
struct AdviceSince {
  uint32_t first, last;
  Behaviour behaviour;
};
constexpr AdviceSince kAdviceSince[] = {
    {uapi::kMadvFree, uapi::kMadvFree, Behaviour::kMadvFree},
    {uapi::kMadvWipeonfork, uapi::kMadvKeeponfork, Behaviour::kMadvWipeonfork},
    {uapi::kMadvCold, uapi::kMadvPageout, Behaviour::kMadvCold},
    {uapi::kMadvPopulateRead, uapi::kMadvPopulateWrite,
     Behaviour::kMadvPopulate},
    {uapi::kMadvDontneedLocked, uapi::kMadvDontneedLocked,
     Behaviour::kMadvDontneedLocked},
    {uapi::kMadvCollapse, uapi::kMadvCollapse, Behaviour::kMadvCollapse},
    {uapi::kMadvGuardInstall, uapi::kMadvGuardRemove, Behaviour::kMadvGuard},
};

bool Known(const StepContext& context, uint32_t advice) {
  for (const AdviceSince& row : kAdviceSince) {
    if (row.first <= advice && advice <= row.last) {
      return context.config.profile->Has(row.behaviour);
    }
  }
  return advice <= uapi::kMadvDontneed ||
         (uapi::kMadvRemove <= advice && advice <= uapi::kMadvDodump);
}

// MADV_DONTNEED and MADV_DONTNEED_LOCKED of hugetlb memory: whole huge pages.
Allowed DontneedHugetlb(const StepContext& context) {
  if (!context.config.profile->Has(Behaviour::kMadvDontneedLocked)) {
    return Allowed::Only(EINVAL);
  }
  return Allowed::Success().Or(EINVAL);
}

Allowed RemoveAnswer(const StepContext& context, const Range& range) {
  const uint32_t writable =
      context.config.profile->Has(Behaviour::kMadvRemoveMaywrite)
          ? kRangeMayWrite
          : kRangeWrite;
  const bool huge = range.Has(kRangeHugetlb);
  if (huge && !context.config.profile->Has(Behaviour::kMadvRemoveHugetlb)) {
    return Allowed::Only(EINVAL);
  }
  if (range.Has(kRangeSpecial) && !huge) {
    return Allowed::Success().Or(EINVAL).Or(EACCES).Or(EOPNOTSUPP);
  }
  // Anonymous hugetlb memory has a file of hugetlbfs.
  if (!range.Has(kRangeFile) && !huge) return Allowed::Only(EINVAL);
  if (!range.Has(kRangeShared) || (range.bits & writable) == 0) {
    return Allowed::Only(EACCES);
  }
  if (range.Has(kRangeSecret)) return Allowed::Only(EOPNOTSUPP);
  // The file system may be one that cannot punch holes.
  return Allowed::Success().Or(EOPNOTSUPP);
}

// MADV_POPULATE_READ and _WRITE fault without force: access must be allowed.
Allowed PopulateAnswer(const StepContext& context, const Advice& advice,
                       const Range& range) {
  const RangeBit needed =
      advice.advice == uapi::kMadvPopulateWrite ? kRangeWrite : kRangeRead;
  if (range.Has(kRangeIo) || range.Has(kRangeSecret) || !range.Has(needed)) {
    return Allowed::Only(EINVAL);
  }
  const Vpn from = std::max(range.start, advice.start);
  const Vpn to = std::min(range.end, advice.end);
  if (range.eof < to || HasGuard(context, from, to)) {
    return Allowed::Only(EFAULT);
  }
  Allowed allowed = Allowed::Success();
  if (range.Has(kRangeHugetlb)) allowed.Or(EFAULT).Or(ENOMEM);
  return allowed;
}

// What one VMA answers. Errors that depend on the kernel's configuration (KSM,
// huge pages, swap) are allowed beside success.
Allowed Answer(const StepContext& context, const Advice& advice,
               const Range& range) {
  Allowed allowed = Allowed::Success();
  if (advice.zaps() && range.Has(kRangeHugetlb)) {
    return DontneedHugetlb(context);
  }
  uint32_t refused = kLockBits;
  if (advice.advice != uapi::kMadvRemove) refused |= kRangeHugetlb;
  if (advice.discards() && (range.bits & refused) != 0) {
    return Allowed::Only(EINVAL);
  }
  switch (advice.advice) {
    case uapi::kMadvDontneed:
    case uapi::kMadvDontneedLocked:
    case uapi::kMadvCold:
    case uapi::kMadvPageout:
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
      return RemoveAnswer(context, range);
    case uapi::kMadvPopulateRead:
    case uapi::kMadvPopulateWrite:
      return PopulateAnswer(context, advice, range);
    case uapi::kMadvGuardInstall:
    case uapi::kMadvGuardRemove:
      if (range.Has(kRangeSpecial)) allowed = Allowed::Only(EINVAL);
      break;
    case uapi::kMadvCollapse:
      // Whether huge pages are to be had, and whether these pages will do.
      allowed.Or(EINVAL).Or(ENOMEM).Or(EAGAIN).Or(EBUSY);
      break;
    case uapi::kMadvWipeonfork:
      // Private memory without a file, hugetlbfs included.
      if ((range.bits &
           (kRangeShared | kRangeFile | kRangeSpecial | kRangeHugetlb)) != 0) {
        allowed = Allowed::Only(EINVAL);
      }
      break;
    case uapi::kMadvKeeponfork:
      if (range.Has(kRangeDroppable)) allowed = Allowed::Only(EINVAL);
      break;
    case uapi::kMadvWillneed:
      allowed.Or(EBADF);
      break;
    case uapi::kMadvDofork:
      if (range.Has(kRangeSpecial)) allowed.Or(EINVAL);
      break;
    case uapi::kMadvDodump:
      if (range.Has(kRangeDroppable)) return Allowed::Only(EINVAL);
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
  const bool stops = advice.populates() &&
                     context.config.profile->Has(Behaviour::kMadvPopulateStops);
  const TaskState& task = context.task_before();
  const Range* const last = task.ranges.data() + task.ranges.size();
  const Range* range = FindRange(task, advice.start);
  Allowed allowed;
  bool hole = false;
  Vpn next = advice.start;
  for (; range != nullptr && range != last && range->start < advice.end;
       ++range) {
    if (range->start > next) hole = true;
    if (hole && stops) break;
    next = range->end;
    const Allowed answer = Answer(context, advice, *range);
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
  // Splitting needs VMAs; madvise turns the ENOMEM of that into EAGAIN.
  if (NearMapCount(context, 2)) allowed.Or(EAGAIN);
  if (context.events.allocation_failed) allowed.Or(EAGAIN).Or(ENOMEM);
  // A VMA is not split inside a huge page; MADV_REMOVE splits none.
  if (advice.advice != uapi::kMadvRemove &&
      TouchesHugetlb(context.task_before(), advice.start, advice.end)) {
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
    const Allowed answer = Answer(context, advice, *range);
    if (!(answer == Allowed::Success())) {
      return std::max(range->start, advice.start);
    }
  }
  return advice.end;
}

// MADV_DONTNEED and _DONTNEED_LOCKED over several VMAs: those before the first
// that refuses are zapped all the same.
bool MadviseEffect(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran() || Disturbed(context)) return true;
  const TaskState& before = context.task_before();
  if (!NothingChanged(before, context.task_after(), mismatch)) return false;
  const Advice advice = AdviceOf(context.step);
  if (!advice.zaps() || !Known(context, advice.advice) ||
      context.events.interleaved || OffsetInPage(advice.address) != 0 ||
      advice.wraps || advice.start == advice.end) {
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
    const PageState state = context.engine.ObservePage(slot, page);
    if (range->Has(kRangeSpecial) || !state.present || state.unseen) continue;
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

// Populated pages are there; guarded ones are guards, and no others are after
// MADV_GUARD_REMOVE.
bool MadviseLeaves(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ok() || !PagesUndisturbed(context)) return true;
  const Advice advice = AdviceOf(context.step);
  const int slot = TaskSlot(context.step);
  if (advice.populates()) {
    return context.engine.AllPresent(slot, advice.start, advice.end) ||
           Fail(mismatch, DescribePages(advice.start, advice.end, kMapped),
                "some pages are not present");
  }
  if (advice.advice == uapi::kMadvGuardRemove) {
    return !HasGuard(context, advice.start, advice.end) ||
           Fail(mismatch, "no guard page in the range", "one is left");
  }
  if (advice.advice != uapi::kMadvGuardInstall) return true;
  // The first pages stand for the others.
  constexpr Pages kPagesLookedAt{64};
  const Vpn end = std::min(advice.end, advice.start + kPagesLookedAt);
  for (Vpn page = advice.start; page < end; ++page) {
    if (context.engine.ObservePage(slot, page).guard) continue;
    return Fail(mismatch,
                absl::StrFormat("page 0x%x is a guard", AddressOf(page)),
                "it is none");
  }
  return true;
}

constexpr Contract kContracts[] = {
    {.name = "madvise-errno",
     .statement =
         "madvise: EINVAL for unknown advice and for DONTNEED, FREE, REMOVE, "
         "COLD, PAGEOUT and GUARD_INSTALL once the walk meets a locked VMA",
     .source = "madvise_dontneed_free_valid_vma, madvise_remove, "
               "can_madv_lru_vma, is_valid_guard_vma; madvise(2)",
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
     .statement = "madvise throws away no page of a locked VMA, but for "
                  "DONTNEED_LOCKED",
     .source = "madvise_dontneed, madvise_free; madvise(2)",
     .ops = OpBit(Op::kMadvise),
     .holds = MadviseKeepsLocked,
     .prepare = NotePresent},
    {.name = "madvise-leaves",
     .statement = "POPULATE_READ and _WRITE leave every page present, "
                  "GUARD_INSTALL guards, GUARD_REMOVE none",
     .source = "madvise_populate, madvise_guard_install; madvise(2)",
     .ops = OpBit(Op::kMadvise),
     .holds = MadviseLeaves},
};

}  // namespace

absl::Span<const Contract> MadviseContracts() { return kContracts; }

}  // namespace lockstep::contracts
