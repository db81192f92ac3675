// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// mremap: the lock moves with the mapping; what it grows by is charged first.
//
// A range of TaskState stands for a VMA here: mremap refuses what crosses one.

#include <cerrno>

#include "absl/strings/str_format.h"
#include "props/contract_support.h"
#include "props/contracts.h"

namespace lockstep::contracts {
namespace {

struct Move {
  uint64_t address, new_address;
  uint64_t old_bytes, new_bytes;  // rounded up modulo 2^64
  bool fixed, may_move;
  bool shrinks() const { return old_bytes >= new_bytes; }
  Vpn start() const { return PageOf(address); }
  // What is left of the source once an mremap to a smaller size has cut it.
  Pages kept() const { return PagesOf(std::min(old_bytes, new_bytes)); }
  Pages old_pages() const { return PagesOf(old_bytes); }
  Pages new_pages() const { return PagesOf(new_bytes); }
  Vpn target() const { return PageOf(new_address); }
  // The part that a shrinking mremap unmaps.
  Vpn tail_start() const { return PageOf(address + new_bytes); }
  Vpn tail_end() const { return PageOf(address + old_bytes); }
};

Move MoveOf(const Step& step) {
  return {.address = step.addr.Resolve(),
          .new_address = step.new_addr.Resolve(),
          .old_bytes = PageAlign(step.length),
          .new_bytes = PageAlign(step.length2),
          .fixed = (step.flags & uapi::kMremapFixed) != 0,
          .may_move = (step.flags & uapi::kMremapMaymove) != 0};
}

// Refused before anything is looked at or done.
Allowed Arguments(const Step& step, const Move& move) {
  const uint32_t known = uapi::kMremapFixed | uapi::kMremapMaymove;
  if ((step.flags & ~known) != 0 || (move.fixed && !move.may_move) ||
      OffsetInPage(move.address) != 0 || move.new_bytes == 0) {
    return Allowed::Only(EINVAL);
  }
  if (!move.fixed) return Allowed::Success();
  if (OffsetInPage(move.new_address) != 0 || move.new_bytes > kTaskSize ||
      move.new_address > kTaskSize - move.new_bytes ||
      (move.address + move.old_bytes > move.new_address &&
       move.new_address + move.new_bytes > move.address)) {
    return Allowed::Only(EINVAL);
  }
  Allowed allowed = Allowed::Success();
  // A copy (old length 0) onto its own start: an overlap for v3.12; later
  // the source is unmapped before it is looked for.
  if (move.old_bytes == 0 && move.new_address == move.address) {
    allowed.Or(EINVAL);
  }
  return allowed;
}

// Whether munmap takes the tail that a shrinking call cuts off.
bool TailIsBad(const Move& move) {
  const uint64_t at = move.address + move.new_bytes;
  return at > kTaskSize || move.old_bytes - move.new_bytes > kTaskSize - at;
}

// Pages that MREMAP_FIXED and a cut unmap before the limit is looked at.
Pages UnmappedFirst(const TaskState& task, const Move& move) {
  Pages locked;
  if (!move.fixed) return locked;
  locked += LockedPages(task, move.target(), move.target() + move.new_pages());
  if (move.shrinks()) {
    locked += LockedPages(task, move.tail_start(), move.tail_end());
  }
  return locked;
}

// vma_to_resize: is there one VMA that may be resized and charged?
Allowed Resize(const StepContext& context, const Move& move) {
  const TaskState& task = context.task_before();
  const Range* range = FindRange(task, move.start());
  if (range == nullptr || range->start > move.start()) {
    return Allowed::Only(EFAULT);
  }
  const uint64_t old_bytes = std::min(move.old_bytes, move.new_bytes);
  if (range->Has(kRangeHugetlb)) return Allowed::Only(EINVAL);
  if (PagesOf(old_bytes) > range->end - move.start()) {
    return Allowed::Only(EFAULT);
  }
  if (move.fixed && move.old_bytes == 0 && move.new_address == move.address) {
    return Allowed::Only(EFAULT);
  }
  const bool grows = move.new_bytes > old_bytes;
  // VM_DONTEXPAND or VM_PFNMAP.
  if (grows && range->Has(kRangeSpecial)) return Allowed::Only(EFAULT);
  Allowed allowed = Allowed::Success();
  if (range->Has(kRangeLocked) && !task.cap_ipc_lock) {
    const Pages charged = task.locked_vm - UnmappedFirst(task, move) +
                          PagesOf(move.new_bytes - old_bytes);
    if (charged > LimitPages(task)) {
      if (grows) return Allowed::Only(EAGAIN);
      // A move without a change of size does not have to ask; v3.12 does.
      if (!context.config.profile->Has(Behaviour::kMlock2)) allowed.Or(EAGAIN);
    }
  }
  return allowed;
}

// The mapping can grow where it is.
bool Expandable(const TaskState& task, const Move& move) {
  const Range* range = FindRange(task, move.start());
  if (range == nullptr || range->end != move.start() + move.old_pages()) {
    return false;
  }
  const Vpn end = move.start() + move.new_pages();
  if (end < range->end || end > PageOf(kTaskSize)) return false;
  const Range* next = range + 1;
  return next == task.ranges.data() + task.ranges.size() || next->start >= end;
}

Allowed MremapOutcome(const StepContext& context) {
  const Move move = MoveOf(context.step);
  const TaskState& task = context.task_before();
  const Allowed arguments = Arguments(context.step, move);
  if (!arguments.ok()) return arguments;
  Allowed allowed;
  if (!move.fixed && move.shrinks()) {
    // Whether anything is mapped there is not asked.
    if (move.old_bytes != move.new_bytes && TailIsBad(move)) {
      return Allowed::Only(EINVAL);
    }
    allowed.OrSuccess();
    if (TouchesHugetlb(task, move.tail_start(), move.tail_end())) {
      allowed.Or(EINVAL);
    }
  } else if (move.fixed && move.old_bytes > move.new_bytes && TailIsBad(move)) {
    // The target is unmapped first, which may need a VMA more.
    allowed = Allowed::Only(EINVAL);
    if (NearMapCount(context, 5)) allowed.Or(ENOMEM);
    return allowed;
  } else {
    allowed = Resize(context, move);
    const bool huge =
        move.fixed &&
        (TouchesHugetlb(task, move.target(),
                        move.target() + move.new_pages()) ||
         (move.shrinks() &&
          TouchesHugetlb(task, move.tail_start(), move.tail_end())));
    if (huge) allowed.Or(EINVAL);
    if (allowed.ok() && !move.fixed && !Expandable(task, move)) {
      if (!move.may_move) return Allowed::Only(ENOMEM);
      if (move.new_bytes > kTaskSize) return Allowed::Only(ENOMEM);
    }
    if (allowed.ok()) {
      // Room and overcommit; the offset of a file's end may overflow.
      if (NearFull(task, move.new_pages())) allowed.Or(ENOMEM).Or(EINVAL);
    }
  }
  // move_vma wants three VMAs in reserve, and unmapping may need two.
  if (NearMapCount(context, 5) || context.events.allocation_failed) {
    allowed.Or(ENOMEM);
  }
  if (!arguments.empty() && move.fixed && move.old_bytes == 0 &&
      move.new_address == move.address) {
    allowed.Or(EINVAL);
  }
  return allowed;
}

bool MremapErrno(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran()) return true;
  Allowed allowed = MremapOutcome(context);
  if (context.events.fatal_signal) allowed.Or(EINTR);
  return Check(context, allowed, mismatch);
}

// A failed call has changed nothing, except that MREMAP_FIXED may have unmapped
// its target and its cut before it failed.
bool FailedEffect(const StepContext& context, const Move& move,
                  Mismatch* mismatch) {
  const TaskState& before = context.task_before();
  const TaskState& after = context.task_after();
  if (!move.fixed || !Arguments(context.step, move).ok()) {
    return NothingChanged(before, after, mismatch);
  }
  if (!CheckTask(before, after, WantTask::Unchanged(before), mismatch)) {
    return false;
  }
  const Vpn target = move.target();
  const Vpn target_end = target + move.new_pages();
  const bool cuts = move.old_bytes > move.new_bytes && !TailIsBad(move);
  const Vpn tail = cuts ? move.tail_start() : target;
  const Vpn tail_end = cuts ? move.tail_end() : target;
  // Up to which of the steps "unmap the target", "unmap the tail" it came.
  for (int done = 2; done >= 0; --done) {
    const auto want = [=](Vpn start, Vpn, uint32_t was) {
      const bool in_target = target <= start && start < target_end;
      const bool in_tail = tail <= start && start < tail_end;
      const bool gone = (in_target && done >= 1) || (in_tail && done >= 2);
      return Want{gone ? 0 : was};
    };
    Mismatch ignored;
    const bool same = RangesBecame(
        before, after, std::min(target, tail), std::max(target_end, tail_end),
        target_end == std::max(target_end, tail_end) ? target : target_end,
        target_end == std::max(target_end, tail_end) ? tail_end : tail, want,
        done == 2 ? mismatch : &ignored);
    if (same) return true;
  }
  return false;
}

// Non-moving success: a shrunk or grown mapping.
bool InPlaceEffect(const StepContext& context, const Move& move,
                   Mismatch* mismatch) {
  const TaskState& before = context.task_before();
  const TaskState& after = context.task_after();
  if (move.shrinks()) {
    return RangesBecame(
        before, after, move.tail_start(), move.tail_end(),
        [](Vpn, Vpn, uint32_t) { return Want{0}; }, mismatch);
  }
  const Range* range = FindRange(before, move.start());
  const uint32_t bits = range->bits | kMapped;
  return RangesBecame(
      before, after, move.start() + move.old_pages(),
      move.start() + move.new_pages(),
      [bits](Vpn, Vpn, uint32_t) { return Want{bits}; }, mismatch);
}

bool MovedEffect(const StepContext& context, const Move& move, Vpn target,
                 Mismatch* mismatch) {
  const TaskState& before = context.task_before();
  const Vpn target_end = target + move.new_pages();
  if (!move.fixed && MappedPages(before, target, target_end).n != 0) {
    return Fail(mismatch, "an address where nothing was mapped",
                absl::StrFormat("0x%x", AddressOf(target)));
  }
  const Range* range = FindRange(before, move.start());
  if (range == nullptr) return true;  // mremap-errno speaks about that
  const uint32_t bits = range->bits | kMapped;
  // An old length of 0 makes a second mapping and leaves the first.
  const Vpn source = move.start(), source_end = source + move.old_pages();
  const auto want = [=](Vpn start, Vpn, uint32_t was) {
    if (target <= start && start < target_end) return Want{bits};
    if (source <= start && start < source_end) return Want{0};
    return Want{was};
  };
  const Vpn lo = std::min(source, target);
  const Vpn hi = std::max(source_end, target_end);
  const bool up = source < target;
  return RangesBecame(before, context.task_after(), lo, hi,
                      up ? source_end : target_end, up ? target : source, want,
                      mismatch);
}

bool MremapEffect(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran() || Disturbed(context)) return true;
  const Move move = MoveOf(context.step);
  if (!context.outcome.ok()) return FailedEffect(context, move, mismatch);
  const TaskState& before = context.task_before();
  if (!CheckTask(before, context.task_after(), WantTask::Unchanged(before),
                 mismatch)) {
    return false;
  }
  const uint64_t address = static_cast<uint64_t>(context.outcome.value);
  const bool must_stay =
      !move.fixed && (move.shrinks() || Expandable(before, move));
  const uint64_t expected = must_stay ? move.address : move.new_address;
  if ((must_stay || move.fixed) && address != expected) {
    return Fail(mismatch, absl::StrFormat("0x%x", expected),
                absl::StrFormat("0x%x", address));
  }
  if (OffsetInPage(address) != 0) {
    return Fail(mismatch, "a page-aligned address",
                absl::StrFormat("0x%x", address));
  }
  // MREMAP_FIXED never stays: source and target do not overlap.
  return must_stay ? InPlaceEffect(context, move, mismatch)
                   : MovedEffect(context, move, PageOf(address), mismatch);
}

// What a locked mapping grew by is populated, if that cannot fail.
bool MremapResidency(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ok() || !PagesUndisturbed(context)) return true;
  const Move move = MoveOf(context.step);
  if (move.shrinks()) return true;
  const Range* range = FindRange(context.task_before(), move.start());
  if (range == nullptr || !range->Has(kRangeLocked)) return true;
  const Vpn start = PageOf(static_cast<uint64_t>(context.outcome.value));
  return PopulatedPagesPresent(context, start + move.old_pages(),
                               start + move.new_pages(), /*hugetlb=*/false,
                               mismatch);
}

constexpr Contract kContracts[] = {
    {.name = "mremap-errno",
     .statement = "mremap: EINVAL, EFAULT, then EAGAIN when a locked mapping "
                  "would grow past the limit, then ENOMEM",
     .source = "mremap, vma_to_resize, mremap_to; mremap(2)",
     .ops = OpBit(Op::kMremap),
     .holds = MremapErrno},
    {.name = "mremap-effect",
     .statement =
         "mremap carries the lock along and charges and uncharges what "
         "the mapping gains and loses",
     .source = "move_vma, mremap_to",
     .ops = OpBit(Op::kMremap),
     .holds = MremapEffect},
    {.name = "mremap-residency",
     .statement = "what a locked mapping grows by is resident unless its "
                  "populate can fail",
     .source = "mremap, mm_populate",
     .ops = OpBit(Op::kMremap),
     .holds = MremapResidency},
};

}  // namespace

absl::Span<const Contract> MremapContracts() { return kContracts; }

}  // namespace lockstep::contracts
