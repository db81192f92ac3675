// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/mprotect.h"

#include <algorithm>
#include <cerrno>

#include "engine/reference/page_table.h"
#include "engine/reference/populate.h"
#include "engine/reference/vma.h"
#include "engine/uapi.h"

namespace lockstep::reference {
namespace {

constexpr uint32_t kProtSem = 8;  // no effect on x86

// change_protection: entries become read-only; the next write fault makes them
// writable again where that is right.
void WriteProtect(Machine& machine, int mm, Vpn start, Vpn end) {
  for (Vpn at = start; auto entry = NextEntry(machine, mm, at, end);) {
    // No edge of a VMA, and so none of the range, cuts a huge page.
    if (entry->huge) {
      FindTable(machine, mm, entry->page)->huge &= ~uint32_t{kPteWrite};
      at = entry->page + TableSpan(machine);
      continue;
    }
    SetPte(machine, mm, entry->page, entry->raw & ~uint32_t{kPteWrite});
    at = entry->page + Pages{1};
  }
}

int MprotectFixup(Machine& machine, int mm, size_t* vma, Vpn start, Vpn end,
                  uint32_t flags) {
  Mm& space = machine.mms[mm];
  uint32_t old_flags = space.vmas[*vma].flags;
  if (flags == old_flags) return 0;
  // What may be written counts for overcommit from now on.
  constexpr uint32_t kNotCharged =
      kVmAccount | kVmWrite | kVmHugetlb | kVmShared | kVmNoreserve;
  if ((flags & kVmWrite) != 0 && (old_flags & kNotCharged) == 0) {
    flags |= kVmAccount;
  }
  const Vma& area = space.vmas[*vma];
  if ((flags & kVmWrite) == 0 && area.object == 0 && area.anon_vma == 0 &&
      machine.Has(Behaviour::kMprotectUnaccounts)) {
    flags &= ~kVmAccount;
  }
  if (int error = ModifyVma(machine, mm, vma, start, end, flags); error != 0) {
    return error;
  }
  space.vmas[*vma].flags = flags;
  WriteProtect(machine, mm, start, end);
  // From 4.2 a private VM_LOCKED VMA that becomes writable breaks COW at once.
  constexpr uint32_t kAsked = kVmWrite | kVmShared | kVmLocked;
  if ((old_flags & kAsked) == kVmLocked && (flags & kVmWrite) != 0 &&
      !machine.Has(Defect::kMprotectNoCow)) {
    PopulateVmaPageRange(machine, mm, *vma, start, end);
  }
  return 0;
}

}  // namespace

Outcome SysMprotect(Machine& machine, uint64_t addr, uint64_t length,
                    uint32_t prot) {
  if (OffsetInPage(addr) != 0) return Outcome::Errno(EINVAL);
  if (length == 0) return Outcome::Ok();
  uint64_t end = addr + PageAlign(length);
  if (end <= addr) return Outcome::Errno(ENOMEM);
  if ((prot & ~(uapi::kProtRead | uapi::kProtWrite | uapi::kProtExec |
                kProtSem)) != 0) {
    return Outcome::Errno(EINVAL);
  }
  int mm = machine.current_mm();
  MmapLockHolder lock(machine, mm, MmapLock::kWrite);
  Mm& space = machine.mms[mm];
  Vpn page = PageOf(addr), last = PageOf(end);
  while (true) {
    size_t vma = space.FindVma(page);
    if (vma == space.vmas.size() || space.vmas[vma].start > page) {
      return Outcome::Errno(ENOMEM);
    }
    uint32_t flags = (space.vmas[vma].flags & ~(kVmAccess | kVmExecuteOnly)) |
                     VmAccessOf(prot) | ExecuteOnlyOf(machine, prot);
    if ((flags & kVmWrite) != 0 && (flags & kVmMayWrite) == 0) {
      return Outcome::Errno(EACCES);
    }
    // Its file system is mounted noexec: no VM_MAYEXEC.
    if ((flags & kVmExec) != 0 && (flags & kVmSecret) != 0) {
      return Outcome::Errno(EACCES);
    }
    Vpn stop = std::min(space.vmas[vma].end, last);
    if (int error = MprotectFixup(machine, mm, &vma, page, stop, flags);
        error != 0) {
      return Outcome::Errno(error);
    }
    page = std::max(stop, space.vmas[vma].end);
    if (page >= last) return Outcome::Ok();
  }
}

}  // namespace lockstep::reference
