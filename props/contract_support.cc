// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/contract_support.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/outcome.h"

namespace lockstep::contracts {
namespace {

uint32_t BitsOf(const Range& range) { return range.bits | kMapped; }

bool SameRange(const Range& a, const Range& b) {
  return a.start == b.start && a.end == b.end && a.bits == b.bits;
}

}  // namespace

const Range* FindRange(const TaskState& task, Vpn page) {
  auto range = std::partition_point(
      task.ranges.begin(), task.ranges.end(),
      [page](const Range& range) { return range.end <= page; });
  return range == task.ranges.end() ? nullptr : &*range;
}

Vpn FirstHole(const TaskState& task, Vpn start, Vpn end) {
  const Range* const last = task.ranges.data() + task.ranges.size();
  const Range* range = FindRange(task, start);
  Vpn next = start;
  for (; range != nullptr && range != last && next < end; ++range) {
    if (range->start > next) break;
    next = range->end;
  }
  return std::min(next, end);
}

namespace {

// Sums the pages of [start, end) in ranges that have all of `bits`.
Pages PagesWith(const TaskState& task, Vpn start, Vpn end, uint32_t bits) {
  Pages sum;
  const Range* const last = task.ranges.data() + task.ranges.size();
  const Range* range = FindRange(task, start);
  for (; range != nullptr && range != last && range->start < end; ++range) {
    if ((BitsOf(*range) & bits) != bits) continue;
    sum += std::min(range->end, end) - std::max(range->start, start);
  }
  return sum;
}

}  // namespace

Pages LockedPages(const TaskState& task, Vpn start, Vpn end) {
  return PagesWith(task, start, end, kRangeLocked);
}

Pages MappedPages(const TaskState& task, Vpn start, Vpn end) {
  return PagesWith(task, start, end, kMapped);
}

bool TouchesHugetlb(const TaskState& task, Vpn start, Vpn end) {
  return PagesWith(task, start, end, kRangeHugetlb).n != 0;
}

std::string Allowed::DebugString() const {
  std::string names = ok_ ? "success" : "";
  for (int error = 1; error < 128; ++error) {
    if ((bits_[error >> 6] >> (error & 63) & 1) == 0) continue;
    absl::StrAppend(&names, names.empty() ? "" : " or ",
                    OutcomeName(Outcome::Errno(error)));
  }
  return names;
}

bool Fail(Mismatch* mismatch, absl::string_view expected,
          absl::string_view seen) {
  mismatch->expected = std::string(expected);
  mismatch->seen = std::string(seen);
  return false;
}

bool FailOutcome(const Outcome& outcome, const Allowed& allowed,
                 Mismatch* mismatch) {
  return Fail(mismatch, allowed.DebugString(), OutcomeName(outcome));
}

bool FailNumber(Mismatch* mismatch, absl::string_view what, uint64_t expected,
                uint64_t seen) {
  return Fail(mismatch, absl::StrCat(what, " ", expected),
              absl::StrCat(what, " ", seen));
}

std::string DescribePages(Vpn start, Vpn end, uint32_t bits) {
  std::string text =
      absl::StrFormat("pages 0x%x to 0x%x: ", AddressOf(start), AddressOf(end));
  if ((bits & kMapped) == 0) return absl::StrCat(text, "unmapped");
  text.push_back((bits & kRangeRead) != 0 ? 'r' : '-');
  text.push_back((bits & kRangeWrite) != 0 ? 'w' : '-');
  text.push_back((bits & kRangeExec) != 0 ? 'x' : '-');
  text.push_back((bits & kRangeShared) != 0 ? 's' : 'p');
  static constexpr struct {
    uint32_t bit;
    absl::string_view name;
  } kNames[] = {{kRangeLocked, "locked"},
                {kRangeLockOnFault, "onfault"},
                {kRangeGrowsdown, "growsdown"},
                {kRangeHugetlb, "hugetlb"},
                {kRangeIo, "io"},
                {kRangeSpecial, "special"},
                {kRangeFile, "file"},
                {kRangeSecret, "secret"},
                {kRangeDroppable, "droppable"},
                {kRangeMayWrite, "maywrite"},
                {kRangeShm, "shm"}};
  for (const auto& name : kNames) {
    if ((bits & name.bit) != 0) absl::StrAppend(&text, " ", name.name);
  }
  return text;
}

bool FailPages(Vpn start, Vpn end, uint32_t want, uint32_t seen,
               Mismatch* mismatch) {
  return Fail(mismatch, DescribePages(start, end, want),
              DescribePages(start, end, seen));
}

namespace internal {

bool Pieces::Next(Vpn lo, Vpn hi, Vpn cut1, Vpn cut2) {
  const Range* was = before_;
  const Range* is = after_;
  Vpn from = end_;  // everything before it has been seen
  for (;;) {
    while (was != before_end_ && was->end <= from) ++was;
    while (is != after_end_ && is->end <= from) ++is;
    if (was == before_end_ || is == after_end_) break;
    if (was->start < from || !SameRange(*was, *is) ||
        (was->end > lo && was->start < hi)) {
      break;
    }
    from = was->end;
    ++was, ++is;
  }
  if (was == before_end_ && is == after_end_ && from >= hi) return false;
  before_ = was;
  after_ = is;
  constexpr Vpn kNone{~uint64_t{0}};
  // The ranges that come next; one that has begun is cut to what is left of it.
  const Vpn was_start = was != before_end_ ? std::max(from, was->start) : kNone;
  const Vpn is_start = is != after_end_ ? std::max(from, is->start) : kNone;
  Vpn start = std::min(was_start, is_start);
  // What is unmapped both before and after is a piece inside [lo, hi) only:
  // something may have been expected there.
  const Vpn gap = std::max(from, lo);
  if (gap < hi && gap < start) start = gap;
  if (start == kNone) return false;
  before_bits_ = after_bits_ = 0;
  Vpn end = kNone;
  if (was_start > start) {
    end = was_start;
  } else {
    end = was->end;
    before_bits_ = BitsOf(*was);
  }
  if (is_start > start) {
    end = std::min(end, is_start);
  } else {
    end = std::min(end, is->end);
    after_bits_ = BitsOf(*is);
  }
  for (const Vpn cut : {lo, hi, cut1, cut2}) {
    if (start < cut && cut < end) end = cut;
  }
  start_ = start;
  end_ = end;
  return true;
}

}  // namespace internal

bool FailTask(const TaskState& before, const TaskState& after,
              const WantTask& want, Mismatch* mismatch) {
  if (!after.exists) return Fail(mismatch, "the task lives", "it is gone");
  if (after.future_locked != want.future_locked ||
      after.future_onfault != want.future_onfault) {
    const auto name = [](bool locked, bool onfault) {
      return absl::StrCat("def_flags", locked ? " VM_LOCKED" : "",
                          onfault ? " VM_LOCKONFAULT" : "");
    };
    return Fail(mismatch, name(want.future_locked, want.future_onfault),
                name(after.future_locked, after.future_onfault));
  }
  if (after.brk != want.brk) {
    return FailNumber(mismatch, "brk", want.brk, after.brk);
  }
  return FailNumber(mismatch, "address space", before.mm, after.mm);
}

bool CheckCharges(const TaskState& before, const TaskState& after,
                  int64_t locked, int64_t total, Mismatch* mismatch) {
  const uint64_t want_locked =
      before.locked_vm.n + static_cast<uint64_t>(locked);
  if (after.locked_vm.n != want_locked) {
    return FailNumber(mismatch, "locked_vm", want_locked, after.locked_vm.n);
  }
  const uint64_t want_total = before.total_vm.n + static_cast<uint64_t>(total);
  if (after.total_vm.n != want_total) {
    return FailNumber(mismatch, "total_vm", want_total, after.total_vm.n);
  }
  return true;
}

bool RangesUnchanged(const TaskState& before, const TaskState& after,
                     Mismatch* mismatch) {
  // A step that changed nothing has one world; mostly not even the pieces
  // differ.
  if (&before == &after) return true;
  if (before.ranges == after.ranges && before.locked_vm == after.locked_vm &&
      before.total_vm == after.total_vm) {
    return true;
  }
  const auto same = [](Vpn, Vpn, uint32_t was) { return Want{was}; };
  return RangesBecame(before, after, Vpn{0}, Vpn{0}, same, mismatch);
}

bool NothingChanged(const TaskState& before, const TaskState& after,
                    Mismatch* mismatch) {
  return CheckTask(before, after, WantTask::Unchanged(before), mismatch) &&
         RangesUnchanged(before, after, mismatch);
}

bool NoAccess(const StepContext& context, uint32_t bits) {
  const uint32_t access = bits & kAccessBits;
  return access == 0 ||
         (access == kRangeExec && context.config.protection_keys &&
          context.config.profile->Has(Behaviour::kExecuteOnlyPkey));
}

bool HasGuard(const StepContext& context, Vpn start, Vpn end) {
  return context.config.profile->Has(Behaviour::kMadvGuard) && start < end &&
         context.engine.AnyGuard(TaskSlot(context.step), start, end);
}

bool PopulatedPagesPresent(const StepContext& context, Vpn start, Vpn end,
                           bool hugetlb, Mismatch* mismatch) {
  const TaskState& task = context.task_after();
  const int slot = TaskSlot(context.step);
  const Range* const last = task.ranges.data() + task.ranges.size();
  const Range* range = FindRange(task, start);
  for (; range != nullptr && range != last && range->start < end; ++range) {
    if (range->Has(kRangeIo) || range->Has(kRangeSecret) ||
        range->Has(kRangeLockOnFault) || NoAccess(context, range->bits) ||
        (!hugetlb && range->Has(kRangeHugetlb))) {
      continue;
    }
    Vpn from = std::max(range->start, start);
    // One guard page inside the VMA: populate leaves it out.
    if (range->Has(kRangeGrowsdown) && from == range->start &&
        !context.config.profile->Has(Behaviour::kStackGuardGap)) {
      ++from;
    }
    const Vpn to = std::min({range->end, range->eof, end});
    // Populate ends where it meets a guard page.
    if (HasGuard(context, from, to)) continue;
    if (from < to && !context.engine.AllPresent(slot, from, to)) {
      return Fail(mismatch,
                  absl::StrCat(DescribePages(from, to, BitsOf(*range)),
                               ", all resident"),
                  "some are not");
    }
  }
  return true;
}

namespace {

// Calls visit(index, start, end) for the first 64 pieces that PresentPieces
// means, until it returns false.
template <typename Visit>
bool ForEachPiece(const TaskState& task, Vpn start, Vpn end, uint32_t only,
                  const Visit& visit) {
  const Range* const last = task.ranges.data() + task.ranges.size();
  const Range* range = FindRange(task, start);
  int index = 0;
  for (; range != nullptr && range != last && range->start < end && index < 64;
       ++range) {
    if ((range->bits & only) != only) continue;
    if (!visit(index++, std::max(range->start, start),
               std::min(range->end, end))) {
      return false;
    }
  }
  return true;
}

}  // namespace

uint64_t PresentPieces(const TaskState& before, int task, Vpn start, Vpn end,
                       uint32_t only, const Engine& engine) {
  uint64_t present = 0;
  ForEachPiece(before, start, end, only, [&](int index, Vpn from, Vpn to) {
    if (engine.AllPresent(task, from, to)) present |= uint64_t{1} << index;
    return true;
  });
  return present;
}

bool StillPresent(const StepContext& context, Vpn start, Vpn end, uint32_t only,
                  Mismatch* mismatch) {
  if (context.prepared == 0) return true;
  const int slot = TaskSlot(context.step);
  return ForEachPiece(
      context.task_before(), start, end, only,
      [&](int index, Vpn from, Vpn to) {
        if ((context.prepared >> index & 1) == 0 ||
            context.engine.AllPresent(slot, from, to)) {
          return true;
        }
        return Fail(
            mismatch,
            absl::StrFormat("pages 0x%x to 0x%x stay resident as they were",
                            AddressOf(from), AddressOf(to)),
            "some are gone");
      });
}

}  // namespace lockstep::contracts
