// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/mremap.h"

#include <algorithm>
#include <cerrno>

#include "engine/reference/huge_memory.h"
#include "engine/reference/mlock.h"
#include "engine/reference/mmap.h"
#include "engine/reference/page_table.h"
#include "engine/reference/populate.h"
#include "engine/reference/rmap.h"
#include "engine/reference/vma.h"
#include "engine/uapi.h"

namespace lockstep::reference {
namespace {

// What populate gets when mmap_sem is dropped.
struct Tail {
  uint64_t start = 0;
  uint64_t length = 0;
};

// move_page_tables: entries move, pages and their mapcounts do not notice.
void MovePageTables(Machine& machine, int mm, Vpn from, Vpn to, Pages count) {
  Vpn end = from + count;
  for (Vpn at = from; auto entry = NextEntry(machine, mm, at, end);) {
    if (entry->huge) {
      Vpn target = to + (entry->page - from);
      // A huge PMD moves whole if both ends are aligned, else it is split.
      if (entry->page < from || entry->page + TableSpan(machine) > end ||
          target != TableStart(machine, target)) {
        SplitHugePmd(machine, mm, entry->page);
        continue;
      }
      ClearHugePmd(machine, mm, entry->page);
      SetHugePmd(machine, mm, target, entry->raw);
      PageMoveRmap(machine, PfnOf(entry->raw), mm, entry->page, target);
      at = entry->page + TableSpan(machine);
      continue;
    }
    Vpn target = to + (entry->page - from);
    ClearPte(machine, mm, entry->page);
    SetPte(machine, mm, target, entry->raw);
    Pfn pfn = PfnOf(entry->raw);
    if ((entry->raw & kPtePresent) != 0 && pfn != 0) {
      PageMoveRmap(machine, pfn, mm, entry->page, target);
    }
    at = entry->page + Pages{1};
  }
}

// vma_to_resize: may the mapping at addr get this size? 0 or an errno.
int VmaToResize(const Machine& machine, const Mm& space, uint64_t addr,
                uint64_t old_length, uint64_t new_length, size_t* index) {
  *index = space.FindVma(PageOf(addr));
  if (*index == space.vmas.size()) return EFAULT;
  const Vma& vma = space.vmas[*index];
  if (vma.start > PageOf(addr)) return EFAULT;
  if (vma.Is(kVmHugetlb)) return EINVAL;
  if (old_length > AddressOf(vma.end) - addr) return EFAULT;
  if (new_length <= old_length) return 0;
  uint64_t pgoff = vma.IndexOf(PageOf(addr));
  if (pgoff + PagesOf(new_length).n < pgoff) return EINVAL;
  if (vma.Is(kVmDontexpand | kVmPfnmap)) return EFAULT;
  if (!MayLockMore(machine, space, vma.flags,
                   PagesOf(new_length - old_length))) {
    return EAGAIN;
  }
  return 0;
}

// move_vma: to a free range. 0 or an errno.
int MoveVma(Machine& machine, int mm, size_t index, uint64_t addr,
            uint64_t old_length, uint64_t new_length, uint64_t new_addr) {
  Mm& space = machine.mms[mm];
  // Unmapping the old range may split one VMA into three.
  if (space.vmas.size() + 3 >= machine.config.max_map_count) return ENOMEM;
  Vma moved = space.vmas[index];
  moved.pgoff = moved.IndexOf(PageOf(addr));
  moved.start = PageOf(new_addr);
  moved.end = PageOf(new_addr + new_length);
  // A private anonymous VMA that never had a page takes its new place's offset
  // (copy_vma), so that it can merge there.
  if (moved.object == 0 && moved.anon_vma == 0) moved.pgoff = moved.start.n;
  if (!MergeVma(machine, mm, moved.start, moved.end, moved)) {
    InsertVma(machine, mm, moved);
  }
  MovePageTables(machine, mm, PageOf(addr), moved.start, PagesOf(old_length));
  space.total_vm += PagesOf(new_length);
  DoMunmap(machine, mm, addr, old_length);  // EINVAL for length 0 is ignored
  if (moved.Is(kVmLocked)) space.locked_vm += PagesOf(new_length);
  return 0;
}

Outcome Address(uint64_t addr) {
  return Outcome::Ok(static_cast<int64_t>(addr));
}

// mremap_to: MREMAP_FIXED.
Outcome MremapTo(Machine& machine, int mm, uint64_t addr, uint64_t old_length,
                 uint64_t new_length, uint64_t new_addr, Tail* tail) {
  Mm& space = machine.mms[mm];
  if (OffsetInPage(new_addr) != 0) return Outcome::Errno(EINVAL);
  if (new_length > kTaskSize || new_addr > kTaskSize - new_length) {
    return Outcome::Errno(EINVAL);
  }
  if (addr + old_length > new_addr && new_addr + new_length > addr) {
    return Outcome::Errno(EINVAL);
  }
  if (int error = DoMunmap(machine, mm, new_addr, new_length); error != 0) {
    return Outcome::Errno(error);
  }
  if (old_length >= new_length) {
    int error =
        DoMunmap(machine, mm, addr + new_length, old_length - new_length);
    if (error != 0 && old_length != new_length) return Outcome::Errno(error);
    old_length = new_length;
  }
  size_t index;
  int error = VmaToResize(machine, space, addr, old_length, new_length, &index);
  if (error != 0) return Outcome::Errno(error);
  bool locked = space.vmas[index].Is(kVmLocked);
  error = MoveVma(machine, mm, index, addr, old_length, new_length, new_addr);
  if (error != 0) return Outcome::Errno(error);
  if (locked && new_length > old_length) {
    *tail = {new_addr + old_length, new_length - old_length};
  }
  return Address(new_addr);
}

Outcome DoMremap(Machine& machine, int mm, uint64_t addr, uint64_t old_length,
                 uint64_t new_length, uint32_t flags, uint64_t new_addr,
                 Tail* tail) {
  Mm& space = machine.mms[mm];
  if ((flags & uapi::kMremapFixed) != 0) {
    return MremapTo(machine, mm, addr, old_length, new_length, new_addr, tail);
  }
  if (old_length >= new_length) {
    int error =
        DoMunmap(machine, mm, addr + new_length, old_length - new_length);
    if (error != 0 && old_length != new_length) return Outcome::Errno(error);
    return Address(addr);
  }
  size_t index;
  if (int error =
          VmaToResize(machine, space, addr, old_length, new_length, &index);
      error != 0) {
    return Outcome::Errno(error);
  }
  bool locked = space.vmas[index].Is(kVmLocked);
  Pages delta = PagesOf(new_length - old_length);
  Vma& vma = space.vmas[index];
  if (old_length == AddressOf(vma.end) - addr) {
    // vma_expandable: can it grow where it is?
    Vpn end = vma.end + delta;
    if (end > vma.end && end <= PageOf(kTaskSize) &&
        !space.Intersects(vma.end, end)) {
      vma.end = end;
      space.total_vm += delta;
      if (locked) {
        space.locked_vm += delta;
        *tail = {addr + old_length, new_length - old_length};
      }
      machine.TouchMm(mm);
      return Address(addr);
    }
  }
  if ((flags & uapi::kMremapMaymove) == 0) return Outcome::Errno(ENOMEM);
  if (new_length > kTaskSize) return Outcome::Errno(ENOMEM);
  new_addr = FindUnmappedArea(machine, space, 0, new_length, kPageSize);
  if (new_addr == 0) return Outcome::Errno(ENOMEM);
  if (int error =
          MoveVma(machine, mm, index, addr, old_length, new_length, new_addr);
      error != 0) {
    return Outcome::Errno(error);
  }
  if (locked) *tail = {new_addr + old_length, new_length - old_length};
  return Address(new_addr);
}

}  // namespace

Outcome SysMremap(Machine& machine, uint64_t addr, uint64_t old_length,
                  uint64_t new_length, uint32_t flags, uint64_t new_addr) {
  constexpr uint32_t kKnown = uapi::kMremapMaymove | uapi::kMremapFixed;
  if ((flags & ~kKnown) != 0 || flags == uapi::kMremapFixed ||
      OffsetInPage(addr) != 0) {
    return Outcome::Errno(EINVAL);
  }
  old_length = PageAlign(old_length);
  new_length = PageAlign(new_length);
  if (new_length == 0) return Outcome::Errno(EINVAL);
  int mm = machine.current_mm();
  Tail tail;
  Outcome outcome;
  {
    MmapLockHolder lock(machine, mm, MmapLock::kWrite);
    outcome = DoMremap(machine, mm, addr, old_length, new_length, flags,
                       new_addr, &tail);
  }
  if (tail.length != 0) {
    MmPopulate(machine, mm, PageOf(tail.start),
               PageOf(tail.start + tail.length), /*ignore_errors=*/true);
  }
  return outcome;
}

}  // namespace lockstep::reference
