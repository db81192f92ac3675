// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/mmap.h"

#include <algorithm>
#include <cerrno>

#include "engine/reference/fault.h"
#include "engine/reference/hugetlb.h"
#include "engine/reference/mlock.h"
#include "engine/reference/munlock.h"
#include "engine/reference/object.h"
#include "engine/reference/page_table.h"
#include "engine/reference/populate.h"
#include "engine/reference/secretmem.h"
#include "engine/reference/vma.h"
#include "engine/uapi.h"

namespace lockstep::reference {
namespace {

uint32_t VmFlagsOf(const Machine& machine, uint32_t prot, uint32_t map_flags) {
  uint32_t flags =
      kVmMayWrite | VmAccessOf(prot) | ExecuteOnlyOf(machine, prot);
  if ((map_flags & uapi::kMapGrowsdown) != 0) flags |= kVmGrowsdown;
  if ((map_flags & uapi::kMapLocked) != 0) flags |= kVmLocked;
  if ((map_flags & uapi::kMapNoreserve) != 0) flags |= kVmNoreserve;
  if ((map_flags & uapi::kMapStack) != 0 &&
      machine.Has(Behaviour::kMapStackNoThp)) {
    flags |= kVmNohugepage;
  }
  return flags;
}

// munlock_vma_pages_all of the VMAs in the range, before they go. The check of
// locked_vm first is the kernel's: an error in it shows up here.
void MunlockRange(Machine& machine, int mm, Vpn start, Vpn end, bool charge) {
  Mm& space = machine.mms[mm];
  if (space.locked_vm.n == 0) return;
  for (size_t i = space.FindVma(start);
       i < space.vmas.size() && space.vmas[i].start < end; ++i) {
    const Vma& vma = space.vmas[i];
    if (!vma.Is(kVmLocked)) continue;
    if (charge) space.locked_vm -= vma.pages();
    MunlockVmaPagesRange(machine, mm, i, vma.start, vma.end);
  }
}

// unmap_region and remove_vma_list for whole VMAs.
void RemoveVmas(Machine& machine, int mm, Vpn start, Vpn end) {
  Mm& space = machine.mms[mm];
  size_t first = space.FindVma(start);
  for (size_t i = first; i < space.vmas.size() && space.vmas[i].start < end;
       ++i) {
    const Vma& vma = space.vmas[i];
    if (vma.Is(kVmHugetlb)) {
      HugetlbVmClose(machine, vma);
    }
    ZapRange(machine, mm, vma.start, vma.end);
  }
  while (first < space.vmas.size() && space.vmas[first].start < end) {
    space.total_vm -= space.vmas[first].pages();
    RemoveVma(machine, mm, first);
  }
}

// Unmaps what is where the VMA shall be. 0 or an errno.
int MakeRoom(Machine& machine, int mm, const Vma& vma) {
  if (!machine.mms[mm].Intersects(vma.start, vma.end)) return 0;
  int error = DoMunmap(machine, mm, AddressOf(vma.start),
                       AddressOf(vma.end) - AddressOf(vma.start));
  // Up to 6.11 whatever went wrong was ENOMEM.
  return error == 0 || machine.Has(Behaviour::kMmapUnmapsLast) ? error : ENOMEM;
}

// What mmap maps: an object with a reference for the caller to put, or none.
struct Source {
  int error = 0;
  ObjectId object = 0;
  uint32_t vm_flags = 0;
};

Source OpenSource(Machine& machine, const MmapArguments& arguments,
                  uint64_t length, bool shared) {
  bool anonymous = (arguments.flags & uapi::kMapAnonymous) != 0;
  if (anonymous && (arguments.flags & uapi::kMapHugetlb) != 0) {
    // hugetlb_file_setup and hugetlb_reserve_pages.
    ObjectId object = NewObject(machine, Object::Kind::kHugetlb, length);
    return {0, object, kVmHugetlb | kVmDontexpand};
  }
  if (anonymous) {
    if (!shared) return {};
    return {0, NewObject(machine, Object::Kind::kShmem, length), 0};
  }
  switch (arguments.source) {
    case MmapSource::kDevicePfnmap:
      return {0, NewObject(machine, Object::Kind::kDriver, ~uint64_t{0}),
              kVmIo | kVmPfnmap | kVmDontexpand | kVmDontdump};
    case MmapSource::kDeviceMixedmap:
      return {0, NewObject(machine, Object::Kind::kDriver, ~uint64_t{0}),
              kVmMixedmap | kVmDontexpand};
    case MmapSource::kSecret: {
      // Its file system is mounted noexec.
      if ((arguments.prot & uapi::kProtExec) != 0) return {EPERM, 0, 0};
      ObjectId secret = machine.secrets[arguments.slot % kFileSlots];
      GetObject(machine, secret);
      return {0, secret, 0};
    }
    case MmapSource::kFile:
      break;
  }
  ObjectId file = machine.files[arguments.slot % kFileSlots];
  GetObject(machine, file);
  return {0, file, 0};
}

// The map type and what goes with it: 0 or an errno. Adds its VM flags.
int MapType(const Machine& machine, uint32_t map_flags, bool file,
            uint32_t* vm_flags) {
  bool grows = (*vm_flags & kVmGrowsdown) != 0;
  switch (map_flags & uapi::kMapType) {
    case uapi::kMapPrivate:
      return file && grows ? EINVAL : 0;
    case uapi::kMapSharedValidate:
      if (!file || !machine.Has(Behaviour::kMapSharedValidate)) return EINVAL;
      if ((map_flags & ~uapi::kMapLegacyMask) != 0) return EOPNOTSUPP;
      [[fallthrough]];
    case uapi::kMapShared:
      *vm_flags |= kVmShared;
      return grows ? EINVAL : 0;
    case uapi::kMapDroppable:
      if (file || grows || !machine.Has(Behaviour::kMapDroppable) ||
          (map_flags & (uapi::kMapLocked | uapi::kMapHugetlb)) != 0) {
        return EINVAL;
      }
      *vm_flags |= kVmDroppable | kVmNoreserve | kVmWipeonfork | kVmDontdump;
      return 0;
    default:
      return EINVAL;
  }
}

// mmap_region, with what memfd_secret has to say once there is room
// (call_mmap).
int MapVma(Machine& machine, int mm, const MmapArguments& arguments, Vma* vma) {
  bool anonymous = (arguments.flags & uapi::kMapAnonymous) != 0;
  if (anonymous || arguments.source != MmapSource::kSecret) {
    return MmapRegion(machine, mm, *vma);
  }
  Mm& space = machine.mms[mm];
  Pages locked_vm = space.locked_vm;
  if (int error = MakeRoom(machine, mm, *vma); error != 0) return error;
  // Where it is unmapped last, what is being replaced is still charged.
  if (!machine.Has(Behaviour::kMmapUnmapsLast)) locked_vm = space.locked_vm;
  if (int error = SecretmemMmap(machine, locked_vm, vma); error != 0) {
    return error;
  }
  return MmapRegion(machine, mm, *vma);
}

// __get_unmapped_area without MAP_FIXED.
uint64_t ChooseAddress(const Machine& machine, const Mm& space,
                       const MmapArguments& arguments, uint64_t length,
                       uint64_t alignment) {
  // round_hint_to_min.
  uint64_t hint = arguments.addr & kPageMask;
  if (hint != 0) hint = std::max(hint, kMmapMinAddr);
  bool thp = (arguments.flags & uapi::kMapAnonymous) != 0 &&
             (arguments.flags & uapi::kMapShared) == 0;
  if (thp && alignment == kPageSize) {
    return FindAnonymousArea(machine, space, hint, length);
  }
  return FindUnmappedArea(machine, space, hint, length, alignment);
}

// get_unmapped_area with MAP_FIXED: 0 or an errno.
int CheckFixedAddress(uint64_t addr, uint64_t length, uint64_t alignment) {
  // hugetlb_get_unmapped_area.
  if (alignment != kPageSize && addr % alignment != 0) return EINVAL;
  // The address comes back as it is, and IS_ERR_VALUE finds an errno in it.
  if (uapi::IsErrValue(addr)) return static_cast<int>(-addr);
  if (addr > kTaskSize - length) return ENOMEM;
  if (OffsetInPage(addr) != 0) return EINVAL;
  // security_mmap_addr: no task has CAP_SYS_RAWIO.
  return addr < kMmapMinAddr ? EPERM : 0;
}

// The part of do_mmap up to mmap_region. Returns the address or an errno.
Outcome DoMmap(Machine& machine, const MmapArguments& arguments) {
  int mm = machine.current_mm();
  Mm& space = machine.mms[mm];
  bool noreplace = (arguments.flags & uapi::kMapFixedNoreplace) != 0 &&
                   machine.Has(Behaviour::kMapFixedNoreplace);
  bool fixed = (arguments.flags & uapi::kMapFixed) != 0 || noreplace;
  bool huge = (arguments.flags & uapi::kMapHugetlb) != 0 &&
              (arguments.flags & uapi::kMapAnonymous) != 0;
  uint64_t huge_bytes = uint64_t{machine.huge_pages} << kPageShift;
  uint64_t length = arguments.length;
  // The file is looked up before anything else.
  bool anonymous = (arguments.flags & uapi::kMapAnonymous) != 0;
  if (!anonymous && arguments.source == MmapSource::kSecret &&
      machine.secrets[arguments.slot % kFileSlots] == 0) {
    return Outcome::Errno(EBADF);
  }
  // ksys_mmap_pgoff: no file of a program is hugetlbfs's.
  if (!anonymous && (arguments.flags & uapi::kMapHugetlb) != 0) {
    return Outcome::Errno(EINVAL);
  }
  if (length == 0) return Outcome::Errno(EINVAL);
  uint64_t alignment = huge ? huge_bytes : kPageSize;
  length = (length + alignment - 1) & ~(alignment - 1);
  if (length == 0) return Outcome::Errno(ENOMEM);
  uint64_t pgoff = arguments.offset_pages;
  if (pgoff + PagesOf(length).n < pgoff) return Outcome::Errno(EOVERFLOW);
  if (space.vmas.size() > machine.config.max_map_count) {
    return Outcome::Errno(ENOMEM);
  }
  uint64_t addr = arguments.addr;
  if (length > kTaskSize) return Outcome::Errno(ENOMEM);
  if (fixed) {
    if (int error = CheckFixedAddress(addr, length, alignment); error != 0) {
      return Outcome::Errno(error);
    }
  } else {
    addr = ChooseAddress(machine, space, arguments, length, alignment);
    if (addr == 0) return Outcome::Errno(ENOMEM);
  }
  Vma vma;
  vma.start = PageOf(addr);
  vma.end = PageOf(addr + length);
  if (noreplace && space.Intersects(vma.start, vma.end)) {
    return Outcome::Errno(EEXIST);
  }
  vma.flags =
      VmFlagsOf(machine, arguments.prot, arguments.flags) | space.def_flags;
  if ((arguments.flags & uapi::kMapLocked) != 0 &&
      !CanDoMlock(machine.current_task())) {
    return Outcome::Errno(EPERM);
  }
  if (!MayLockMore(machine, space, vma.flags, PagesOf(length))) {
    return Outcome::Errno(EAGAIN);
  }
  if (int error =
          MapType(machine, arguments.flags, !anonymous || huge, &vma.flags);
      error != 0) {
    return Outcome::Errno(error);
  }
  bool shared = vma.Is(kVmShared);
  Source source = OpenSource(machine, arguments, length, shared);
  if (source.error != 0) return Outcome::Errno(source.error);
  vma.flags |= source.vm_flags;
  // accountable_mapping.
  if (!huge &&
      (vma.flags & (kVmNoreserve | kVmShared | kVmWrite)) == kVmWrite) {
    vma.flags |= kVmAccount;
  }
  vma.object = source.object;
  vma.pgoff = anonymous ? (source.object != 0 ? 0 : vma.start.n) : pgoff;
  int error = MapVma(machine, mm, arguments, &vma);
  if (source.object != 0) PutObject(machine, source.object);
  if (error != 0) return Outcome::Errno(error);
  return Outcome::Ok(static_cast<int64_t>(addr));
}

}  // namespace

uint64_t FindUnmappedArea(const Machine& machine, const Mm& mm, uint64_t hint,
                          uint64_t length, uint64_t alignment) {
  auto gap_of = [&](const Vma& vma) {
    return vma.Is(kVmGrowsdown) && machine.Has(Behaviour::kStackGuardGap)
               ? uint64_t{machine.stack_guard_gap} << kPageShift
               : 0;
  };
  hint = (hint + alignment - 1) & ~(alignment - 1);
  if (hint != 0 && hint <= kTaskSize - length) {
    size_t next = mm.FindVma(PageOf(hint));
    if (next == mm.vmas.size() || hint + length + gap_of(mm.vmas[next]) <=
                                      AddressOf(mm.vmas[next].start)) {
      return hint;
    }
  }
  uint64_t top = kMmapBase;
  for (size_t i = mm.FindVma(PageOf(kMmapBase - 1)) + 1; i-- > 0;) {
    if (i >= mm.vmas.size()) continue;
    const Vma& vma = mm.vmas[i];
    uint64_t low = AddressOf(vma.end);
    if (low < top) {
      uint64_t candidate = top - length;
      if (candidate <= top) {
        candidate &= ~(alignment - 1);
        if (candidate >= low) return candidate;
      }
    }
    uint64_t start = AddressOf(vma.start), gap = gap_of(vma);
    top = std::min(top, start > gap ? start - gap : 0);
  }
  if (top < length) return 0;
  uint64_t candidate = (top - length) & ~(alignment - 1);
  return candidate >= kMmapMinAddr ? candidate : 0;
}

uint64_t FindAnonymousArea(const Machine& machine, const Mm& mm, uint64_t hint,
                           uint64_t length) {
  uint64_t huge_bytes = uint64_t{machine.huge_pages} << kPageShift;
  if (hint == 0 && length % huge_bytes == 0 && length <= kTaskSize / 2 &&
      machine.Has(Behaviour::kThpAlignedPlacement)) {
    // __thp_get_unmapped_area: room for one huge page more, and the highest
    // place in it.
    uint64_t padded =
        FindUnmappedArea(machine, mm, 0, length + huge_bytes, kPageSize);
    if (padded != 0) return (padded + huge_bytes) & ~(huge_bytes - 1);
  }
  return FindUnmappedArea(machine, mm, hint, length, kPageSize);
}

int MmapRegion(Machine& machine, int mm, const Vma& vma) {
  Mm& space = machine.mms[mm];
  if (int error = MakeRoom(machine, mm, vma); error != 0) return error;
  Vma added = vma;
  if (vma.Is(kVmHugetlb) && !HugetlbFileMmap(machine, &added)) return ENOMEM;
  bool locked = added.Is(kVmLocked);
  // A VMA that cannot be locked has the flag until here, so that it never
  // merges with one that is.
  if (!MergeVma(machine, mm, added.start, added.end, added)) {
    if (!added.may_be_locked()) added.flags &= ~kVmLockedMask;
    InsertVma(machine, mm, added);
  }
  space.total_vm += vma.pages();
  if (locked && vma.may_be_locked()) space.locked_vm += vma.pages();
  machine.TouchMm(mm);
  return 0;
}

Outcome SysMmap(Machine& machine, const MmapArguments& arguments) {
  int mm = machine.current_mm();
  Outcome outcome;
  uint64_t populate = 0;
  {
    MmapLockHolder lock(machine, mm, MmapLock::kWrite);
    uint32_t def_flags = machine.mms[mm].def_flags;
    outcome = DoMmap(machine, arguments);
    if (!outcome.ok()) return outcome;
    bool locked = (arguments.flags & uapi::kMapLocked) != 0 ||
                  (def_flags & kVmLocked) != 0;
    bool wanted =
        (arguments.flags & (uapi::kMapPopulate | uapi::kMapNonblock)) ==
        uapi::kMapPopulate;
    if (locked || wanted) populate = PageAlign(arguments.length);
  }
  auto start = static_cast<uint64_t>(outcome.value);
  MmPopulate(machine, mm, PageOf(start), PageOf(start + populate),
             /*ignore_errors=*/true);
  return outcome;
}

int DoMunmap(Machine& machine, int mm, uint64_t start, uint64_t length) {
  if (OffsetInPage(start) != 0 || start > kTaskSize ||
      length > kTaskSize - start) {
    return EINVAL;
  }
  length = PageAlign(length);
  if (length == 0) return EINVAL;
  Mm& space = machine.mms[mm];
  Vpn first = PageOf(start), end = PageOf(start + length);
  size_t vma = space.FindVma(first);
  if (vma == space.vmas.size() || space.vmas[vma].start >= end) return 0;
  if (first > space.vmas[vma].start) {
    if (end < space.vmas[vma].end &&
        space.vmas.size() >= machine.config.max_map_count) {
      return ENOMEM;
    }
    if (int error = SplitVmaUnlimited(machine, mm, vma, first); error != 0) {
      return error;
    }
  }
  size_t last = space.FindVma(end);
  if (last < space.vmas.size() && space.vmas[last].start < end) {
    if (int error = SplitVmaUnlimited(machine, mm, last, end); error != 0) {
      return error;
    }
  }
  MunlockRange(machine, mm, first, end, /*charge=*/true);
  RemoveVmas(machine, mm, first, end);
  return 0;
}

Outcome SysMunmap(Machine& machine, uint64_t addr, uint64_t length) {
  int mm = machine.current_mm();
  MmapLockHolder lock(machine, mm, MmapLock::kWrite);
  int error = DoMunmap(machine, mm, addr, length);
  return error == 0 ? Outcome::Ok() : Outcome::Errno(error);
}

Outcome SysBrk(Machine& machine, uint64_t brk) {
  int mm = machine.current_mm();
  Mm& space = machine.mms[mm];
  uint64_t old_end, new_end;
  bool populate = false;
  {
    MmapLockHolder lock(machine, mm, MmapLock::kWrite);
    auto unchanged = [&] {
      return Outcome::Ok(static_cast<int64_t>(space.brk));
    };
    if (brk < kHeapBase) return unchanged();
    new_end = PageAlign(brk);
    old_end = PageAlign(space.brk);
    if (new_end != old_end) {
      if (brk <= space.brk) {
        if (machine.Has(Behaviour::kBrkShrinkNeedsHeap) &&
            !space.Intersects(PageOf(new_end), PageOf(old_end))) {
          return unchanged();
        }
        if (DoMunmap(machine, mm, new_end, old_end - new_end) != 0) {
          return unchanged();
        }
      } else {
        uint64_t length = new_end - old_end;
        // A page is kept free above; nothing else may be in the way. Above
        // mmap_base every process has its stack.
        if (new_end < old_end || new_end > kMmapBase ||
            space.Intersects(PageOf(old_end), PageOf(new_end + kPageSize)) ||
            !MayLockMore(machine, space, space.def_flags, PagesOf(length)) ||
            space.vmas.size() > machine.config.max_map_count) {
          return unchanged();
        }
        Vma heap;
        heap.start = PageOf(old_end);
        heap.end = PageOf(new_end);
        heap.flags =
            kVmRead | kVmWrite | kVmMayWrite | kVmAccount | space.def_flags;
        heap.pgoff = heap.start.n;
        // Nothing is in its way, so nothing can fail.
        MmapRegion(machine, mm, heap);
        populate = (space.def_flags & kVmLocked) != 0;
      }
    }
    space.brk = brk;
    machine.TouchMm(mm);
  }
  if (populate) {
    MmPopulate(machine, mm, PageOf(old_end), PageOf(new_end),
               /*ignore_errors=*/true);
  }
  return Outcome::Ok(static_cast<int64_t>(brk));
}

void ExitMmap(Machine& machine, int mm) {
  MmapLockHolder lock(machine, mm, MmapLock::kWrite);
  Vpn end = PageOf(kTaskSize);
  MunlockRange(machine, mm, Vpn{0}, end, /*charge=*/false);
  RemoveVmas(machine, mm, Vpn{0}, end);
  Mm& space = machine.mms[mm];
  space.total_vm = space.locked_vm = Pages{0};
  space.def_flags = 0;
}

}  // namespace lockstep::reference
