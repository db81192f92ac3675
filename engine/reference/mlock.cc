// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/mlock.h"

#include <algorithm>
#include <cerrno>

#include "engine/reference/interleave.h"
#include "engine/reference/lru.h"
#include "engine/reference/munlock.h"
#include "engine/reference/populate.h"
#include "engine/reference/vma.h"
#include "engine/uapi.h"

namespace lockstep::reference {
namespace {

// mlock_fixup: [start, end) of VMA number *vma gets exactly these flags.
// Special VMAs are passed over. 0 or an errno. *vma is the VMA with the range
// after.
int MlockFixup(Machine& machine, int mm, size_t* vma, Vpn start, Vpn end,
               uint32_t flags) {
  Mm& space = machine.mms[mm];
  uint32_t old_flags = space.vmas[*vma].flags;
  if (flags == old_flags || !space.vmas[*vma].lockable()) return 0;
  if (int error = ModifyVma(machine, mm, vma, start, end, flags); error != 0) {
    return error;
  }
  bool lock = (flags & kVmLocked) != 0;
  bool was_locked = (old_flags & kVmLocked) != 0;
  if (!lock) {
    space.locked_vm -= end - start;
  } else if (!was_locked || machine.Has(Defect::kOnfaultDoubleCharge)) {
    space.locked_vm += end - start;
  }
  machine.TouchMm(mm);
  if (lock) {
    space.vmas[*vma].flags = flags;
    if (!was_locked && machine.Has(Behaviour::kMlockWalksPages)) {
      MlockPresentPages(machine, mm, start, end);
    }
  } else {
    MunlockVmaPagesRange(machine, mm, *vma, start, end);
  }
  return 0;
}

// do_mlock up to 4.3, apply_vma_lock_flags later: the walk over the range.
int ApplyVmaLockFlags(Machine& machine, int mm, uint64_t start, uint64_t length,
                      uint32_t lock_flags) {
  uint64_t end = start + length;
  if (end < start) return EINVAL;
  if (end == start) return 0;
  Mm& space = machine.mms[mm];
  Vpn page = PageOf(start), last = PageOf(end);
  while (true) {
    size_t vma = space.FindVma(page);
    if (vma == space.vmas.size() || space.vmas[vma].start > page) return ENOMEM;
    uint32_t flags = (space.vmas[vma].flags & ~kVmLockedMask) | lock_flags;
    Vpn stop = std::min(space.vmas[vma].end, last);
    if (int error = MlockFixup(machine, mm, &vma, page, stop, flags);
        error != 0) {
      return error;
    }
    // A merge may have taken in what follows.
    page = std::max(stop, space.vmas[vma].end);
    if (page >= last) return 0;
  }
}

// count_mm_mlocked_page_nr: pages of the range that are in VM_LOCKED VMAs.
uint64_t CountMlockedPages(const Machine& machine, const Mm& mm, uint64_t start,
                           uint64_t length) {
  uint64_t bytes = 0;
  uint64_t end = start + length;
  if (end < start && machine.Has(Behaviour::kOverlapClampsEnd)) {
    end = ~uint64_t{0};
  }
  for (size_t i = mm.FindVma(PageOf(start)); i < mm.vmas.size(); ++i) {
    const Vma& vma = mm.vmas[i];
    uint64_t vma_start = AddressOf(vma.start), vma_end = AddressOf(vma.end);
    if (end <= vma_start) break;
    if (!vma.Is(kVmLocked)) continue;
    if (start > vma_start) bytes -= start - vma_start;
    if (end < vma_end) {
      bytes += end - vma_start;
      break;
    }
    bytes += vma_end - vma_start;
  }
  if (machine.Has(Defect::kOverlapIntOverflow)) {
    // Kept in an int, shifted and returned as one (D5).
    auto narrow = static_cast<int32_t>(static_cast<uint32_t>(bytes));
    return static_cast<uint64_t>(int64_t{narrow >> kPageShift});
  }
  return bytes >> kPageShift;
}

// __mlock_posix_error_return, from a negative errno.
Outcome PosixError(int64_t error) {
  switch (error) {
    case 0:
      return Outcome::Ok();
    case -EFAULT:
      return Outcome::Errno(ENOMEM);
    case -ENOMEM:
      return Outcome::Errno(EAGAIN);
    default:
      return Outcome::Errno(static_cast<int>(-error));
  }
}

// down_write_killable, where the kernel has it: gives up on a fatal signal.
bool MmapLockInterrupted(const Machine& machine) {
  return machine.Has(Behaviour::kKillableMmapLock) &&
         machine.tasks[machine.current].fatal_signal;
}

Outcome DoMlock(Machine& machine, uint64_t start, uint64_t length,
                uint32_t lock_flags) {
  Task& task = machine.current_task();
  if (!CanDoMlock(task)) return Outcome::Errno(EPERM);
  LruAddDrainAll(machine);
  length = PageAlign(length + OffsetInPage(start));
  start &= kPageMask;
  uint64_t limit = PagesOf(task.memlock_limit).n;
  int mm = task.mm;
  Mm& space = machine.mms[mm];
  if (MmapLockInterrupted(machine)) return Outcome::Errno(EINTR);
  {
    MmapLockHolder lock(machine, mm, MmapLock::kWrite);
    uint64_t locked = PagesOf(length).n + space.locked_vm.n;
    if (locked > limit && !task.cap_ipc_lock &&
        !machine.Has(Defect::kOverlapDoubleCount)) {
      locked -= CountMlockedPages(machine, space, start, length);
    }
    if (locked > limit && !task.cap_ipc_lock) return Outcome::Errno(ENOMEM);
    int error = ApplyVmaLockFlags(machine, mm, start, length, lock_flags);
    if (error != 0) return Outcome::Errno(error);
  }
  AtPoint(machine, Point::kMlockMarked);
  return PosixError(MmPopulate(machine, mm, PageOf(start),
                               PageOf(start + length),
                               /*ignore_errors=*/false));
}

// do_mlockall, apply_mlockall_flags: what is locked now and from now on.
void ApplyMlockallFlags(Machine& machine, int mm, uint32_t flags) {
  Mm& space = machine.mms[mm];
  machine.TouchMm(mm);
  uint32_t onfault = (flags & uapi::kMclOnfault) != 0 ? kVmLockonfault : 0u;
  space.def_flags &= ~kVmLockedMask;
  if ((flags & uapi::kMclFuture) != 0) {
    space.def_flags |= kVmLocked | onfault;
    if ((flags & uapi::kMclCurrent) == 0) return;
  }
  uint32_t to_add = (flags & uapi::kMclCurrent) != 0 ? kVmLocked | onfault : 0u;
  for (Vpn page{0};;) {
    size_t vma = space.FindVma(page);
    if (vma == space.vmas.size()) return;
    uint32_t wanted = (space.vmas[vma].flags & ~kVmLockedMask) | to_add;
    // Errors are ignored: a VMA that cannot be merged or split stays.
    Vpn start = space.vmas[vma].start, end = space.vmas[vma].end;
    MlockFixup(machine, mm, &vma, start, end, wanted);
    page = std::max(end, space.vmas[vma].end);
  }
}

}  // namespace

bool CanDoMlock(const Task& task) {
  return task.memlock_limit != 0 || task.cap_ipc_lock;
}

bool MayLockMore(const Machine& machine, const Mm& mm, uint32_t vm_flags,
                 Pages pages) {
  if ((vm_flags & kVmLocked) == 0) return true;
  const Task& task = machine.tasks[machine.current];
  return mm.locked_vm + pages <= PagesOf(task.memlock_limit) ||
         task.cap_ipc_lock;
}

Outcome SysMlock(Machine& machine, uint64_t start, uint64_t length) {
  return DoMlock(machine, start, length, kVmLocked);
}

Outcome SysMlock2(Machine& machine, uint64_t start, uint64_t length,
                  uint32_t flags) {
  if (!machine.Has(Behaviour::kMlock2)) return Outcome::Errno(ENOSYS);
  if ((flags & ~uapi::kMlockOnfault) != 0) return Outcome::Errno(EINVAL);
  bool onfault = (flags & uapi::kMlockOnfault) != 0;
  return DoMlock(machine, start, length,
                 kVmLocked | (onfault ? kVmLockonfault : 0u));
}

Outcome SysMunlock(Machine& machine, uint64_t start, uint64_t length) {
  length = PageAlign(length + OffsetInPage(start));
  start &= kPageMask;
  if (MmapLockInterrupted(machine)) return Outcome::Errno(EINTR);
  int mm = machine.current_mm();
  MmapLockHolder lock(machine, mm, MmapLock::kWrite);
  int error = ApplyVmaLockFlags(machine, mm, start, length, 0);
  return error == 0 ? Outcome::Ok() : Outcome::Errno(error);
}

Outcome SysMlockall(Machine& machine, uint32_t flags) {
  uint32_t known = uapi::kMclCurrent | uapi::kMclFuture;
  if (machine.Has(Behaviour::kMlock2)) known |= uapi::kMclOnfault;
  if (flags == 0 || (flags & ~known) != 0) return Outcome::Errno(EINVAL);
  if (flags == uapi::kMclOnfault && !machine.Has(Defect::kMclOnfaultAlone)) {
    return Outcome::Errno(EINVAL);
  }
  Task& task = machine.current_task();
  if (!CanDoMlock(task)) return Outcome::Errno(EPERM);
  bool current = (flags & uapi::kMclCurrent) != 0;
  if (current) LruAddDrainAll(machine);
  if (MmapLockInterrupted(machine)) return Outcome::Errno(EINTR);
  int mm = task.mm;
  {
    MmapLockHolder lock(machine, mm, MmapLock::kWrite);
    if (current && machine.mms[mm].total_vm > PagesOf(task.memlock_limit) &&
        !task.cap_ipc_lock) {
      return Outcome::Errno(ENOMEM);
    }
    ApplyMlockallFlags(machine, mm, flags);
  }
  if (current) {
    AtPoint(machine, Point::kMlockMarked);
    MmPopulate(machine, mm, Vpn{0}, PageOf(kTaskSize), /*ignore_errors=*/true);
  }
  return Outcome::Ok();
}

Outcome SysMunlockall(Machine& machine) {
  if (MmapLockInterrupted(machine)) return Outcome::Errno(EINTR);
  int mm = machine.current_mm();
  MmapLockHolder lock(machine, mm, MmapLock::kWrite);
  ApplyMlockallFlags(machine, mm, 0);
  return Outcome::Ok();
}

bool UserShmLock(Machine& machine, const Task& task, uint64_t size,
                 uint8_t uid) {
  uint64_t pages = (size + kPageSize - 1) >> kPageShift;
  if (task.memlock_limit != kRlimInfinity && !task.cap_ipc_lock &&
      pages + machine.locked_shm[uid] > PagesOf(task.memlock_limit).n) {
    return false;
  }
  machine.locked_shm[uid] += pages;
  return true;
}

void UserShmUnlock(Machine& machine, uint64_t size, uint8_t uid) {
  machine.locked_shm[uid] -= (size + kPageSize - 1) >> kPageShift;
}

}  // namespace lockstep::reference
