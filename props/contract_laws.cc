// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// What holds of every address space between any two steps, whatever the step
// was. Only tasks that the step may have changed are looked at.

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "props/contract_support.h"
#include "props/contracts.h"

namespace lockstep::contracts {
namespace {

// check(task) for every task that lives and may have changed.
template <typename Law>
bool ForChangedTasks(const StepContext& context, const Law& law) {
  uint32_t changed = context.changed;
  for (int task = 0; changed != 0; ++task, changed >>= 1) {
    if ((changed & 1) == 0 || !context.after.tasks[task].exists) continue;
    if (!law(context.after.tasks[task])) return false;
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

// memfd_secret came with 5.14; no profile here has it.
bool MemfdSecretErrno(const StepContext& context, Mismatch* mismatch) {
  return !context.outcome.ran() ||
         Check(context, Allowed::Only(ENOSYS), mismatch);
}

constexpr Contract kContracts[] = {
    {.name = "locked-vm-observed",
     .statement = "locked_vm is the number of pages in VM_LOCKED ranges",
     .source = "mm_struct.locked_vm; KAPI mlock L23, munlock U9; TLPI T3",
     .ops = kEveryOp,
     .holds = LockedVmObserved,
     .only_of_changes = true},
    {.name = "total-vm-observed",
     .statement = "total_vm is the number of mapped pages",
     .source = "vm_stat_account",
     .ops = kEveryOp,
     .holds = TotalVmObserved,
     .only_of_changes = true},
    {.name = "ranges-in-order",
     .statement = "an address space is a list of disjoint ranges by address",
     .source = "find_vma",
     .ops = kEveryOp,
     .holds = RangesInOrder,
     .only_of_changes = true},
    {.name = "onfault-implies-locked",
     .statement = "VM_LOCKONFAULT only ever goes with VM_LOCKED",
     .source = "mlock2, mlockall",
     .ops = kEveryOp,
     .holds = OnfaultImpliesLocked,
     .only_of_changes = true},
    {.name = "special-never-locked",
     .statement = "device, hugetlb and other special mappings are never locked",
     .source = "mlock_fixup, mmap_region; KAPI mlock L32-L38",
     .ops = kEveryOp,
     .holds = SpecialNeverLocked,
     .only_of_changes = true},
    {.name = "memfd-secret-errno",
     .statement = "memfd_secret is ENOSYS before 5.14",
     .source = "memfd_secret(2)",
     .ops = OpBit(Op::kMemfdSecret),
     .holds = MemfdSecretErrno},
};

}  // namespace

absl::Span<const Contract> LawContracts() { return kContracts; }

}  // namespace lockstep::contracts
