// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// What contracts share: the words of the specification (who may lock, how a
// request is rounded, where the first hole is) and the comparison of an address
// space before and after a step with what must have become of it.
//
// Nothing here knows an engine's inside: everything is computed from what can
// be observed. A contract that holds builds no string and allocates nothing.

#ifndef LOCKSTEP_PROPS_CONTRACT_SUPPORT_H_
#define LOCKSTEP_PROPS_CONTRACT_SUPPORT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/engine.h"
#include "engine/profile.h"
#include "engine/uapi.h"
#include "engine/units.h"
#include "props/property.h"

namespace lockstep::contracts {

// ---- Ranges ----

inline constexpr uint32_t kLockBits = kRangeLocked | kRangeLockOnFault;
inline constexpr uint32_t kAccessBits = kRangeRead | kRangeWrite | kRangeExec;
// Not a RangeBit: set in the bits of every page that is mapped at all, so that
// "unmapped" is 0.
inline constexpr uint32_t kMapped = uint32_t{1} << 31;

// mlock_fixup's filter: VM_LOCKED is never set for the others.
constexpr bool Lockable(uint32_t bits) {
  return (bits & (kRangeSpecial | kRangeIo | kRangeHugetlb | kRangeSecret |
                  kRangeDroppable)) == 0;
}

// Not even get_user_pages may look at the pages: there is no access at all, or
// the memory is execute-only by a protection key.
bool NoAccess(const StepContext& context, uint32_t bits);

// find_vma: the first range that ends behind the page.
const Range* FindRange(const TaskState& task, Vpn page);
// The first unmapped page at or after start; `end` if there is none before it.
Vpn FirstHole(const TaskState& task, Vpn start, Vpn end);
// Pages of [start, end) in VM_LOCKED ranges.
Pages LockedPages(const TaskState& task, Vpn start, Vpn end);
// Pages of [start, end) that are mapped.
Pages MappedPages(const TaskState& task, Vpn start, Vpn end);
// A hugetlb range lies in [start, end), at least in part: where one is cut, the
// kernel may refuse by EINVAL (huge pages cannot be split).
bool TouchesHugetlb(const TaskState& task, Vpn start, Vpn end);

// ---- Limits ----

constexpr Pages LimitPages(const TaskState& task) {
  return {task.memlock_limit >> kPageShift};
}
// can_do_mlock.
constexpr bool CanDoMlock(const TaskState& task) {
  return task.cap_ipc_lock || task.memlock_limit != 0;
}
// mlock_future_check: `more` new locked pages are within the limit.
constexpr bool MayLockMore(const TaskState& task, Pages more) {
  return task.cap_ipc_lock || task.locked_vm + more <= LimitPages(task);
}
// So few VMAs are left that a call which needs `extra` more may fail.
inline bool NearMapCount(const StepContext& context, uint32_t extra) {
  return context.task_before().map_count + extra >=
         context.config.max_map_count;
}

// The address space is so full, or so much is asked for, that there may be no
// room, or overcommit may refuse.
inline bool NearFull(const TaskState& task, Pages more) {
  constexpr Pages kMany{uint64_t{1} << 32};
  return more >= kMany || task.total_vm + more >= kMany;
}

// ---- Requests ----

// An address and a length as mlock and munlock round them, modulo 2^64.
struct Request {
  Vpn start, end;  // end is meaningless if wraps
  Pages pages;
  bool wraps = false;
  bool empty() const { return pages.n == 0; }
};
constexpr Request LockRequest(const Step& step) {
  const uint64_t address = step.addr.Resolve();
  const uint64_t bytes = PageAlign(step.length + OffsetInPage(address));
  const uint64_t start = address & kPageMask;
  const uint64_t end = start + bytes;
  return {PageOf(start), PageOf(end), PagesOf(bytes), end < start};
}

// The task's address space is not only what the call made of it: it is gone, or
// another access grew a stack meanwhile.
inline bool Disturbed(const StepContext& context) {
  if (context.events.fatal_signal) return true;
  if (!context.events.interleaved) return false;
  for (const During& action : context.step.interleavings()) {
    if (action.op == Op::kTouch || action.op == Op::kFatalSignal) return true;
  }
  return false;
}
// Nothing but the call itself decided which pages are present.
inline bool PagesUndisturbed(const StepContext& context) {
  return !context.events.fatal_signal && !context.events.interleaved &&
         !context.events.allocation_failed;
}

// ---- Outcomes ----

// A set of errnos, and success.
class Allowed {
 public:
  constexpr Allowed() = default;
  static constexpr Allowed Success() {
    Allowed allowed;
    allowed.ok_ = true;
    return allowed;
  }
  static constexpr Allowed Only(int error) { return Allowed().Or(error); }
  constexpr Allowed& Or(int error) {
    bits_[error >> 6] |= uint64_t{1} << (error & 63);
    return *this;
  }
  constexpr Allowed& OrSuccess() {
    ok_ = true;
    return *this;
  }
  constexpr void Merge(const Allowed& other) {
    bits_[0] |= other.bits_[0];
    bits_[1] |= other.bits_[1];
    ok_ = ok_ || other.ok_;
  }
  constexpr Allowed WithoutSuccess() const {
    Allowed allowed = *this;
    allowed.ok_ = false;
    return allowed;
  }
  bool operator==(const Allowed&) const = default;
  constexpr bool ok() const { return ok_; }
  constexpr bool empty() const {
    return !ok_ && bits_[0] == 0 && bits_[1] == 0;
  }
  constexpr bool Has(const Outcome& outcome) const {
    if (outcome.kind == Outcome::Kind::kValue) return ok_;
    return outcome.kind == Outcome::Kind::kErrno && outcome.value > 0 &&
           outcome.value < 128 &&
           (bits_[outcome.value >> 6] >> (outcome.value & 63) & 1) != 0;
  }
  std::string DebugString() const;  // "ENOMEM or EAGAIN"

 private:
  uint64_t bits_[2] = {0, 0};
  bool ok_ = false;
};

// For use as `return Fail(...)`. What fails is looked at here and described
// elsewhere: a contract that holds does not pay for strings that it could
// build.
bool Fail(Mismatch* mismatch, absl::string_view expected,
          absl::string_view seen);
bool FailNumber(Mismatch* mismatch, absl::string_view what, uint64_t expected,
                uint64_t seen);
bool FailOutcome(const Outcome& outcome, const Allowed& allowed,
                 Mismatch* mismatch);

// The outcome is in the set; else fills *mismatch.
inline bool Check(const StepContext& context, const Allowed& allowed,
                  Mismatch* mismatch) {
  return allowed.Has(context.outcome) ||
         FailOutcome(context.outcome, allowed, mismatch);
}

// ---- Before and after ----

std::string DescribePages(Vpn start, Vpn end, uint32_t bits);

// What must have become of a page: these bits (kMapped included), where `care`
// is set. The care bits of an unmapped page do not matter beyond kMapped.
struct Want {
  uint32_t bits = 0;
  uint32_t care = ~uint32_t{0};
};

namespace internal {

// Goes through two address spaces in pieces inside which neither changes.
class Pieces {
 public:
  Pieces(const std::vector<Range>& before, const std::vector<Range>& after)
      : before_(before.data()),
        before_end_(before_ + before.size()),
        after_(after.data()),
        after_end_(after_ + after.size()) {}

  // Passes over equal ranges outside [lo, hi); false at the end of both.
  bool Next(Vpn lo, Vpn hi, Vpn cut1, Vpn cut2);

  Vpn start() const { return start_; }
  Vpn end() const { return end_; }
  uint32_t before() const { return before_bits_; }
  uint32_t after() const { return after_bits_; }

 private:
  // What is left of both.
  const Range *before_, *before_end_;
  const Range *after_, *after_end_;
  Vpn start_, end_;
  uint32_t before_bits_ = 0, after_bits_ = 0;
};

}  // namespace internal

// Everything of a task but its ranges, locked_vm and total_vm, as it must be
// after the step.
struct WantTask {
  bool future_locked, future_onfault;
  uint64_t brk;
  static WantTask Unchanged(const TaskState& before) {
    return {before.future_locked, before.future_onfault, before.brk};
  }
};
bool FailTask(const TaskState& before, const TaskState& after,
              const WantTask& want, Mismatch* mismatch);
inline bool CheckTask(const TaskState& before, const TaskState& after,
                      const WantTask& want, Mismatch* mismatch) {
  return (after.exists && after.future_locked == want.future_locked &&
          after.future_onfault == want.future_onfault &&
          after.brk == want.brk && after.mm == before.mm) ||
         FailTask(before, after, want, mismatch);
}
// locked_vm and total_vm moved by exactly what the ranges did.
bool CheckCharges(const TaskState& before, const TaskState& after,
                  int64_t locked, int64_t total, Mismatch* mismatch);
bool FailPages(Vpn start, Vpn end, uint32_t want, uint32_t seen,
               Mismatch* mismatch);

// The ranges of `after` are those of `before` changed by `expect`, which is
// asked for pieces inside [lo, hi) only; outside nothing may have changed.
// expect(start, end, bits before) -> Want. Pieces are cut at lo, hi, cut1 and
// cut2. V and total_vm must have moved along.
template <typename Expect>
bool RangesBecame(const TaskState& before, const TaskState& after, Vpn lo,
                  Vpn hi, Vpn cut1, Vpn cut2, const Expect& expect,
                  Mismatch* mismatch) {
  internal::Pieces pieces(before.ranges, after.ranges);
  int64_t locked = 0, total = 0;
  while (pieces.Next(lo, hi, cut1, cut2)) {
    const uint32_t was = pieces.before();
    const uint32_t is = pieces.after();
    const bool inside = lo <= pieces.start() && pieces.start() < hi;
    const Want want =
        inside ? expect(pieces.start(), pieces.end(), was) : Want{was};
    uint32_t care = want.care | kMapped;
    if (((want.bits ^ is) & kMapped) == 0 && (is & kMapped) == 0) care = 0;
    if (((want.bits ^ is) & care) != 0) {
      return FailPages(pieces.start(), pieces.end(), want.bits, is, mismatch);
    }
    const int64_t pages =
        static_cast<int64_t>((pieces.end() - pieces.start()).n);
    locked +=
        pages * (((is & kRangeLocked) != 0) - ((was & kRangeLocked) != 0));
    total += pages * (((is & kMapped) != 0) - ((was & kMapped) != 0));
  }
  return CheckCharges(before, after, locked, total, mismatch);
}
template <typename Expect>
bool RangesBecame(const TaskState& before, const TaskState& after, Vpn lo,
                  Vpn hi, const Expect& expect, Mismatch* mismatch) {
  return RangesBecame(before, after, lo, hi, lo, hi, expect, mismatch);
}

// Ranges, V, total_vm, brk and def_flags are as they were.
bool NothingChanged(const TaskState& before, const TaskState& after,
                    Mismatch* mismatch);
bool RangesUnchanged(const TaskState& before, const TaskState& after,
                     Mismatch* mismatch);

// ---- Residency ----

// A guard page (MADV_GUARD_INSTALL, 6.13) lies in the range now.
bool HasGuard(const StepContext& context, Vpn start, Vpn end);

// Every page of [start, end) that populate must have brought in is present:
// not those of VM_IO ranges, of secrets, of ranges without any access, of
// ranges locked on fault, of ranges with guard pages, nor those behind the end
// of a file. `hugetlb`: huge pages too, whose pool may be empty.
bool PopulatedPagesPresent(const StepContext& context, Vpn start, Vpn end,
                           bool hugetlb, Mismatch* mismatch);

// One bit a piece (range of the state before, cut to [start, end)), for the
// first 64: the piece is wholly present now. `only` limits it to ranges that
// have all these bits.
uint64_t PresentPieces(const TaskState& before, int task, Vpn start, Vpn end,
                       uint32_t only, const Engine& engine);
// Pieces that PresentPieces saw before the step are still present.
bool StillPresent(const StepContext& context, Vpn start, Vpn end, uint32_t only,
                  Mismatch* mismatch);

inline int TaskSlot(const Step& step) { return step.task % kTaskSlots; }

}  // namespace lockstep::contracts

#endif  // LOCKSTEP_PROPS_CONTRACT_SUPPORT_H_
