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
  bool fixed, may_move, dontunmap;
  // MREMAP_FIXED without a change of size, where that takes several VMAs.
  bool several;
  bool shrinks() const { return old_bytes >= new_bytes; }
  // The caller has a say in where it goes.
  bool implies_new_address() const { return fixed || dontunmap; }
  // A copy (old length 0) onto its own start: up to 6.16 the source is unmapped
  // before it is looked for.
  bool onto_itself() const {
    return fixed && old_bytes == 0 && new_address == address;
  }
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

uint64_t HugeBytes(const StepContext& context) {
  return kPageSize << context.config.hpage_pmd_order;
}

// The range of the task that the page is in; null: it is unmapped.
const Range* SourceOf(const TaskState& task, Vpn page) {
  const Range* range = FindRange(task, page);
  return range != nullptr && range->start <= page ? range : nullptr;
}

Move MoveOf(const StepContext& context) {
  const Step& step = context.step;
  Move move = {.address = step.addr.Resolve(),
               .new_address = step.new_addr.Resolve(),
               .old_bytes = PageAlign(step.length),
               .new_bytes = PageAlign(step.length2),
               .fixed = (step.flags & uapi::kMremapFixed) != 0,
               .may_move = (step.flags & uapi::kMremapMaymove) != 0,
               .dontunmap = (step.flags & uapi::kMremapDontunmap) != 0,
               .several = false};
  move.several = move.fixed && move.old_bytes == move.new_bytes &&
                 context.config.profile->Has(Behaviour::kMremapMovesSeveral);
  const Range* source = SourceOf(context.task_before(), move.start());
  if (source != nullptr && source->Has(kRangeHugetlb) &&
      context.config.profile->Has(Behaviour::kMremapHugetlb)) {
    const uint64_t mask = HugeBytes(context) - 1;
    move.old_bytes = (move.old_bytes + mask) & ~mask;
    move.new_bytes = (move.new_bytes + mask) & ~mask;
  }
  return move;
}

// Refused before anything is looked at or done.
Allowed Arguments(const StepContext& context, const Move& move) {
  const Step& step = context.step;
  const Profile& profile = *context.config.profile;
  const bool checks_first = profile.Has(Behaviour::kMremapChecksFirst);
  // Not yet whole huge pages.
  const uint64_t new_bytes = PageAlign(step.length2);
  uint32_t known = uapi::kMremapFixed | uapi::kMremapMaymove;
  if (profile.Has(Behaviour::kMremapDontunmap)) {
    known |= uapi::kMremapDontunmap;
  }
  // Up to 6.16 the lengths are compared as they are given.
  const bool resizes = checks_first ? move.old_bytes != move.new_bytes
                                    : step.length != step.length2;
  if ((step.flags & ~known) != 0 ||
      (move.implies_new_address() && !move.may_move) ||
      (move.dontunmap && resizes) || OffsetInPage(move.address) != 0 ||
      new_bytes == 0) {
    return Allowed::Only(EINVAL);
  }
  if (checks_first && new_bytes > kTaskSize) return Allowed::Only(EINVAL);
  if (!checks_first && profile.Has(Behaviour::kMremapHugetlb) &&
      SourceOf(context.task_before(), move.start()) == nullptr) {
    return Allowed::Only(EFAULT);
  }
  if (!move.implies_new_address()) return Allowed::Success();
  if (OffsetInPage(move.new_address) != 0 || move.new_bytes > kTaskSize ||
      move.new_address > kTaskSize - move.new_bytes ||
      (move.address + move.old_bytes > move.new_address &&
       move.new_address + move.new_bytes > move.address)) {
    return Allowed::Only(EINVAL);
  }
  const bool overlaps = move.onto_itself() &&
                        !profile.Has(Behaviour::kMremapEmptyOverlapsNothing);
  return overlaps ? Allowed::Only(EINVAL) : Allowed::Success();
}

// Whether munmap takes the tail that a shrinking call cuts off.
bool TailIsBad(const Move& move) {
  const uint64_t at = move.address + move.new_bytes;
  return at > kTaskSize || move.old_bytes - move.new_bytes > kTaskSize - at;
}

// Pages that MREMAP_FIXED and a cut unmap before the limit is looked at.
Pages UnmappedFirst(const StepContext& context, const Move& move) {
  const TaskState& task = context.task_before();
  Pages locked;
  if (!move.fixed ||
      context.config.profile->Has(Behaviour::kMremapChecksFirst)) {
    return locked;
  }
  locked += LockedPages(task, move.target(), move.target() + move.new_pages());
  if (move.shrinks()) {
    locked += LockedPages(task, move.tail_start(), move.tail_end());
  }
  return locked;
}

// vma_to_resize: is there one VMA that may be resized and charged?
Allowed Resize(const StepContext& context, const Move& move) {
  const TaskState& task = context.task_before();
  const Profile& profile = *context.config.profile;
  const Range* range = SourceOf(task, move.start());
  if (range == nullptr) return Allowed::Only(EFAULT);
  const uint64_t old_bytes = std::min(move.old_bytes, move.new_bytes);
  if (range->Has(kRangeHugetlb)) {
    if (!profile.Has(Behaviour::kMremapHugetlb)) {
      Allowed refused = Allowed::Only(EINVAL);
      if (move.onto_itself()) refused.Or(EFAULT);
      return refused;
    }
    if (move.new_bytes > move.old_bytes) return Allowed::Only(EINVAL);
    // Unaligned, more than one VMA, near the end of the maps.
    return Allowed::Success().Or(EINVAL).Or(EFAULT).Or(ENOMEM);
  }
  if (move.old_bytes == 0 && !range->Has(kRangeShared) &&
      profile.Has(Behaviour::kMremapNoPrivateCopy)) {
    const bool gone =
        move.onto_itself() && !profile.Has(Behaviour::kMremapChecksFirst);
    return Allowed::Only(gone ? EFAULT : EINVAL);
  }
  // VM_DONTEXPAND or VM_PFNMAP.
  if (move.dontunmap && range->Has(kRangeSpecial)) {
    return Allowed::Only(EINVAL);
  }
  if (PagesOf(old_bytes) > range->end - move.start()) {
    return Allowed::Only(EFAULT);
  }
  if (move.onto_itself() && !profile.Has(Behaviour::kMremapChecksFirst)) {
    return Allowed::Only(EFAULT);
  }
  const bool grows = move.new_bytes > old_bytes;
  // VM_DONTEXPAND or VM_PFNMAP.
  if (grows && range->Has(kRangeSpecial)) return Allowed::Only(EFAULT);
  Allowed allowed = Allowed::Success();
  if (range->Has(kRangeLocked) && !task.cap_ipc_lock) {
    const Pages charged = task.locked_vm - UnmappedFirst(context, move) +
                          PagesOf(move.new_bytes - old_bytes);
    if (charged > LimitPages(task)) {
      if (grows) return Allowed::Only(EAGAIN);
      // A move without a change of size does not have to ask; v3.12 does.
      if (!context.config.profile->Has(Behaviour::kMlock2)) allowed.Or(EAGAIN);
    }
  }
  // Only the source is left to be unmapped, and then it is not found.
  if (move.onto_itself()) return Allowed::Only(EFAULT);
  return allowed;
}

// Where a move of several VMAs ends: at the first that may only move alone, a
// SysV segment's of small pages (vma_multi_allowed); else at the source's end.
Vpn SeveralEnd(const TaskState& task, const Move& move) {
  const Range* const last = task.ranges.data() + task.ranges.size();
  const Range* range = FindRange(task, move.start());
  for (; range != last && range->start < move.tail_end(); ++range) {
    const bool alone =
        range->start <= move.start() && range->end >= move.tail_end();
    if (range->Has(kRangeShm) && !range->Has(kRangeHugetlb) && !alone) {
      return std::max(range->start, move.start());
    }
  }
  return move.tail_end();
}

// The move of everything that is mapped in the source: no hole at its start,
// and each VMA must be one that may move, and with others if it is not alone.
Allowed MoveSeveral(const StepContext& context, const Move& move) {
  const TaskState& task = context.task_before();
  const Range* range = SourceOf(task, move.start());
  if (range == nullptr) return Allowed::Only(EFAULT);
  const Range* const last = task.ranges.data() + task.ranges.size();
  Allowed allowed = Allowed::Success();
  for (; range != last && range->start < move.tail_end(); ++range) {
    if (range->Has(kRangeHugetlb)) allowed.Or(EINVAL).Or(EFAULT);
    if (move.dontunmap && range->Has(kRangeSpecial)) {
      return allowed.WithoutSuccess().Or(EINVAL);
    }
  }
  if (SeveralEnd(task, move) != move.tail_end()) {
    return allowed.WithoutSuccess().Or(EFAULT);
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
  const Move move = MoveOf(context);
  const TaskState& task = context.task_before();
  Allowed arguments = Arguments(context, move);
  if (!arguments.ok()) {
    // The maps are counted before lengths become whole huge pages.
    const Range* source = SourceOf(task, move.start());
    if (source != nullptr && source->Has(kRangeHugetlb) &&
        NearMapCount(context, 5)) {
      arguments.Or(ENOMEM);
    }
    return arguments;
  }
  Allowed allowed;
  if (!move.implies_new_address() && move.shrinks()) {
    // Up to 5.15 it is not asked whether anything is mapped there.
    const Range* source = SourceOf(task, move.start());
    if (context.config.profile->Has(Behaviour::kMremapHugetlb)) {
      if (source == nullptr) return Allowed::Only(EFAULT);
      if (source->Has(kRangeHugetlb)) allowed.Or(EINVAL);
    }
    if (move.old_bytes != move.new_bytes && TailIsBad(move)) {
      return Allowed::Only(EINVAL);
    }
    allowed.OrSuccess();
    if (TouchesHugetlb(task, move.tail_start(), move.tail_end())) {
      allowed.Or(EINVAL);
    }
  } else if (move.fixed && move.old_bytes > move.new_bytes && TailIsBad(move) &&
             !context.config.profile->Has(Behaviour::kMremapChecksFirst)) {
    // The target is unmapped first, which may need a VMA more.
    allowed = Allowed::Only(EINVAL);
    if (NearMapCount(context, 5)) allowed.Or(ENOMEM);
    return allowed;
  } else {
    allowed = move.several ? MoveSeveral(context, move) : Resize(context, move);
    if (move.old_bytes > move.new_bytes && TailIsBad(move)) {
      // The cut comes last: what was unmapped for the target may be the source.
      allowed = allowed.WithoutSuccess().Or(EINVAL);
      if (move.fixed) allowed.Or(EFAULT);
    }
    const bool huge =
        move.fixed &&
        (TouchesHugetlb(task, move.target(),
                        move.target() + move.new_pages()) ||
         (move.shrinks() &&
          TouchesHugetlb(task, move.tail_start(), move.tail_end())));
    if (huge) allowed.Or(EINVAL);
    if (allowed.ok() && !move.implies_new_address() &&
        !Expandable(task, move)) {
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

// Each page of the target has become what its page of the source was; where the
// source has a hole the target is as before.
bool SeveralMoved(const StepContext& context, const Move& move, Vpn target,
                  Mismatch* mismatch) {
  const TaskState& before = context.task_before();
  const TaskState& after = context.task_after();
  const Vpn source = move.start(), source_end = move.tail_end();
  const Vpn target_end = target + move.new_pages();
  if (TouchesHugetlb(before, source, source_end)) return true;
  // What the source was at a page of the target, and how far that reaches.
  const auto source_of = [&](Vpn page, Vpn* until) {
    const Vpn from = source + (page - target);
    const Range* range = FindRange(before, from);
    *until = target_end;
    if (range == nullptr) return uint32_t{0};
    const bool inside = range->start <= from;
    const Vpn next = inside ? range->end : range->start;
    if (next < source_end) *until = target + (next - source);
    return inside ? range->bits | kMapped : uint32_t{0};
  };
  const auto range_bits = [](const TaskState& task, Vpn page) {
    const Range* range = FindRange(task, page);
    const bool inside = range != nullptr && range->start <= page;
    return inside ? range->bits | kMapped : uint32_t{0};
  };
  for (Vpn page = target; page < target_end;) {
    Vpn until;
    const uint32_t was = source_of(page, &until);
    const uint32_t want = was != 0 ? was : range_bits(before, page);
    const uint32_t seen = range_bits(after, page);
    if (want != seen) return FailPages(page, until, want, seen, mismatch);
    page = until;
  }
  const auto left = [&](Vpn start, Vpn, uint32_t was) {
    if (target <= start && start < target_end) {
      Vpn until;
      const uint32_t moved = source_of(start, &until);
      return Want{moved != 0 ? moved : was};
    }
    if (source <= start && start < source_end && was != 0) {
      return Want{move.dontunmap ? was & ~kLockBits : 0};
    }
    return Want{was};
  };
  const bool up = source < target;
  return RangesBecame(
      before, after, std::min(source, target), std::max(source_end, target_end),
      up ? source_end : target_end, up ? target : source, left, mismatch);
}

// A failed call has changed nothing, except that MREMAP_FIXED may have unmapped
// its target and its cut before it failed, or moved the first of several VMAs.
bool FailedEffect(const StepContext& context, const Move& move,
                  Mismatch* mismatch) {
  const TaskState& before = context.task_before();
  const TaskState& after = context.task_after();
  if (!move.fixed || !Arguments(context, move).ok()) {
    return NothingChanged(before, after, mismatch);
  }
  if (move.several && context.outcome.Is(EFAULT) &&
      SourceOf(before, move.start()) != nullptr) {
    Move moved = move;
    moved.old_bytes = moved.new_bytes =
        AddressOf(SeveralEnd(before, move)) - move.address;
    if (!CheckTask(before, after, WantTask::Unchanged(before), mismatch)) {
      return false;
    }
    return moved.old_bytes == 0
               ? NothingChanged(before, after, mismatch)
               : SeveralMoved(context, moved, moved.target(), mismatch);
  }
  // From 6.17 on what the call itself asks comes first.
  const bool asked = context.outcome.Is(EFAULT) || context.outcome.Is(EAGAIN);
  if (context.config.profile->Has(Behaviour::kMremapChecksFirst) && asked &&
      move.old_bytes != 0 &&
      !(move.old_bytes > move.new_bytes && TailIsBad(move)) &&
      !TouchesHugetlb(before, move.start(), move.tail_end())) {
    return NothingChanged(before, after, mismatch);
  }
  // Of several VMAs some may have moved.
  if (move.several) {
    return CheckTask(before, after, WantTask::Unchanged(before), mismatch);
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
  const auto want = [=, &move](Vpn start, Vpn, uint32_t was) {
    if (target <= start && start < target_end) return Want{bits};
    if (source <= start && start < source_end) {
      return Want{move.dontunmap ? was & ~kLockBits : 0};
    }
    return Want{was};
  };
  const Vpn lo = std::min(source, target);
  const Vpn hi = std::max(source_end, target_end);
  const bool up = source < target;
  if (move.several) return SeveralMoved(context, move, target, mismatch);
  return RangesBecame(before, context.task_after(), lo, hi,
                      up ? source_end : target_end, up ? target : source, want,
                      mismatch);
}

bool MremapEffect(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran() || Disturbed(context)) return true;
  const Move move = MoveOf(context);
  if (!context.outcome.ok()) return FailedEffect(context, move, mismatch);
  const TaskState& before = context.task_before();
  if (!CheckTask(before, context.task_after(), WantTask::Unchanged(before),
                 mismatch)) {
    return false;
  }
  const uint64_t address = static_cast<uint64_t>(context.outcome.value);
  const bool must_stay = !move.implies_new_address() &&
                         (move.shrinks() || Expandable(before, move));
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
  const Move move = MoveOf(context);
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
