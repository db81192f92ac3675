// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/madvise.h"

#include <algorithm>
#include <cerrno>

#include "engine/reference/fault.h"
#include "engine/reference/huge_memory.h"
#include "engine/reference/hugetlb.h"
#include "engine/reference/lru.h"
#include "engine/reference/munlock.h"
#include "engine/reference/object.h"
#include "engine/reference/page_table.h"
#include "engine/reference/vma.h"
#include "engine/reference/vmscan.h"
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
constexpr uint32_t kNeverMergeable = kVmShared | kVmPfnmap | kVmIo |
                                     kVmDontexpand | kVmHugetlb | kVmMixedmap |
                                     kVmDroppable;
constexpr FlagAdvice kFlagAdvice[] = {
    {uapi::kMadvNormal, kVmRandRead | kVmSeqRead, 0, 0, 0},
    {uapi::kMadvRandom, kVmSeqRead, kVmRandRead, 0, 0},
    {uapi::kMadvSequential, kVmRandRead, kVmSeqRead, 0, 0},
    {uapi::kMadvDontfork, 0, kVmDontcopy, 0, 0},
    {uapi::kMadvDofork, kVmDontcopy, 0, kVmIo, 0},
    {uapi::kMadvDontdump, 0, kVmDontdump, 0, 0},
    {uapi::kMadvDodump, kVmDontdump, 0, kVmSpecial | kVmDroppable, 0},
    {uapi::kMadvMergeable, 0, kVmMergeable, 0, kNeverMergeable},
    {uapi::kMadvUnmergeable, kVmMergeable, 0, 0, 0},
    {uapi::kMadvHugepage, kVmNohugepage, kVmHugepage, 0, 0},
    {uapi::kMadvNohugepage, kVmHugepage, kVmNohugepage, 0, 0},
    {uapi::kMadvWipeonfork, 0, kVmWipeonfork, kVmShared, 0},
    {uapi::kMadvKeeponfork, kVmWipeonfork, 0, kVmDroppable, 0},
};

const FlagAdvice* FindFlagAdvice(uint32_t advice) {
  for (const FlagAdvice& row : kFlagAdvice) {
    if (row.advice == advice) return &row;
  }
  return nullptr;
}

// Advice that not every kernel has: madvise_behavior_valid.
struct AdviceSince {
  uint32_t advice;
  Behaviour behaviour;
};
constexpr AdviceSince kAdviceSince[] = {
    {uapi::kMadvFree, Behaviour::kMadvFree},
    {uapi::kMadvWipeonfork, Behaviour::kMadvWipeonfork},
    {uapi::kMadvKeeponfork, Behaviour::kMadvWipeonfork},
    {uapi::kMadvCold, Behaviour::kMadvCold},
    {uapi::kMadvPageout, Behaviour::kMadvCold},
    {uapi::kMadvPopulateRead, Behaviour::kMadvPopulate},
    {uapi::kMadvPopulateWrite, Behaviour::kMadvPopulate},
    {uapi::kMadvDontneedLocked, Behaviour::kMadvDontneedLocked},
    {uapi::kMadvCollapse, Behaviour::kMadvCollapse},
    {uapi::kMadvGuardInstall, Behaviour::kMadvGuard},
    {uapi::kMadvGuardRemove, Behaviour::kMadvGuard},
};

bool IsKnown(const Machine& machine, uint32_t advice) {
  for (const AdviceSince& row : kAdviceSince) {
    if (row.advice == advice) return machine.Has(row.behaviour);
  }
  return advice == uapi::kMadvWillneed || advice == uapi::kMadvDontneed ||
         advice == uapi::kMadvRemove || FindFlagAdvice(advice) != nullptr;
}

int MadviseFlags(Machine& machine, int mm, size_t* vma, Vpn start, Vpn end,
                 const FlagAdvice& row) {
  Mm& space = machine.mms[mm];
  const Vma& area = space.vmas[*vma];
  if (area.Is(row.refused)) return EINVAL;
  // MADV_WIPEONFORK: only memory without a file.
  if ((row.set & kVmWipeonfork) != 0 && area.object != 0) return EINVAL;
  if (area.Is(row.ignored)) return 0;
  uint32_t flags = (area.flags & ~row.clear) | row.set;
  if (flags == area.flags) return 0;
  int error = ModifyVma(machine, mm, vma, start, end, flags);
  if (error == 0) space.vmas[*vma].flags = flags;
  // madvise_behavior, madvise_vma_behavior: try again. From 4.12 (?) to 5.16
  // the limit of VMAs stayed ENOMEM.
  return error == ENOMEM ? EAGAIN : error;
}

// madvise_remove: a hole in the object.
int MadviseRemove(Machine& machine, const Vma& vma, Vpn start, Vpn end) {
  const bool huge = vma.Is(kVmHugetlb);
  if (vma.Is(kVmLocked) || vma.object == 0 ||
      (huge && !machine.Has(Behaviour::kMadvRemoveHugetlb)) ||
      machine.objects[vma.object].kind == Object::Kind::kDriver) {
    return EINVAL;
  }
  uint32_t writable =
      machine.Has(Behaviour::kMadvRemoveMaywrite) ? kVmMayWrite : kVmWrite;
  if (!vma.Is(kVmShared) || !vma.Is(writable)) return EACCES;
  // secretmem_fops has no fallocate.
  if (vma.Is(kVmSecret)) return EOPNOTSUPP;
  const uint64_t first = vma.IndexOf(start), last = vma.IndexOf(end);
  if (huge) {
    HugetlbPunchHole(machine, vma.object, first, last);
  } else {
    TruncateObject(machine, vma.object, first, last, /*even_cows=*/false);
  }
  return 0;
}

// madvise_dontneed_free_valid_vma: what throws pages away refuses these VMAs.
// Rounds the end of hugetlb memory down to whole huge pages.
bool MayDiscard(const Machine& machine, const Vma& vma, Vpn start, Vpn* end,
                uint32_t advice) {
  if (vma.Is(kVmHugetlb)) {
    if (advice == uapi::kMadvFree ||
        !machine.Has(Behaviour::kMadvDontneedLocked) ||
        start != TableStart(machine, start)) {
      return false;
    }
    *end = std::max(start, TableStart(machine, *end));
    return true;
  }
  bool locked = vma.Is(kVmLocked) && advice != uapi::kMadvDontneedLocked;
  return !locked && !vma.Is(kVmPfnmap);
}

// madvise_cold, madvise_pageout. COLD only makes pages older.
int MadviseCold(Machine& machine, int mm, const Vma& vma, Vpn start, Vpn end,
                uint32_t advice) {
  if (vma.Is(kVmLocked | kVmPfnmap | kVmHugetlb)) return EINVAL;
  LruAddDrain(machine);
  if (advice == uapi::kMadvCold) return 0;
  for (Vpn at = start; auto entry = NextEntry(machine, mm, at, end);) {
    at = std::max(at, entry->page) + Pages{1};
    Pfn pfn = PfnOf(entry->raw);
    // Pages that others map too are let be, and huge pages that are cut.
    if ((entry->raw & kPtePresent) == 0 || pfn == 0) continue;
    bool whole = !entry->huge || (entry->page >= start &&
                                  entry->page + TableSpan(machine) <= end);
    if (whole && machine.MapcountOf(pfn) == 1) {
      ReclaimPage(machine, machine.HeadOf(pfn));
    }
  }
  return 0;
}

// madvise_collapse: each huge page that lies in the range and in the VMA.
int MadviseCollapse(Machine& machine, int mm, const Vma& vma, Vpn start,
                    Vpn end) {
  Vpn first = TableStart(machine, vma.start + TableSpan(machine) - Pages{1});
  if (!HugePagePossible(machine, vma, first)) return EINVAL;
  Vpn low = TableStart(machine, start + TableSpan(machine) - Pages{1});
  Vpn high = TableStart(machine, end);
  if (low > high) return EINVAL;
  // Windows without a page table cannot be collapsed and are passed over.
  Pages missing = high - low;
  for (Vpn at = low; auto entry = NextEntry(machine, mm, at, high);) {
    const Vpn window = TableStart(machine, entry->page);
    at = window + TableSpan(machine);
    if (entry->huge ||
        CollapseHugePage(machine, mm, window, /*asked_for=*/true)) {
      missing -= TableSpan(machine);
    }
  }
  if (missing.n == 0) return 0;
  return machine.step_events.allocation_failed ? ENOMEM : EINVAL;
}

// madvise_guard_install: markers in place of the pages.
int MadviseGuardInstall(Machine& machine, int mm, size_t vma, Vpn start,
                        Vpn end) {
  Vma& area = machine.mms[mm].vmas[vma];
  if (area.Is(kVmSpecial | kVmHugetlb | kVmLocked)) return EINVAL;
  area.maybe_guard = true;
  // vma_is_anonymous: what has page tables of its own has an anon_vma.
  if (area.object == 0) AnonVmaPrepare(machine, mm, vma);
  ZapRange(machine, mm, start, end, Guards::kKeep);
  for (Vpn page = start; page < end; ++page) {
    if (GetPte(machine, mm, page) != 0) continue;
    if (!PageTablesMayGrow(machine)) return ENOMEM;
    SetPte(machine, mm, page, kPteGuard);
  }
  return 0;
}

// madvise_guard_remove.
int MadviseGuardRemove(Machine& machine, int mm, const Vma& vma, Vpn start,
                       Vpn end) {
  if (vma.Is(kVmSpecial | kVmHugetlb)) return EINVAL;
  machine.TouchTables(mm);
  for (Vpn at = start; auto entry = NextEntry(machine, mm, at, end);) {
    at = entry->page + (entry->huge ? TableSpan(machine) : Pages{1});
    if ((entry->raw & kPteGuard) != 0) ClearPte(machine, mm, entry->page);
  }
  return 0;
}

// madvise_populate in one VMA: faults without FOLL_FORCE. 0 or an errno.
int MadvisePopulate(Machine& machine, int mm, const Vma& vma, Vpn start,
                    Vpn end, bool write) {
  if (vma.Is(kVmIo | kVmPfnmap | kVmSecret) ||
      !vma.Is(write ? kVmWrite : kVmRead)) {
    return EINVAL;
  }
  for (Vpn page = start; page < end; ++page) {
    if (machine.current_task().fatal_signal) return EINTR;
    Mapping mapping = Lookup(machine, mm, page);
    if (mapping.present && (!write || mapping.write)) continue;
    FaultResult result = HandleMmFault(machine, mm, page, write);
    if (result == FaultResult::kOom) return ENOMEM;
    if (result != FaultResult::kDone) return EFAULT;
  }
  return 0;
}

bool IsPopulate(uint32_t advice) {
  return advice == uapi::kMadvPopulateRead ||
         advice == uapi::kMadvPopulateWrite;
}

// A page that leaves a VM_LOCKED VMA loses that lock, and perhaps Mlocked,
// though the VMA stays locked: from 5.18 on rmap removal sees to it.
void MunlockBeforeZap(Machine& machine, int mm, size_t vma, Vpn start,
                      Vpn end) {
  const uint32_t flags = machine.mms[mm].vmas[vma].flags;
  MunlockVmaPagesRange(machine, mm, vma, start, end);
  machine.mms[mm].vmas[vma].flags = flags;
}

// madvise_vma. 0 or an errno; *vma is the VMA with the range after.
int MadviseVma(Machine& machine, int mm, size_t* vma, Vpn start, Vpn end,
               uint32_t advice) {
  const Vma area = machine.mms[mm].vmas[*vma];
  switch (advice) {
    case uapi::kMadvWillneed:
      return 0;  // readahead: a matter of speed
    case uapi::kMadvDontneed:
    case uapi::kMadvDontneedLocked:
      if (!MayDiscard(machine, area, start, &end, advice)) return EINVAL;
      if (area.Is(kVmLocked)) MunlockBeforeZap(machine, mm, *vma, start, end);
      ZapRange(machine, mm, start, end, Guards::kKeep);
      return 0;
    case uapi::kMadvFree:
      // The pages may go at the next reclaim without being written; which here
      // they do anyway.
      if (!MayDiscard(machine, area, start, &end, advice)) return EINVAL;
      return area.object == 0 ? 0 : EINVAL;
    case uapi::kMadvRemove:
      return MadviseRemove(machine, area, start, end);
    case uapi::kMadvCold:
    case uapi::kMadvPageout:
      return MadviseCold(machine, mm, area, start, end, advice);
    case uapi::kMadvPopulateRead:
    case uapi::kMadvPopulateWrite:
      return MadvisePopulate(machine, mm, area, start, end,
                             advice == uapi::kMadvPopulateWrite);
    case uapi::kMadvCollapse:
      return MadviseCollapse(machine, mm, area, start, end);
    case uapi::kMadvGuardInstall:
      return MadviseGuardInstall(machine, mm, *vma, start, end);
    case uapi::kMadvGuardRemove:
      return MadviseGuardRemove(machine, mm, area, start, end);
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
  MmapLockHolder lock(machine, mm,
                      IsPopulate(advice) ? MmapLock::kRead : MmapLock::kWrite);
  bool stops_at_holes =
      IsPopulate(advice) && machine.Has(Behaviour::kMadvPopulateStops);
  Mm& space = machine.mms[mm];
  Outcome result = Outcome::Ok();
  Vpn page = PageOf(addr), last = PageOf(end);
  while (page < last) {
    size_t vma = space.FindVma(page);
    if (vma == space.vmas.size()) return Outcome::Errno(ENOMEM);
    if (space.vmas[vma].start > page) {
      // Holes are passed over, and reported in the end.
      result = Outcome::Errno(ENOMEM);
      if (stops_at_holes) break;
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
    // vfs_fsync_range: secretmem_fops has no fsync.
    if ((flags & uapi::kMsSync) != 0 && area.Is(kVmSecret)) {
      return Outcome::Errno(EINVAL);
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
