// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/madvise.h"

#include <algorithm>
#include <cerrno>

#include "engine/reference/fault.h"
#include "engine/reference/object.h"
#include "engine/reference/vma.h"
#include "engine/uapi.h"

namespace lockstep::reference {
namespace {

// Advice that only changes vm_flags: a row each.
struct FlagAdvice {
  uint32_t advice;
  uint32_t clear;
  uint32_t set;
  uint32_t refused;  // EINVAL for VMAs with any of these
  uint32_t ignored;  // no effect on VMAs with any of these
};
constexpr uint32_t kNeverMergeable =
    kVmShared | kVmPfnmap | kVmIo | kVmDontexpand | kVmHugetlb | kVmMixedmap;
constexpr FlagAdvice kFlagAdvice[] = {
    {uapi::kMadvNormal, kVmRandRead | kVmSeqRead, 0, 0, 0},
    {uapi::kMadvRandom, kVmSeqRead, kVmRandRead, 0, 0},
    {uapi::kMadvSequential, kVmRandRead, kVmSeqRead, 0, 0},
    {uapi::kMadvDontfork, 0, kVmDontcopy, 0, 0},
    {uapi::kMadvDofork, kVmDontcopy, 0, kVmIo, 0},
    {uapi::kMadvDontdump, 0, kVmDontdump, 0, 0},
    {uapi::kMadvDodump, kVmDontdump, 0, kVmSpecial, 0},
    {uapi::kMadvMergeable, 0, kVmMergeable, 0, kNeverMergeable},
    {uapi::kMadvUnmergeable, kVmMergeable, 0, 0, 0},
    {uapi::kMadvHugepage, kVmNohugepage, kVmHugepage, 0, 0},
    {uapi::kMadvNohugepage, kVmHugepage, kVmNohugepage, 0, 0},
};

const FlagAdvice* FindFlagAdvice(uint32_t advice) {
  for (const FlagAdvice& row : kFlagAdvice) {
    if (row.advice == advice) return &row;
  }
  return nullptr;
}

bool IsKnown(const Machine& machine, uint32_t advice) {
  switch (advice) {
    case uapi::kMadvWillneed:
    case uapi::kMadvDontneed:
    case uapi::kMadvRemove:
      return true;
    case uapi::kMadvFree:
      return machine.Has(Behaviour::kMadvFree);
    default:
      return FindFlagAdvice(advice) != nullptr;
  }
}

int MadviseFlags(Machine& machine, int mm, size_t* vma, Vpn start, Vpn end,
                 const FlagAdvice& row) {
  Mm& space = machine.mms[mm];
  const Vma& area = space.vmas[*vma];
  if (area.Is(row.refused)) return EINVAL;
  if (area.Is(row.ignored)) return 0;
  uint32_t flags = (area.flags & ~row.clear) | row.set;
  if (flags == area.flags) return 0;
  int error = ModifyVma(machine, mm, vma, start, end, flags);
  if (error == 0) space.vmas[*vma].flags = flags;
  return error;
}

// madvise_remove: a hole in the object.
int MadviseRemove(Machine& machine, const Vma& vma, Vpn start, Vpn end) {
  if (vma.Is(kVmLocked | kVmHugetlb) || vma.object == 0 ||
      machine.objects[vma.object].kind == Object::Kind::kDriver) {
    return EINVAL;
  }
  if (!vma.Is(kVmShared) || !vma.Is(kVmWrite)) return EACCES;
  TruncateObject(machine, vma.object, vma.IndexOf(start), vma.IndexOf(end),
                 /*even_cows=*/false);
  return 0;
}

// madvise_vma. 0 or an errno; *vma is the VMA with the range after.
int MadviseVma(Machine& machine, int mm, size_t* vma, Vpn start, Vpn end,
               uint32_t advice) {
  const Vma area = machine.mms[mm].vmas[*vma];
  switch (advice) {
    case uapi::kMadvWillneed:
      return 0;  // readahead: a matter of speed
    case uapi::kMadvDontneed:
      if (area.Is(kVmLocked | kVmHugetlb | kVmPfnmap)) return EINVAL;
      ZapRange(machine, mm, start, end);
      return 0;
    case uapi::kMadvFree:
      // The pages may go at the next reclaim without being written; which here
      // they do anyway.
      if (area.Is(kVmLocked | kVmHugetlb | kVmPfnmap)) return EINVAL;
      return area.object == 0 ? 0 : EINVAL;
    case uapi::kMadvRemove:
      return MadviseRemove(machine, area, start, end);
    default:
      return MadviseFlags(machine, mm, vma, start, end,
                          *FindFlagAdvice(advice));
  }
}

}  // namespace

Outcome SysMadvise(Machine& machine, uint64_t addr, uint64_t length,
                   uint32_t advice) {
  if (!IsKnown(machine, advice)) return Outcome::Errno(EINVAL);
  if (OffsetInPage(addr) != 0) return Outcome::Errno(EINVAL);
  uint64_t rounded = PageAlign(length);
  if (length != 0 && rounded == 0) return Outcome::Errno(EINVAL);
  uint64_t end = addr + rounded;
  if (end < addr) return Outcome::Errno(EINVAL);
  if (end == addr) return Outcome::Ok();
  int mm = machine.current_mm();
  MmapLockHolder lock(machine, mm, MmapLock::kWrite);
  Mm& space = machine.mms[mm];
  Outcome result = Outcome::Ok();
  Vpn page = PageOf(addr), last = PageOf(end);
  while (page < last) {
    size_t vma = space.FindVma(page);
    if (vma == space.vmas.size()) return Outcome::Errno(ENOMEM);
    if (space.vmas[vma].start > page) {
      // Holes are passed over, and reported in the end.
      result = Outcome::Errno(ENOMEM);
      page = space.vmas[vma].start;
      if (page >= last) break;
    }
    Vpn stop = std::min(space.vmas[vma].end, last);
    if (int error = MadviseVma(machine, mm, &vma, page, stop, advice);
        error != 0) {
      return Outcome::Errno(error);
    }
    page = std::max(stop, space.vmas[vma].end);
  }
  return result;
}

Outcome SysMsync(Machine& machine, uint64_t addr, uint64_t length,
                 uint32_t flags) {
  constexpr uint32_t kKnown =
      uapi::kMsAsync | uapi::kMsInvalidate | uapi::kMsSync;
  constexpr uint32_t kBoth = uapi::kMsAsync | uapi::kMsSync;
  if ((flags & ~kKnown) != 0 || OffsetInPage(addr) != 0 ||
      (flags & kBoth) == kBoth) {
    return Outcome::Errno(EINVAL);
  }
  uint64_t end = addr + PageAlign(length);
  if (end < addr) return Outcome::Errno(ENOMEM);
  const Mm& space = machine.mms[machine.current_mm()];
  Outcome result = Outcome::Ok();
  Vpn page = PageOf(addr), last = PageOf(end);
  while (page < last) {
    const size_t vma = space.FindVma(page);
    if (vma == space.vmas.size()) return Outcome::Errno(ENOMEM);
    const Vma& area = space.vmas[vma];
    if (area.start > page) {
      result = Outcome::Errno(ENOMEM);
      if (area.start >= last) break;
    }
    if ((flags & uapi::kMsInvalidate) != 0 && area.Is(kVmLocked)) {
      return Outcome::Errno(EBUSY);
    }
    page = area.end;
  }
  return result;
}

Outcome SysMincore(Machine& machine, uint64_t addr, uint64_t length) {
  if (OffsetInPage(addr) != 0) return Outcome::Errno(EINVAL);
  if (addr > kTaskSize || length > kTaskSize - addr) {
    return Outcome::Errno(ENOMEM);
  }
  const Mm& space = machine.mms[machine.current_mm()];
  Vpn last = PageOf(addr + PageAlign(length));
  for (Vpn page = PageOf(addr); page < last;) {
    const Vma* vma = space.VmaAt(page);
    if (vma == nullptr) return Outcome::Errno(ENOMEM);
    page = vma->end;
  }
  return Outcome::Ok();
}

}  // namespace lockstep::reference
