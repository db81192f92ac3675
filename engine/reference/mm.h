// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Address spaces: struct mm_struct and its VMAs, without their page tables.

#ifndef LOCKSTEP_ENGINE_REFERENCE_MM_H_
#define LOCKSTEP_ENGINE_REFERENCE_MM_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/reference/page.h"
#include "engine/units.h"

namespace lockstep::reference {

// vm_flags. Own numbers: programs never see them. What can be observed has the
// number of its RangeBit, which makes observing it a mask.
enum VmFlag : uint32_t {
  kVmRead = 1 << 0,
  kVmWrite = 1 << 1,
  kVmExec = 1 << 2,
  kVmShared = 1 << 3,  // VM_SHARED and VM_MAYSHARE
  kVmLocked = 1 << 4,
  kVmLockonfault = 1 << 5,
  kVmGrowsdown = 1 << 6,
  kVmHugetlb = 1 << 7,
  kVmIo = 1 << 8,
  kVmPfnmap = 1 << 9,
  kVmMixedmap = 1 << 10,
  kVmSecret = 1 << 11,  // memfd_secret: vma_is_secretmem
  kVmDroppable = 1 << 12,
  kVmMayWrite = 1 << 13,
  kVmShm = 1 << 14,  // an attached SysV segment: has a close method
  kVmDontexpand = 1 << 15,
  kVmDontcopy = 1 << 16,
  kVmHugepage = 1 << 17,
  kVmNohugepage = 1 << 18,
  kVmDontdump = 1 << 19,
  kVmRandRead = 1 << 20,
  kVmSeqRead = 1 << 21,
  kVmMergeable = 1 << 22,
  kVmWipeonfork = 1 << 23,
  kVmExecuteOnly = 1 << 24,  // VM_PKEY_BIT*: the key of execute_only_pkey
  kVmAccount = 1 << 25,      // counts for overcommit
  kVmNoreserve = 1 << 26,
  // What vm_private_data of private hugetlb memory says: HPAGE_RESV_OWNER, the
  // reservation is this VMA's, and HPAGE_RESV_UNMAPPED, the owner's copy on
  // write took pages from here, which no fault may fill again.
  kVmResvOwner = 1 << 27,
  kVmResvUnmapped = 1 << 28,
};
inline constexpr uint32_t kVmAccess = kVmRead | kVmWrite | kVmExec;
inline constexpr uint32_t kVmSpecial =
    kVmIo | kVmPfnmap | kVmMixedmap | kVmDontexpand;
inline constexpr uint32_t kVmLockedMask = kVmLocked | kVmLockonfault;
inline constexpr uint32_t kVmResvMask = kVmResvOwner | kVmResvUnmapped;

struct Vma {
  Vpn start, end;
  uint32_t flags = 0;
  ObjectId object = 0;    // 0: private anonymous
  uint64_t pgoff = 0;     // pages; of anonymous memory its page number at mmap
  uint32_t anon_vma = 0;  // 0: no anonymous page was ever mapped here
  bool forked = false;    // the anon_vma has parents: fork made the VMA
  // VM_MAYBE_GUARD (6.18.y): there are or were guard markers, which fork
  // copies. Sticky: no obstacle to a merge, and what merges has it.
  bool maybe_guard = false;

  bool Is(uint32_t any_of) const { return (flags & any_of) != 0; }
  // Reads by the task and by get_user_pages for it are allowed.
  bool readable() const { return Is(kVmAccess) && !Is(kVmExecuteOnly); }
  Pages pages() const { return end - start; }
  // The page of the object that is mapped at this address.
  uint64_t IndexOf(Vpn page) const { return pgoff + (page - start).n; }
  // vma_supports_mlock: mmap never leaves the lock on others.
  bool may_be_locked() const {
    return !Is(kVmSpecial | kVmHugetlb | kVmDroppable);
  }
  // mlock_fixup changes the lock of no others.
  bool lockable() const { return may_be_locked() && !Is(kVmSecret); }
};

// Reference to a page table: its place in the address space and in the pool.
struct TableRef {
  uint64_t index;  // page number >> order
  uint32_t table;
};

inline constexpr TableRef kNoTable{~uint64_t{0}, 0};

// How the running call holds an mmap_sem.
enum class MmapLock : uint8_t { kNone, kRead, kWrite };

struct Mm {
  std::vector<Vma> vmas;         // by address, disjoint
  std::vector<TableRef> tables;  // by index
  // Where the VMA is, or was, that was looked up last.
  mutable size_t last_vma = 0;
  // The table that was looked up last; forgotten when a table goes.
  mutable TableRef last_table = kNoTable;
  Pages total_vm;
  Pages locked_vm;
  uint64_t brk = 0;  // address
  uint32_t def_flags = 0;
  int users = 0;  // tasks; 0: the slot is free
  MmapLock held = MmapLock::kNone;
  bool held_by_other = false;  // Op::kHoldMmapLock, until the step ends

  bool CanReadLock() const {
    return held != MmapLock::kWrite && !held_by_other;
  }

  // find_vma: the first VMA that ends above the page; vmas.size() if none.
  size_t FindVma(Vpn page) const {
    const bool found = last_vma < vmas.size() && vmas[last_vma].start <= page &&
                       page < vmas[last_vma].end;
    return found ? last_vma : FindOtherVma(page);
  }
  // FindVma where it is not the one that was looked up last.
  size_t FindOtherVma(Vpn page) const;
  // The VMA that the page is in; nullptr if it is unmapped.
  const Vma* VmaAt(Vpn page) const {
    size_t i = FindVma(page);
    return i < vmas.size() && vmas[i].start <= page ? &vmas[i] : nullptr;
  }
  bool Intersects(Vpn start, Vpn end) const {
    size_t i = FindVma(start);
    return i < vmas.size() && vmas[i].start < end;
  }
};

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_MM_H_
