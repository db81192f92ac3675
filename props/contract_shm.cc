// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// SysV shared memory: SHM_LOCK locks the segment, not a mapping of it. It is
// charged to the user, a pool separate from locked_vm; attaching is a mmap.

#include <cerrno>

#include "absl/strings/str_format.h"
#include "props/contract_support.h"
#include "props/contracts.h"

namespace lockstep::contracts {
namespace {

constexpr uint32_t kIpcSet = 1, kIpcStat = 2, kIpcInfo = 3;
constexpr uint32_t kShmStat = 13, kShmInfo = 14;
constexpr uint32_t kShmRnd = 020000;

const ShmState& SegmentBefore(const StepContext& context) {
  return context.before.shm[context.step.slot % kShmSlots];
}
const ShmState& SegmentAfter(const StepContext& context) {
  return context.after.shm[context.step.slot % kShmSlots];
}

Pages SegmentPages(const ShmState& segment) {
  return PagesOf(PageAlign(segment.size));
}

// The segment is not of this task's user and the capability does not help.
bool Stranger(const TaskState& task, const ShmState& segment) {
  return !task.cap_ipc_lock && task.uid != segment.owner;
}

bool ShmSameState(const ShmState& a, const ShmState& b) {
  return a.exists == b.exists &&
         (!a.exists ||
          (a.locked == b.locked && a.hugetlb == b.hugetlb &&
           a.removed == b.removed && a.owner == b.owner && a.size == b.size));
}

// ---- shmctl ----

bool ShmLockErrno(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran()) return true;
  const TaskState& task = context.task_before();
  const ShmState& segment = SegmentBefore(context);
  const bool lock = context.step.flags == uapi::kShmLock;
  Allowed allowed = Allowed::Success();
  switch (context.step.flags) {
    case kIpcSet:
    case kIpcStat:
    case kIpcInfo:
    case kShmStat:
    case kShmInfo:
      return true;  // not about locking
    case uapi::kIpcRmid:
      // Owner or CAP_SYS_ADMIN, which programs do not speak of.
      if (task.uid != segment.owner) allowed.Or(EPERM);
      break;
    case uapi::kShmLock:
    case uapi::kShmUnlock:
      if (Stranger(task, segment) ||
          (lock && !task.cap_ipc_lock && task.memlock_limit == 0)) {
        allowed = Allowed::Only(EPERM);
      } else if (lock && !segment.hugetlb && !segment.locked &&
                 !task.cap_ipc_lock && task.memlock_limit != kRlimInfinity &&
                 context.before.locked_shm[task.uid % kUsers] +
                         SegmentPages(segment) >
                     LimitPages(task)) {
        allowed = Allowed::Only(ENOMEM);
      }
      break;
    default:
      allowed = Allowed::Only(EINVAL);
      break;
  }
  return Check(context, allowed, mismatch);
}

// How far a user's charge moved.
int64_t Moved(const StepContext& context, int uid) {
  return static_cast<int64_t>(context.after.locked_shm[uid].n -
                              context.before.locked_shm[uid].n);
}

bool ShmLockEffect(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran()) return true;
  const ShmState& before = SegmentBefore(context);
  const ShmState& after = SegmentAfter(context);
  const uint32_t command = context.step.flags;
  const bool ok = context.outcome.ok() && !before.hugetlb;
  const bool locks = ok && command == uapi::kShmLock && !before.locked;
  const bool unlocks = ok && command == uapi::kShmUnlock && before.locked;
  // An exit by a signal may have detached and destroyed segments.
  if (Disturbed(context)) return true;
  if (command != uapi::kIpcRmid || !context.outcome.ok()) {
    ShmState want = before;
    if (locks || unlocks) want.locked = locks;
    if (!ShmSameState(want, after)) {
      return Fail(mismatch,
                  absl::StrFormat("the segment is %s",
                                  want.locked ? "locked" : "not locked"),
                  !after.exists  ? "it is gone"
                  : after.locked ? "it is locked"
                                 : "it is not locked");
    }
  } else if (after.exists && !after.removed) {
    return Fail(mismatch, "the segment is gone or removed", "it is neither");
  }
  const int64_t pages = static_cast<int64_t>(SegmentPages(before).n);
  if (locks) {
    const int uid = context.task_before().uid % kUsers;
    for (int user = 0; user < kUsers; ++user) {
      const int64_t want = user == uid ? pages : 0;
      if (Moved(context, user) != want) {
        return FailNumber(
            mismatch, absl::StrFormat("pages locked by user %d", user),
            context.before.locked_shm[user].n + static_cast<uint64_t>(want),
            context.after.locked_shm[user].n);
      }
    }
  } else if (command != uapi::kIpcRmid) {
    // The user who locked gets the charge back, who need not be the caller.
    int64_t sum = 0;
    int users = 0;
    for (int user = 0; user < kUsers; ++user) {
      sum += Moved(context, user);
      users += Moved(context, user) != 0 ? 1 : 0;
    }
    if (sum != (unlocks ? -pages : 0) || users > 1) {
      return Fail(mismatch,
                  absl::StrFormat("one user's charge moves by %d pages",
                                  unlocks ? -pages : 0),
                  absl::StrFormat("%d users', by %d", users, sum));
    }
  }
  return NothingChanged(context.task_before(), context.task_after(), mismatch);
}

bool ShmCharge(const StepContext& context, Mismatch* mismatch) {
  Pages charged, locked;
  for (const Pages& pages : context.after.locked_shm) charged += pages;
  for (const ShmState& segment : context.after.shm) {
    if (segment.exists && segment.locked && !segment.hugetlb) {
      locked += SegmentPages(segment);
    }
  }
  return charged == locked ||
         FailNumber(mismatch, "pages charged to users by SHM_LOCK", locked.n,
                    charged.n);
}

// ---- shmget, shmat, shmdt ----

bool ShmgetEffect(const StepContext& context, Mismatch* mismatch) {
  const ShmState& before = SegmentBefore(context);
  const ShmState& after = SegmentAfter(context);
  if (before.exists && context.outcome.ran()) {
    return Fail(mismatch, "SKIPPED: the segment's slot is in use",
                OutcomeName(context.outcome));
  }
  if (!context.outcome.ran() || context.events.fatal_signal) return true;
  if (context.step.length == 0 && !context.outcome.Is(EINVAL)) {
    return Fail(mismatch, "EINVAL: size 0", OutcomeName(context.outcome));
  }
  ShmState want;
  if (context.outcome.ok()) {
    want = {.exists = true,
            .hugetlb = context.step.value != 0,
            .owner = context.task_before().uid,
            .size = context.step.length};
    // A pool of huge pages may round the size up.
    if (want.hugetlb && after.size >= want.size) want.size = after.size;
  }
  if (ShmSameState(want, after)) return true;
  return Fail(
      mismatch,
      want.exists
          ? absl::StrFormat("a new unlocked segment of %d bytes", want.size)
          : "no segment",
      after.exists ? absl::StrFormat("one of %d bytes", after.size) : "none");
}

Pages AttachPages(const StepContext& context) {
  const ShmState& segment = SegmentBefore(context);
  if (!segment.hugetlb) return SegmentPages(segment);
  const uint64_t huge = kPageSize << context.config.hpage_pmd_order;
  return PagesOf((segment.size + huge - 1) & ~(huge - 1));
}

bool ShmatErrno(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran()) return true;
  const TaskState& task = context.task_before();
  const ShmState& segment = SegmentBefore(context);
  const Pages pages = AttachPages(context);
  const uint32_t flags = context.step.flags;
  uint64_t address = context.step.addr.Resolve();
  if ((flags & kShmRnd) != 0) address &= kPageMask;
  const bool remap = (flags & uapi::kShmRemap) != 0;
  const bool wraps = address + (pages.n << kPageShift) < address;
  Allowed wrong;
  if (OffsetInPage(address) != 0 || (address == 0 && remap)) wrong.Or(EINVAL);
  if (address != 0 && OffsetInPage(address) == 0) {
    const Vpn start = PageOf(address);
    if (!remap && (wraps || MappedPages(task, start, start + pages).n != 0)) {
      wrong.Or(EINVAL);
    }
    if (wraps || address > kTaskSize - (pages.n << kPageShift)) {
      wrong.Or(ENOMEM);
    }
  }
  if (task.future_locked && !MayLockMore(task, pages)) wrong.Or(EAGAIN);
  if (wrong.empty()) wrong.OrSuccess();
  if (wrong.Has(context.outcome)) return true;
  // Another user's segment, one marked for removal, no room for a VMA.
  if (task.uid != segment.owner) wrong.Or(EACCES);
  if (segment.removed) wrong.Or(EIDRM).Or(EINVAL);
  if (context.events.allocation_failed || NearMapCount(context, 2) ||
      segment.hugetlb || NearFull(task, pages)) {
    wrong.Or(ENOMEM);
  }
  if (segment.hugetlb) wrong.Or(EINVAL);
  if (address != 0 && address < 65536) wrong.Or(EPERM);  // mmap_min_addr
  // SHM_REMAP through the middle of a huge page, as for mmap.
  if (TouchesHugetlb(task, PageOf(address), PageOf(address) + pages)) {
    wrong.Or(context.config.profile->Has(Behaviour::kMmapUnmapsLast) ? EINVAL
                                                                     : ENOMEM);
  }
  if (context.events.fatal_signal) wrong.Or(EINTR);
  return Check(context, wrong, mismatch);
}

bool ShmatEffect(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran() || Disturbed(context)) return true;
  const TaskState& before = context.task_before();
  const TaskState& after = context.task_after();
  if (!context.outcome.ok()) {
    // What was there is unmapped when the pool cannot promise the pages that a
    // hole took the reservation of.
    const bool made_room = (context.step.flags & uapi::kShmRemap) != 0 &&
                           SegmentBefore(context).hugetlb &&
                           context.outcome == Outcome::Errno(ENOMEM);
    return made_room || NothingChanged(before, after, mismatch);
  }
  const Vpn start = PageOf(static_cast<uint64_t>(context.outcome.value));
  const Vpn end = start + AttachPages(context);
  const bool hugetlb = SegmentBefore(context).hugetlb;
  uint32_t bits = kMapped | kRangeRead | kRangeShared;
  if ((context.step.flags & uapi::kShmRdonly) == 0) bits |= kRangeWrite;
  if (hugetlb) bits |= kRangeHugetlb;
  if (!hugetlb && before.future_locked) {
    bits |= kRangeLocked;
    if (before.future_onfault) bits |= kRangeLockOnFault;
  }
  const Want want{bits, kMapped | kRangeRead | kRangeWrite | kRangeShared |
                            kRangeHugetlb | kLockBits | kRangeIo};
  return CheckTask(before, after, WantTask::Unchanged(before), mismatch) &&
         RangesBecame(
             before, after, start, end,
             [want](Vpn, Vpn, uint32_t) { return want; }, mismatch);
}

// Only attached segments go, from the address on.
bool ShmdtEffect(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran() || Disturbed(context)) return true;
  const TaskState& before = context.task_before();
  const TaskState& after = context.task_after();
  if (!context.outcome.ok()) return NothingChanged(before, after, mismatch);
  const auto detached = [&after](Vpn start, Vpn, uint32_t was) {
    const Range* range = FindRange(after, start);
    const bool gone = range == nullptr || range->start > start;
    return Want{gone && (was & kRangeShm) != 0 ? 0 : was};
  };
  if (!CheckTask(before, after, WantTask::Unchanged(before), mismatch) ||
      !RangesBecame(before, after, PageOf(context.step.addr.Resolve()),
                    PageOf(kTaskSize), detached, mismatch)) {
    return false;
  }
  return after.total_vm < before.total_vm ||
         Fail(mismatch, "a segment is detached", "nothing is");
}

// Steps that can change a charge, the last unmapping of a segment included.
constexpr uint64_t kShmOps =
    OpBit(Op::kShmget) | OpBit(Op::kShmat) | OpBit(Op::kShmdt) |
    OpBit(Op::kShmctl) | OpBit(Op::kMunmap) | OpBit(Op::kMmap) |
    OpBit(Op::kMremap) | OpBit(Op::kExec) | OpBit(Op::kExit);

constexpr Contract kContracts[] = {
    {.name = "shm-lock-errno",
     .statement =
         "SHM_LOCK and SHM_UNLOCK: EPERM for strangers and at limit 0, "
         "ENOMEM when the user's total would pass the limit",
     .source = "shmctl, user_shm_lock; shmctl(2), TLPI T9",
     .ops = OpBit(Op::kShmctl),
     .holds = ShmLockErrno},
    {.name = "shm-lock-effect",
     .statement =
         "SHM_LOCK charges the calling user once, SHM_UNLOCK gives the "
         "charge back to who locked; no mapping, no locked_vm changes",
     .source = "shmem_lock, user_shm_lock, user_shm_unlock",
     .ops = OpBit(Op::kShmctl),
     .holds = ShmLockEffect},
    {.name = "shm-charge-observed",
     .statement = "what users are charged for SHM_LOCK is the size of the "
                  "segments that are locked",
     .source = "user_shm_lock; TLPI T9",
     .ops = kShmOps,
     .holds = ShmCharge},
    {.name = "shmget-effect",
     .statement = "shmget makes an unlocked segment of the caller's",
     .source = "newseg",
     .ops = OpBit(Op::kShmget),
     .holds = ShmgetEffect},
    {.name = "shmat-errno",
     .statement =
         "shmat: EINVAL for a bad or taken address, EAGAIN under FUTURE "
         "over the limit",
     .source = "do_shmat, mlock_future_check",
     .ops = OpBit(Op::kShmat),
     .holds = ShmatErrno},
    {.name = "shmat-effect",
     .statement = "shmat maps the segment, locked only by MCL_FUTURE and never "
                  "by SHM_LOCK",
     .source = "do_shmat, mmap_region",
     .ops = OpBit(Op::kShmat),
     .holds = ShmatEffect},
    {.name = "shmdt-effect",
     .statement = "shmdt unmaps an attached segment and uncharges its locks",
     .source = "shmdt, do_munmap",
     .ops = OpBit(Op::kShmdt),
     .holds = ShmdtEffect},
};

}  // namespace

absl::Span<const Contract> ShmContracts() { return kContracts; }

}  // namespace lockstep::contracts
