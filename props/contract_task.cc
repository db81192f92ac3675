// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Tasks: nothing of a lock is inherited by fork or survives exec and exit, and
// a call of one task leaves the others alone.

#include <bit>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "props/contract_support.h"
#include "props/contracts.h"

namespace lockstep::contracts {
namespace {

constexpr uint64_t EnvironmentOps() {
  uint64_t ops = 0;
  for (int op = 0; op < kOpCount; ++op) {
    if (IsEnvironment(static_cast<Op>(op))) ops |= OpBit(static_cast<Op>(op));
  }
  return ops;
}
constexpr uint64_t kEnvironment = EnvironmentOps();
constexpr uint64_t kCalls = ((uint64_t{1} << kOpCount) - 1) & ~kEnvironment;

// A task is as it was, its identity included.
bool TaskUnchanged(const TaskState& before, const TaskState& after,
                   Mismatch* mismatch) {
  if (before.exists != after.exists) {
    return Fail(mismatch, before.exists ? "the task lives" : "an empty slot",
                after.exists ? "a new task" : "it is gone");
  }
  if (!before.exists) return true;
  if (before.uid != after.uid) {
    return FailNumber(mismatch, "uid", before.uid, after.uid);
  }
  if (before.cap_ipc_lock != after.cap_ipc_lock) {
    return FailNumber(mismatch, "CAP_IPC_LOCK", before.cap_ipc_lock,
                      after.cap_ipc_lock);
  }
  if (before.memlock_limit != after.memlock_limit) {
    return FailNumber(mismatch, "RLIMIT_MEMLOCK", before.memlock_limit,
                      after.memlock_limit);
  }
  return NothingChanged(before, after, mismatch);
}

// Tasks whose state the step may have changed, but for those in `except`.
bool TasksUnchanged(const StepContext& context, uint32_t except,
                    Mismatch* mismatch) {
  constexpr uint32_t kAll = (uint32_t{1} << kTaskSlots) - 1;
  for (uint32_t left = context.changed & ~except & kAll; left != 0;
       left &= left - 1) {
    const int task = std::countr_zero(left);
    if (!TaskUnchanged(context.before.tasks[task], context.after.tasks[task],
                       mismatch)) {
      mismatch->expected =
          absl::StrCat("task ", task, ": ", mismatch->expected);
      return false;
    }
  }
  return true;
}

// Another task may have touched its memory, or been killed, meanwhile.
bool OthersDisturbed(const StepContext& context) {
  if (!context.events.interleaved) return false;
  for (const During& action : context.step.interleavings()) {
    if (action.op == Op::kTouch || action.op == Op::kFatalSignal) return true;
  }
  return false;
}

bool EmptySlotSkips(const StepContext& context, Mismatch* mismatch) {
  if (context.task_before().exists || !context.outcome.ran()) return true;
  return Fail(mismatch, "SKIPPED: there is no such task",
              OutcomeName(context.outcome));
}

bool SkippedChangesNothing(const StepContext& context, Mismatch* mismatch) {
  return context.outcome.ran() || TasksUnchanged(context, 0, mismatch);
}

bool OtherTasksUntouched(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran() || OthersDisturbed(context)) return true;
  const Step& step = context.step;
  uint32_t except = uint32_t{1} << TaskSlot(step);
  if (step.op == Op::kFork && context.outcome.ok()) {
    except |= uint32_t{1} << (step.slot % kTaskSlots);
  }
  // Threads see the address space change.
  const uint32_t others = context.changed & ~except;
  for (int task = 0; others >> task != 0; ++task) {
    const TaskState& before = context.before.tasks[task];
    if ((others >> task & 1) != 0 && before.exists &&
        context.task_before().exists && before.mm == context.task_before().mm) {
      except |= uint32_t{1} << task;
    }
  }
  return TasksUnchanged(context, except, mismatch);
}

bool EnvironmentKeepsMappings(const StepContext& context, Mismatch* mismatch) {
  uint32_t except = 0;
  // The killed task may go at once, having no call to return from.
  if (context.step.op == Op::kFatalSignal && !context.task_after().exists) {
    except = uint32_t{1} << TaskSlot(context.step);
  }
  return TasksUnchanged(context, except, mismatch);
}

bool FatalSignalEndsTask(const StepContext& context, Mismatch* mismatch) {
  if (!context.events.fatal_signal || context.events.interleaved ||
      !context.outcome.ran() || !context.task_after().exists) {
    return true;
  }
  return Fail(mismatch, "the task is gone", "it lives");
}

// ---- fork ----

bool ForkInheritsNoLock(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ok() || Disturbed(context)) return true;
  const TaskState& parent = context.task_before();
  const TaskState& child = context.after.tasks[context.step.slot % kTaskSlots];
  if (!NothingChanged(parent, context.task_after(), mismatch)) {
    mismatch->expected = absl::StrCat("parent: ", mismatch->expected);
    return false;
  }
  if (!child.exists) return Fail(mismatch, "a child", "none");
  if (child.cap_ipc_lock != parent.cap_ipc_lock || child.uid != parent.uid ||
      child.memlock_limit != parent.memlock_limit) {
    return Fail(mismatch, "the parent's uid, capability and limit", "others");
  }
  if (context.step.value != 0) {
    // CLONE_VM: the same address space, locks and all.
    return NothingChanged(parent, child, mismatch);
  }
  if (child.mm == parent.mm) {
    return Fail(mismatch, "an address space of its own", "the parent's");
  }
  if (child.future_locked || child.future_onfault) {
    return Fail(mismatch, "def_flags without locks", "VM_LOCKED in def_flags");
  }
  if (child.locked_vm.n != 0) {
    return FailNumber(mismatch, "child's locked_vm", 0, child.locked_vm.n);
  }
  if (child.brk != parent.brk) {
    return FailNumber(mismatch, "brk", parent.brk, child.brk);
  }
  // Ranges under MADV_DONTFORK are left out, which cannot be observed before.
  const auto copied = [&child](Vpn start, Vpn, uint32_t was) {
    const Range* range = FindRange(child, start);
    const bool left_out = range == nullptr || range->start > start;
    return Want{left_out ? 0 : was & ~kLockBits};
  };
  return RangesBecame(parent, child, Vpn{0}, PageOf(kTaskSize), copied,
                      mismatch);
}

bool ForkErrno(const StepContext& context, Mismatch* mismatch) {
  const bool full = context.before.tasks[context.step.slot % kTaskSlots].exists;
  if (full && context.outcome.ran()) {
    return Fail(mismatch, "SKIPPED: the child's slot is in use",
                OutcomeName(context.outcome));
  }
  if (!context.outcome.ran()) return true;
  Allowed allowed = Allowed::Success();
  if (context.events.allocation_failed) allowed.Or(ENOMEM).Or(EAGAIN);
  if (context.events.fatal_signal) allowed.Or(EINTR).Or(EAGAIN);
  return Check(context, allowed, mismatch);
}

// ---- exec and exit ----

bool ExecClears(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran() || Disturbed(context)) return true;
  const TaskState& task = context.task_after();
  if (!context.outcome.ok()) {
    return NothingChanged(context.task_before(), task, mismatch);
  }
  if (!task.exists) return Fail(mismatch, "the task lives", "it is gone");
  if (task.locked_vm.n != 0) {
    return FailNumber(mismatch, "locked_vm", 0, task.locked_vm.n);
  }
  if (task.future_locked || task.future_onfault) {
    return Fail(mismatch, "def_flags without locks", "VM_LOCKED in def_flags");
  }
  const Vpn image = PageOf(kImageBase);
  const Vpn image_end = image + Pages{context.config.image_lockable_pages};
  for (const Range& range : task.ranges) {
    if (range.start < image || range.end > image_end) {
      return Fail(mismatch, "no range but the image",
                  DescribePages(range.start, range.end, range.bits | kMapped));
    }
  }
  if (task.memlock_limit != context.task_before().memlock_limit) {
    return FailNumber(mismatch, "RLIMIT_MEMLOCK",
                      context.task_before().memlock_limit, task.memlock_limit);
  }
  for (int other = 0; other < kTaskSlots; ++other) {
    if (other != TaskSlot(context.step) && context.after.tasks[other].exists &&
        context.after.tasks[other].mm == task.mm) {
      return Fail(mismatch, "an address space of its own",
                  absl::StrCat("that of task ", other));
    }
  }
  return true;
}

bool ExitClears(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran() || !context.task_after().exists) return true;
  return Fail(mismatch, "an empty slot", "the task lives");
}

// ---- limits and credentials ----

bool SetrlimitEffect(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran() || Disturbed(context)) return true;
  const TaskState& before = context.task_before();
  const TaskState& after = context.task_after();
  const Step& step = context.step;
  uint64_t limit = before.memlock_limit;
  uint8_t uid = before.uid;
  bool cap = after.cap_ipc_lock;  // setuid may drop capabilities
  if (context.outcome.ok()) {
    if (step.op == Op::kSetrlimit) limit = step.length;
    if (step.op == Op::kSetuid) uid = step.slot % kUsers;
    if (step.op == Op::kSetcap) cap = step.value != 0;
  }
  if (step.op == Op::kSetrlimit) cap = before.cap_ipc_lock;
  if (after.memlock_limit != limit) {
    return FailNumber(mismatch, "RLIMIT_MEMLOCK", limit, after.memlock_limit);
  }
  if (after.uid != uid) return FailNumber(mismatch, "uid", uid, after.uid);
  if (after.cap_ipc_lock != cap) {
    return FailNumber(mismatch, "CAP_IPC_LOCK", cap, after.cap_ipc_lock);
  }
  return NothingChanged(before, after, mismatch);
}

constexpr Contract kContracts[] = {
    {.name = "empty-slot-skips",
     .statement = "a call of a task that does not exist is skipped",
     .source = "program.proto, Step",
     .ops = kCalls,
     .holds = EmptySlotSkips,
     .asked = Asked::kOfExceptions},
    {.name = "skipped-changes-nothing",
     .statement = "a step that was skipped changes no task",
     .source = "program.proto, Step",
     .ops = kEveryOp,
     .holds = SkippedChangesNothing,
     .asked = Asked::kOfExceptions},
    {.name = "fork-errno",
     .statement = "fork fails only for want of memory, and a slot in use makes "
                  "it skipped",
     .source = "copy_process; program.proto, Fork",
     .ops = OpBit(Op::kFork),
     .holds = ForkErrno},
    {.name = "fork-inherits-no-lock",
     .statement = "a child has the parent's mappings without a lock, locked_vm "
                  "0 and no MCL_FUTURE; the parent keeps everything",
     .source = "dup_mmap, mm_init; KAPI mlock L17",
     .ops = OpBit(Op::kFork),
     .holds = ForkInheritsNoLock},
    {.name = "exec-clears",
     .statement = "after exec nothing is locked, charged or locked in future",
     .source = "bprm_mm_init, exec_mmap; mlockall(2)",
     .ops = OpBit(Op::kExec),
     .holds = ExecClears},
    {.name = "exit-clears",
     .statement = "after exit the task is gone",
     .source = "exit_mmap; TLPI T6",
     .ops = OpBit(Op::kExit),
     .holds = ExitClears},
    {.name = "fatal-signal-ends-task",
     .statement = "a task with a fatal signal does not outlive its call",
     .source = "get_signal; KAPI mlock L15",
     .ops = kCalls,
     .holds = FatalSignalEndsTask,
     .asked = Asked::kOfExceptions},
    {.name = "setrlimit-effect",
     .statement =
         "setrlimit, setcap and setuid set what they name and change no "
         "mapping, lock or charge",
     .source = "do_prlimit, commit_creds",
     .ops = OpBit(Op::kSetrlimit) | OpBit(Op::kSetcap) | OpBit(Op::kSetuid),
     .holds = SetrlimitEffect},
    {.name = "other-tasks-untouched",
     .statement = "a call changes no task of another address space",
     .source = "every call works on current->mm",
     .ops = kCalls,
     .holds = OtherTasksUntouched,
     .asked = Asked::kOfOtherTasks},
    {.name = "environment-keeps-mappings",
     .statement = "what the rest of the machine does changes no mapping, lock "
                  "or charge of any task",
     .source = "reclaim, migration and compaction work on pages",
     .ops = kEnvironment,
     .holds = EnvironmentKeepsMappings},
};

}  // namespace

absl::Span<const Contract> TaskContracts() { return kContracts; }

}  // namespace lockstep::contracts
