// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Calls that look at or use memory without changing a lock: msync, mincore,
// a touch, ftruncate. The only lock they can charge is that of a growing stack.

#include <cerrno>
#include <csignal>

#include "absl/strings/str_format.h"
#include "props/contract_support.h"
#include "props/contracts.h"

namespace lockstep::contracts {
namespace {

// ---- msync ----

// What the first VMA of the range that ends the walk over it makes of the call;
// 0: none does. A hole does not end it.
int MsyncEndsWith(const TaskState& task, Vpn start, Vpn end, uint32_t flags) {
  const Range* const last = task.ranges.data() + task.ranges.size();
  const Range* range = FindRange(task, start);
  for (; range != nullptr && range != last && range->start < end; ++range) {
    if ((flags & uapi::kMsInvalidate) != 0 && range->Has(kRangeLocked)) {
      return EBUSY;
    }
    // There is no fsync of it.
    if ((flags & uapi::kMsSync) != 0 && range->Has(kRangeSecret)) {
      return EINVAL;
    }
  }
  return 0;
}

bool MsyncErrno(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran()) return true;
  const Step& step = context.step;
  const uint64_t address = step.addr.Resolve();
  const uint64_t end_address = address + PageAlign(step.length);
  constexpr uint32_t kBoth = uapi::kMsAsync | uapi::kMsSync;
  Allowed allowed;
  if ((step.flags & ~(kBoth | uapi::kMsInvalidate)) != 0 ||
      OffsetInPage(address) != 0 || (step.flags & kBoth) == kBoth) {
    allowed.Or(EINVAL);
  } else if (end_address < address) {
    allowed.Or(ENOMEM);
  } else if (end_address == address) {
    allowed.OrSuccess();
  } else {
    const TaskState& task = context.task_before();
    const Vpn start = PageOf(address), end = PageOf(end_address);
    if (const int error = MsyncEndsWith(task, start, end, step.flags);
        error != 0) {
      allowed.Or(error);
    } else if (MappedPages(task, start, end) != end - start) {
      allowed.Or(ENOMEM);
    } else {
      allowed.OrSuccess();
    }
    // A driver's file may have no fsync, or an error of its own.
    const Range* const last = task.ranges.data() + task.ranges.size();
    const Range* range = FindRange(task, start);
    for (; range != nullptr && range != last && range->start < end; ++range) {
      if (range->Has(kRangeSpecial)) allowed.Or(EINVAL).Or(EIO);
    }
  }
  if (context.events.fatal_signal) allowed.Or(EINTR);
  return Check(context, allowed, mismatch);
}

// ---- mincore ----

bool MincoreErrno(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran()) return true;
  const uint64_t address = context.step.addr.Resolve();
  const uint64_t length = context.step.length;
  Allowed allowed;
  if (OffsetInPage(address) != 0) {
    allowed.Or(EINVAL);
  } else if (address > kTaskSize || length > kTaskSize - address) {
    allowed.Or(ENOMEM);
  } else {
    const Vpn start = PageOf(address);
    const Vpn end = PageOf(PageAlign(address + length));
    if (FirstHole(context.task_before(), start, end) != end) {
      allowed.Or(ENOMEM);
    } else {
      allowed.OrSuccess();
    }
    if (context.events.allocation_failed) allowed.Or(EAGAIN);
  }
  if (context.events.fatal_signal) allowed.Or(EINTR);
  return Check(context, allowed, mismatch);
}

bool AccessEffect(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran() || Disturbed(context)) return true;
  return NothingChanged(context.task_before(), context.task_after(), mismatch);
}

// ---- touch ----

// What a touch may end in.
struct Faults {
  bool ok = false, segv = false, bus = false;
};

// The stack that an access to an unmapped page would make grow; null: none.
const Range* GrowingStack(const TaskState& task, Vpn page) {
  const Range* range = FindRange(task, page);
  const bool below = range != nullptr && range->start > page;
  return below && range->Has(kRangeGrowsdown) ? range : nullptr;
}

Faults FaultsOf(const StepContext& context) {
  const TaskState& task = context.task_before();
  const Vpn page = PageOf(context.step.addr.Resolve());
  if (page >= PageOf(kTaskSize)) return {.segv = true};
  const Range* range = FindRange(task, page);
  Faults faults;
  if (range == nullptr || range->start > page) {
    range = GrowingStack(task, page);
    if (range == nullptr) return {.segv = true};
    // acct_stack_growth. Below, a guard gap or page or the distance to the
    // stack pointer may forbid what the limit allows.
    faults.segv = true;
    if (range->Has(kRangeLocked) && !MayLockMore(task, range->start - page)) {
      return faults;
    }
  }
  const bool write = context.step.value != 0;
  if (NoAccess(context, range->bits) || (write && !range->Has(kRangeWrite))) {
    return {.segv = true};
  }
  if (context.engine.ObservePage(TaskSlot(context.step), page).guard) {
    return {.segv = true};
  }
  if (page >= range->eof) return {.bus = true};
  faults.ok = true;
  if (range->Has(kRangeHugetlb)) faults.bus = true;  // the pool is empty
  // What the user's secrets have been charged cannot be seen.
  if (range->Has(kRangeSecret) &&
      context.config.profile->Has(Behaviour::kSecretmemPerUser)) {
    faults.bus = true;
  }
  // Up to the guard gap the lowest page of a stack is its guard: touching it
  // makes the stack grow once more, which may fail.
  if (range->Has(kRangeGrowsdown) && page <= range->start &&
      !context.config.profile->Has(Behaviour::kStackGuardGap)) {
    faults.bus = faults.segv = true;
  }
  return faults;
}

bool TouchOutcome(const StepContext& context, Mismatch* mismatch) {
  const Outcome& outcome = context.outcome;
  if (!outcome.ran()) return true;
  const bool signal = outcome.kind == Outcome::Kind::kSignal;
  // Out of memory, or killed meanwhile.
  if (signal &&
      (context.events.allocation_failed || context.events.fatal_signal)) {
    return true;
  }
  const Faults faults = FaultsOf(context);
  if ((faults.ok && outcome.ok()) ||
      (faults.segv && signal && outcome.value == SIGSEGV) ||
      (faults.bus && signal && outcome.value == SIGBUS)) {
    return true;
  }
  return Fail(mismatch,
              faults.ok    ? "success"
              : faults.bus ? "SIGBUS"
                           : "SIGSEGV",
              OutcomeName(outcome));
}

// A page that was touched is there.
bool TouchEffect(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran() || Disturbed(context)) return true;
  const TaskState& before = context.task_before();
  const TaskState& after = context.task_after();
  const Vpn page = PageOf(context.step.addr.Resolve());
  const Range* stack = GrowingStack(before, page);
  if (stack == nullptr &&
      !context.config.profile->Has(Behaviour::kStackGuardGap)) {
    // A guard page inside the stack makes it grow from its lowest page.
    const Range* range = FindRange(before, page);
    if (range != nullptr && range->start == page &&
        range->Has(kRangeGrowsdown)) {
      stack = range;
    }
  }
  if (stack == nullptr) return NothingChanged(before, after, mismatch);

  // It has grown to the page, to the guard page below, or not at all.
  const uint32_t bits = stack->bits | kMapped;
  const Vpn top = stack->start;
  const bool guard =
      !context.config.profile->Has(Behaviour::kStackGuardGap) && page.n != 0;
  const Vpn lowest = guard ? page - Pages{1} : page;
  const Range* now = FindRange(after, top - Pages{1});
  const Vpn bottom =
      now != nullptr && now->start < top ? std::max(now->start, lowest) : top;
  if (!CheckTask(before, after, WantTask::Unchanged(before), mismatch) ||
      !RangesBecame(
          before, after, bottom, top,
          [bits](Vpn, Vpn, uint32_t was) {
            return Want{was != 0 ? was : bits};
          },
          mismatch)) {
    return false;
  }
  if (after.locked_vm > before.locked_vm && !after.cap_ipc_lock &&
      after.locked_vm > LimitPages(after)) {
    return FailNumber(mismatch, "locked_vm at most", LimitPages(after).n,
                      after.locked_vm.n);
  }
  return true;
}

bool TouchResidency(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ok() || context.events.interleaved ||
      context.events.fatal_signal) {
    return true;
  }
  const Vpn page = PageOf(context.step.addr.Resolve());
  if (context.engine.ObservePage(TaskSlot(context.step), page).present) {
    return true;
  }
  return Fail(mismatch, absl::StrFormat("page 0x%x present", AddressOf(page)),
              "not present");
}

// ---- ftruncate ----

bool FtruncateEffect(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran()) return true;
  const int file = context.step.slot % kFileSlots;
  const uint64_t want = context.outcome.ok() ? context.step.length
                                             : context.before.file_size[file];
  if (context.after.file_size[file] != want) {
    return FailNumber(mismatch, "file size", want,
                      context.after.file_size[file]);
  }
  if (Disturbed(context)) return true;
  return NothingChanged(context.task_before(), context.task_after(), mismatch);
}

constexpr Contract kContracts[] = {
    {.name = "msync-errno",
     .statement =
         "msync: EBUSY for MS_INVALIDATE over a locked VMA, ENOMEM for "
         "holes, EINVAL for bad flags",
     .source = "msync; msync(2)",
     .ops = OpBit(Op::kMsync),
     .holds = MsyncErrno},
    {.name = "mincore-errno",
     .statement = "mincore: EINVAL for an unaligned address, ENOMEM for holes",
     .source = "mincore; mincore(2)",
     .ops = OpBit(Op::kMincore),
     .holds = MincoreErrno},
    {.name = "looking-changes-nothing",
     .statement = "msync and mincore change no mapping, lock or charge",
     .source = "msync, mincore",
     .ops = OpBit(Op::kMsync) | OpBit(Op::kMincore),
     .holds = AccessEffect},
    {.name = "touch-outcome",
     .statement = "an access succeeds, or is SIGSEGV where access or stack "
                  "growth is denied and SIGBUS behind the end of a file",
     .source = "handle_mm_fault, acct_stack_growth",
     .ops = OpBit(Op::kTouch),
     .holds = TouchOutcome},
    {.name = "touch-effect",
     .statement =
         "an access changes nothing but a stack that grows, charged if "
         "locked and within the limit",
     .source = "expand_downwards, acct_stack_growth",
     .ops = OpBit(Op::kTouch),
     .holds = TouchEffect},
    {.name = "touch-residency",
     .statement = "a page that was touched is present",
     .source = "handle_mm_fault",
     .ops = OpBit(Op::kTouch),
     .holds = TouchResidency},
    {.name = "ftruncate-effect",
     .statement = "ftruncate sets the size and ignores locks: mappings and "
                  "charges stay",
     .source = "unmap_mapping_range",
     .ops = OpBit(Op::kFtruncate),
     .holds = FtruncateEffect},
};

}  // namespace

absl::Span<const Contract> AccessContracts() { return kContracts; }

}  // namespace lockstep::contracts
