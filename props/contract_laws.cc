// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// What holds of every address space between any two steps, whatever the step
// was. Only tasks that the step may have changed are looked at.

#include <bit>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "props/contract_support.h"
#include "props/contracts.h"

namespace lockstep::contracts {
namespace {

// check(task) for every task that lives and may have changed.
template <typename Law>
bool ForChangedTasks(const StepContext& context, const Law& law) {
  constexpr uint32_t kAll = (uint32_t{1} << kTaskSlots) - 1;
  for (uint32_t left = context.changed & kAll; left != 0; left &= left - 1) {
    const TaskState& task = context.after.tasks[std::countr_zero(left)];
    if (task.exists && !law(task)) return false;
  }
  return true;
}

bool LockedVmObserved(const StepContext& context, Mismatch* mismatch) {
  return ForChangedTasks(context, [mismatch](const TaskState& task) {
    Pages locked;
    for (const Range& range : task.ranges) {
      if (range.Has(kRangeLocked)) locked += range.end - range.start;
    }
    return locked == task.locked_vm ||
           FailNumber(mismatch, "locked_vm", locked.n, task.locked_vm.n);
  });
}

bool TotalVmObserved(const StepContext& context, Mismatch* mismatch) {
  return ForChangedTasks(context, [&](const TaskState& task) {
    Pages total{context.config.image_pages};
    for (const Range& range : task.ranges) total += range.end - range.start;
    return total == task.total_vm ||
           FailNumber(mismatch, "total_vm", total.n, task.total_vm.n);
  });
}

bool RangesInOrder(const StepContext& context, Mismatch* mismatch) {
  return ForChangedTasks(context, [mismatch](const TaskState& task) {
    Vpn end;
    for (const Range& range : task.ranges) {
      if (range.start < end || range.end <= range.start ||
          range.end > PageOf(kTaskSize)) {
        return Fail(
            mismatch, "ranges by address, disjoint, in user space",
            DescribePages(range.start, range.end, range.bits | kMapped));
      }
      end = range.end;
    }
    return true;
  });
}

bool OnfaultImpliesLocked(const StepContext& context, Mismatch* mismatch) {
  return ForChangedTasks(context, [mismatch](const TaskState& task) {
    for (const Range& range : task.ranges) {
      if ((range.bits & kLockBits) == kRangeLockOnFault) {
        return FailPages(range.start, range.end,
                         range.bits | kMapped | kRangeLocked,
                         range.bits | kMapped, mismatch);
      }
    }
    if (task.future_onfault && !task.future_locked) {
      return Fail(mismatch, "VM_LOCKED in def_flags", "VM_LOCKONFAULT alone");
    }
    return true;
  });
}

bool SpecialNeverLocked(const StepContext& context, Mismatch* mismatch) {
  return ForChangedTasks(context, [mismatch](const TaskState& task) {
    for (const Range& range : task.ranges) {
      // secretmem is the one kind that is always locked.
      if ((range.bits & kLockBits) != 0 && !Lockable(range.bits) &&
          !range.Has(kRangeSecret)) {
        return FailPages(range.start, range.end,
                         (range.bits | kMapped) & ~kLockBits,
                         range.bits | kMapped, mismatch);
      }
    }
    return true;
  });
}

// All laws of one task in one pass over its ranges. Says only whether they
// hold: which one does not is for the rows to say.
bool TaskLawsHold(const TaskState& task, Pages image) {
  Pages locked, total = image;
  Vpn end;
  for (const Range& range : task.ranges) {
    const uint32_t lock = range.bits & kLockBits;
    if (range.start < end || range.end <= range.start ||
        lock == kRangeLockOnFault ||
        (lock != 0 && !Lockable(range.bits) && !range.Has(kRangeSecret))) {
      return false;
    }
    end = range.end;
    total += range.end - range.start;
    if ((lock & kRangeLocked) != 0) locked += range.end - range.start;
  }
  return end <= PageOf(kTaskSize) && locked == task.locked_vm &&
         total == task.total_vm && (task.future_locked || !task.future_onfault);
}

bool MemfdSecretErrno(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran()) return true;
  Allowed allowed = Allowed::Success();
  if (!context.config.profile->Has(Behaviour::kMemfdSecret)) {
    allowed = Allowed::Only(ENOSYS);
  } else if (context.step.length > static_cast<uint64_t>(INT64_MAX)) {
    allowed = Allowed::Only(EINVAL);
  }
  if (context.events.fatal_signal) allowed.Or(EINTR);
  return Check(context, allowed, mismatch);
}

constexpr Contract kContracts[] = {
    {.name = "locked-vm-observed",
     .statement = "locked_vm is the number of pages in VM_LOCKED ranges",
     .source = "mm_struct.locked_vm; KAPI mlock L23, munlock U9; TLPI T3",
     .ops = kEveryOp,
     .holds = LockedVmObserved,
     .asked = Asked::kLaw},
    {.name = "total-vm-observed",
     .statement = "total_vm is the number of mapped pages",
     .source = "vm_stat_account",
     .ops = kEveryOp,
     .holds = TotalVmObserved,
     .asked = Asked::kLaw},
    {.name = "ranges-in-order",
     .statement = "an address space is a list of disjoint ranges by address",
     .source = "find_vma",
     .ops = kEveryOp,
     .holds = RangesInOrder,
     .asked = Asked::kLaw},
    {.name = "onfault-implies-locked",
     .statement = "VM_LOCKONFAULT only ever goes with VM_LOCKED",
     .source = "mlock2, mlockall",
     .ops = kEveryOp,
     .holds = OnfaultImpliesLocked,
     .asked = Asked::kLaw},
    {.name = "special-never-locked",
     .statement = "device, hugetlb and other special mappings are never locked",
     .source = "mlock_fixup, mmap_region; KAPI mlock L32-L38",
     .ops = kEveryOp,
     .holds = SpecialNeverLocked,
     .asked = Asked::kLaw},
    {.name = "memfd-secret-errno",
     .statement = "memfd_secret makes a file where the kernel has it (5.14), "
                  "else it is ENOSYS",
     .source = "memfd_secret(2)",
     .ops = OpBit(Op::kMemfdSecret),
     .holds = MemfdSecretErrno},
};

}  // namespace

absl::Span<const Contract> LawContracts() { return kContracts; }

bool LawsHold(const StepContext& context) {
  const Pages image{context.config.image_pages};
  return ForChangedTasks(context, [image](const TaskState& task) {
    return TaskLawsHold(task, image);
  });
}

}  // namespace lockstep::contracts
