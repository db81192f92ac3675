// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/shm.h"

#include <cerrno>

#include "engine/reference/hugetlb.h"
#include "engine/reference/lru.h"
#include "engine/reference/mlock.h"
#include "engine/reference/mmap.h"
#include "engine/reference/object.h"
#include "engine/reference/page_table.h"
#include "engine/reference/populate.h"
#include "engine/uapi.h"

namespace lockstep::reference {
namespace {

// Larger than any memory; the kernel's own limit of one segment is configured.
constexpr uint64_t kShmmax = uint64_t{1} << 44;

void Unlock(Machine& machine, ShmSegment& segment) {
  Object& object = machine.objects[segment.object];
  UserShmUnlock(machine, object.size, segment.mlock_user);
  object.unevictable = false;
  segment.locked = false;
}

// shm_destroy.
void Destroy(Machine& machine, ShmSegment& segment) {
  if (segment.locked) Unlock(machine, segment);
  ObjectId object = segment.object;
  segment = ShmSegment();
  machine.objects[object].shm = -1;
  PutObject(machine, object);
}

Outcome ShmLock(Machine& machine, ShmSegment& segment) {
  const Task& task = machine.current_task();
  Object& object = machine.objects[segment.object];
  if (!object.unevictable) {
    if (!UserShmLock(machine, task, object.size, task.uid)) {
      return Outcome::Errno(ENOMEM);
    }
    // Pages already on a list move when reclaim meets them.
    object.unevictable = true;
    segment.mlock_user = task.uid;
    segment.locked = true;
  }
  return Outcome::Ok();
}

Outcome ShmUnlock(Machine& machine, ShmSegment& segment) {
  if (!segment.locked) return Outcome::Ok();
  Unlock(machine, segment);
  CheckMoveUnevictablePages(machine, segment.object);
  return Outcome::Ok();
}

}  // namespace

Outcome SysShmget(Machine& machine, int slot, uint64_t size, bool hugetlb) {
  if (size == 0 || size > kShmmax) return Outcome::Errno(EINVAL);
  const uint64_t asked = size;
  uint64_t huge_bytes = uint64_t{machine.huge_pages} << kPageShift;
  if (hugetlb) size = (size + huge_bytes - 1) & ~(huge_bytes - 1);
  ObjectId object = NewObject(
      machine, hugetlb ? Object::Kind::kHugetlb : Object::Kind::kShmem, size);
  if (hugetlb && !HugetlbReservePages(machine, object)) {
    PutObject(machine, object);
    return Outcome::Errno(ENOMEM);
  }
  machine.objects[object].shm = static_cast<int8_t>(slot);
  ShmSegment& segment = machine.shm[slot];
  segment = ShmSegment();
  segment.object = object;
  segment.size = asked;
  segment.owner = machine.current_task().uid;
  return Outcome::Ok(slot);
}

Outcome SysShmat(Machine& machine, int slot, uint64_t addr, uint32_t flags) {
  const ShmSegment& segment = machine.shm[slot];
  const Object& object = machine.objects[segment.object];
  bool huge = object.kind == Object::Kind::kHugetlb;
  uint64_t huge_bytes = uint64_t{machine.huge_pages} << kPageShift;
  if (OffsetInPage(addr) != 0) return Outcome::Errno(EINVAL);
  bool remap = (flags & uapi::kShmRemap) != 0;
  if (addr == 0 && remap) return Outcome::Errno(EINVAL);
  int mm = machine.current_mm();
  Mm& space = machine.mms[mm];
  uint64_t length = PageAlign(object.size);
  Vma vma;
  {
    MmapLockHolder lock(machine, mm, MmapLock::kWrite);
    if (addr != 0 && !remap) {
      if (addr + length < addr ||
          space.Intersects(PageOf(addr), PageOf(addr + length))) {
        return Outcome::Errno(EINVAL);
      }
    }
    if (space.vmas.size() > machine.config.max_map_count) {
      return Outcome::Errno(ENOMEM);
    }
    if (addr != 0) {
      if (addr > kTaskSize || length > kTaskSize - addr) {
        return Outcome::Errno(ENOMEM);
      }
      if (huge && addr % huge_bytes != 0) return Outcome::Errno(EINVAL);
    } else {
      addr = FindUnmappedArea(machine, space, 0, length,
                              huge ? huge_bytes : kPageSize);
      if (addr == 0) return Outcome::Errno(ENOMEM);
    }
    vma.flags = kVmRead | kVmShared | kVmShm | kVmMayWrite | space.def_flags;
    if ((flags & uapi::kShmRdonly) == 0) {
      vma.flags |= kVmWrite;
    } else {
      vma.flags &= ~uint32_t{kVmMayWrite};
    }
    if (huge) vma.flags |= kVmHugetlb | kVmDontexpand;
    if (!MayLockMore(machine, space, vma.flags, PagesOf(length))) {
      return Outcome::Errno(EAGAIN);
    }
    vma.start = PageOf(addr);
    vma.end = PageOf(addr + length);
    vma.object = segment.object;
    // Held while what is there, perhaps its last attachment, is unmapped.
    GetObject(machine, vma.object);
    int error = MmapRegion(machine, mm, vma);
    PutObject(machine, vma.object);
    if (error != 0) {
      ShmClose(machine, vma.object);
      return Outcome::Errno(error);
    }
  }
  if (vma.Is(kVmLocked)) {
    MmPopulate(machine, mm, vma.start, vma.end, /*ignore_errors=*/true);
  }
  return Outcome::Ok(static_cast<int64_t>(addr));
}

Outcome SysShmdt(Machine& machine, uint64_t addr) {
  if (OffsetInPage(addr) != 0) return Outcome::Errno(EINVAL);
  int mm = machine.current_mm();
  MmapLockHolder lock(machine, mm, MmapLock::kWrite);
  Mm& space = machine.mms[mm];
  Vpn base = PageOf(addr);
  // The first piece of a segment attached at the address, then its others.
  ObjectId object = 0;
  Vpn end = base;
  for (size_t i = space.FindVma(base); i < space.vmas.size();) {
    const Vma& vma = space.vmas[i];
    if (object != 0 && vma.end > end) break;
    bool piece = vma.Is(kVmShm) && vma.start >= base &&
                 (vma.start - base).n == vma.pgoff &&
                 (object == 0 || vma.object == object);
    if (!piece) {
      ++i;
      continue;
    }
    if (object == 0) {
      object = vma.object;
      end = base + Pages{ObjectPages(machine, object)};
    }
    DoMunmap(machine, mm, AddressOf(vma.start),
             AddressOf(vma.end) - AddressOf(vma.start));
  }
  return object != 0 ? Outcome::Ok() : Outcome::Errno(EINVAL);
}

Outcome SysShmctl(Machine& machine, int slot, uint32_t command) {
  ShmSegment& segment = machine.shm[slot];
  const Task& task = machine.current_task();
  bool owner = task.uid == segment.owner;
  switch (command) {
    case uapi::kIpcRmid:
      if (!owner) return Outcome::Errno(EPERM);
      segment.removed = true;
      ShmClose(machine, segment.object);
      return Outcome::Ok();
    case uapi::kShmLock:
    case uapi::kShmUnlock: {
      bool lock = command == uapi::kShmLock;
      if (!task.cap_ipc_lock && (!owner || (lock && task.memlock_limit == 0))) {
        return Outcome::Errno(EPERM);
      }
      if (machine.objects[segment.object].kind == Object::Kind::kHugetlb) {
        return Outcome::Ok();
      }
      return lock ? ShmLock(machine, segment) : ShmUnlock(machine, segment);
    }
    default:
      return Outcome::Errno(EINVAL);
  }
}

void ShmClose(Machine& machine, ObjectId id) {
  const Object& object = machine.objects[id];
  if (object.kind == Object::Kind::kFree || object.shm < 0) return;
  ShmSegment& segment = machine.shm[object.shm];
  if (segment.removed && object.references == 1) Destroy(machine, segment);
}

}  // namespace lockstep::reference
