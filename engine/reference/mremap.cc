// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/mremap.h"

#include <algorithm>
#include <cerrno>

#include "engine/reference/huge_memory.h"
#include "engine/reference/hugetlb.h"
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

// The arguments, lengths in whole pages.
struct Request {
  uint64_t addr;
  uint64_t old_length, new_length;
  uint32_t flags;
  uint64_t new_addr;
  bool fixed() const { return (flags & uapi::kMremapFixed) != 0; }
  bool dontunmap() const { return (flags & uapi::kMremapDontunmap) != 0; }
  // vrm_implies_new_addr.
  bool implies_new_addr() const { return fixed() || dontunmap(); }
  bool grows() const { return new_length > old_length; }
};

Outcome Address(uint64_t addr) {
  return Outcome::Ok(static_cast<int64_t>(addr));
}

// vma_lookup: the VMA that the address is in; false if there is none.
bool LookupVma(const Mm& space, uint64_t addr, size_t* index) {
  *index = space.FindVma(PageOf(addr));
  return *index < space.vmas.size() && space.vmas[*index].start <= PageOf(addr);
}

// Lengths of hugetlb memory are whole huge pages, and it does not grow.
bool AlignHugetlb(const Machine& machine, Request* request) {
  uint64_t mask = (uint64_t{machine.huge_pages} << kPageShift) - 1;
  request->old_length = (request->old_length + mask) & ~mask;
  request->new_length = (request->new_length + mask) & ~mask;
  return ((request->addr | request->new_addr) & mask) == 0 && !request->grows();
}

// vma_to_resize, check_prep_vma: may the mapping at addr be moved and get this
// size? 0 or an errno.
int VmaToResize(const Machine& machine, const Mm& space, const Request& request,
                size_t* index) {
  if (!LookupVma(space, request.addr, index)) return EFAULT;
  const Vma& vma = space.vmas[*index];
  uint64_t addr = request.addr, new_length = request.new_length;
  uint64_t old_length = std::min(request.old_length, new_length);
  if (vma.Is(kVmHugetlb) && !machine.Has(Behaviour::kMremapHugetlb)) {
    return EINVAL;
  }
  if (old_length == 0 && !vma.Is(kVmShared) &&
      machine.Has(Behaviour::kMremapNoPrivateCopy)) {
    return EINVAL;
  }
  if (request.dontunmap() && vma.Is(kVmDontexpand | kVmPfnmap)) return EINVAL;
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

// Splits the VMA so that one is exactly what moves. 0 or an errno.
int SplitMoved(Machine& machine, int mm, const Request& request) {
  Vpn start = PageOf(request.addr);
  Vpn end = start + PagesOf(request.old_length);
  size_t index = machine.mms[mm].FindVma(start);
  if (machine.mms[mm].vmas[index].start != start) {
    if (int error = SplitVma(machine, mm, index, start); error != 0) {
      return error;
    }
    ++index;
  }
  if (machine.mms[mm].vmas[index].end == end) return 0;
  return SplitVma(machine, mm, index, end);
}

// The end of MREMAP_DONTUNMAP: the old VMA loses its lock to the new one, which
// takes the charge over.
void DontunmapComplete(Machine& machine, int mm, const Request& request,
                       bool locked) {
  Mm& space = machine.mms[mm];
  Vpn start = PageOf(request.addr);
  Vma& old = space.vmas[space.FindVma(start)];
  old.flags &= ~kVmLockedMask;
  if (old.start == start && old.pages() == PagesOf(request.old_length)) {
    // unlink_anon_vmas: nothing is left of what it had.
    old.anon_vma = 0;
    old.forked = false;
    if (old.object == 0) old.pgoff = old.start.n;
  }
  if (locked && machine.Has(Defect::kDontunmapDoubleCharge)) {
    space.locked_vm += PagesOf(request.new_length);
  }
  machine.TouchMm(mm);
}

// The VMA at the new place.
void CopyVma(Machine& machine, int mm, const Vma& old, const Request& request) {
  Vma moved = old;
  moved.pgoff = moved.IndexOf(PageOf(request.addr));
  moved.start = PageOf(request.new_addr);
  moved.end = PageOf(request.new_addr + request.new_length);
  // A private anonymous VMA that never had a page takes its new place's offset
  // (copy_vma), so that it can merge there.
  if (moved.object == 0 && moved.anon_vma == 0) moved.pgoff = moved.start.n;
  // A mapping that stays must not swallow its copy (D27).
  bool beside = moved.start == old.end || moved.end == old.start;
  bool apart = request.dontunmap() && beside &&
               !machine.Has(Defect::kDontunmapSelfMerge);
  if (apart || !MergeVma(machine, mm, moved.start, moved.end, moved)) {
    InsertVma(machine, mm, moved);
  }
}

// move_vma: to a free range. 0 or an errno.
int MoveVma(Machine& machine, int mm, const Request& request) {
  Mm& space = machine.mms[mm];
  // Unmapping the old range may split one VMA into three.
  if (space.vmas.size() + 3 >= machine.config.max_map_count) return ENOMEM;
  size_t index = space.FindVma(PageOf(request.addr));
  bool locked = space.vmas[index].Is(kVmLocked);
  if (request.dontunmap() && locked &&
      !machine.Has(Defect::kDontunmapUnlocksWhole)) {
    if (int error = SplitMoved(machine, mm, request); error != 0) return error;
    index = space.FindVma(PageOf(request.addr));
  }
  const Vma old = space.vmas[index];
  CopyVma(machine, mm, old, request);
  MovePageTables(machine, mm, PageOf(request.addr), PageOf(request.new_addr),
                 PagesOf(request.old_length));
  space.total_vm += PagesOf(request.new_length);
  if (request.dontunmap()) {
    DontunmapComplete(machine, mm, request, locked);
    return 0;
  }
  // clear_vma_resv_huge_pages: the reservation has moved along.
  space.vmas[space.FindVma(PageOf(request.addr))].flags &= ~kVmResvMask;
  // EINVAL for length 0 is ignored.
  DoMunmap(machine, mm, request.addr, request.old_length);
  if (old.Is(kVmResvMask)) {
    HugetlbMovedFrom(machine, mm, old, PageOf(request.addr),
                     PageOf(request.addr + request.old_length));
  }
  if (locked) space.locked_vm += PagesOf(request.new_length);
  return 0;
}

// get_unmapped_area for the VMA at its new size. 0 if there is no room. Never
// for hugetlb memory: it does not grow, and MREMAP_DONTUNMAP refuses it.
uint64_t ChooseNewAddress(const Machine& machine, const Mm& space,
                          const Vma& vma, uint64_t hint, uint64_t length) {
  return vma.object == 0
             ? FindAnonymousArea(machine, space, hint, length)
             : FindUnmappedArea(machine, space, hint, length, kPageSize);
}

// What mremap_to and check_mremap_params ask of a new address. 0 or an errno.
int CheckNewAddress(const Machine& machine, const Mm& space,
                    const Request& request) {
  uint64_t addr = request.addr, new_addr = request.new_addr;
  if (OffsetInPage(new_addr) != 0) return EINVAL;
  if (request.new_length > kTaskSize ||
      new_addr > kTaskSize - request.new_length) {
    return EINVAL;
  }
  const bool empty_overlaps =
      request.old_length == 0 && new_addr == addr &&
      !machine.Has(Behaviour::kMremapEmptyOverlapsNothing);
  if ((addr + request.old_length > new_addr &&
       new_addr + request.new_length > addr) ||
      empty_overlaps) {
    return EINVAL;
  }
  if (machine.Has(Behaviour::kMremapFixedNeedsMaps) &&
      space.vmas.size() + 5 >= machine.config.max_map_count) {
    return ENOMEM;
  }
  return 0;
}

// mremap_to: MREMAP_FIXED, MREMAP_DONTUNMAP.
Outcome MremapTo(Machine& machine, int mm, Request request, Tail* tail) {
  Mm& space = machine.mms[mm];
  bool checked = machine.Has(Behaviour::kMremapChecksFirst);
  if (!checked) {
    if (int error = CheckNewAddress(machine, space, request); error != 0) {
      return Outcome::Errno(error);
    }
  }
  if (request.fixed()) {
    int error = DoMunmap(machine, mm, request.new_addr, request.new_length);
    if (error != 0) return Outcome::Errno(error);
  }
  size_t index;
  if (checked && !LookupVma(space, request.addr, &index)) {
    return Outcome::Errno(EFAULT);
  }
  if (request.old_length > request.new_length) {
    int error = DoMunmap(machine, mm, request.addr + request.new_length,
                         request.old_length - request.new_length);
    if (error != 0) return Outcome::Errno(error);
    request.old_length = request.new_length;
  }
  if (!checked) {
    int error = VmaToResize(machine, space, request, &index);
    if (error != 0) return Outcome::Errno(error);
  }
  LookupVma(space, request.addr, &index);
  bool locked = space.vmas[index].Is(kVmLocked);
  if (!request.fixed()) {
    request.new_addr = ChooseNewAddress(machine, space, space.vmas[index],
                                        request.new_addr, request.new_length);
    if (request.new_addr == 0) return Outcome::Errno(ENOMEM);
  }
  if (int error = MoveVma(machine, mm, request); error != 0) {
    return Outcome::Errno(error);
  }
  if (locked && request.grows()) {
    *tail = {request.new_addr + request.old_length,
             request.new_length - request.old_length};
  }
  return Address(request.new_addr);
}

// Without a new address: cuts, grows, or moves to where there is room.
Outcome MremapAt(Machine& machine, int mm, Request request, Tail* tail) {
  Mm& space = machine.mms[mm];
  uint64_t addr = request.addr;
  if (!request.grows()) {
    uint64_t cut = request.old_length - request.new_length;
    if (cut == 0) return Address(addr);
    int error = DoMunmap(machine, mm, addr + request.new_length, cut);
    return error != 0 ? Outcome::Errno(error) : Address(addr);
  }
  size_t index;
  if (int error = VmaToResize(machine, space, request, &index); error != 0) {
    return Outcome::Errno(error);
  }
  bool locked = space.vmas[index].Is(kVmLocked);
  Pages delta = PagesOf(request.new_length - request.old_length);
  Vma& vma = space.vmas[index];
  if (request.old_length == AddressOf(vma.end) - addr) {
    // vma_expandable: can it grow where it is?
    Vpn end = vma.end + delta;
    if (end > vma.end && end <= PageOf(kTaskSize) &&
        !space.Intersects(vma.end, end)) {
      vma.end = end;
      space.total_vm += delta;
      if (locked) {
        space.locked_vm += delta;
        *tail = {addr + request.old_length,
                 request.new_length - request.old_length};
      }
      machine.TouchMm(mm);
      return Address(addr);
    }
  }
  if ((request.flags & uapi::kMremapMaymove) == 0) {
    return Outcome::Errno(ENOMEM);
  }
  if (request.new_length > kTaskSize) return Outcome::Errno(ENOMEM);
  request.new_addr =
      ChooseNewAddress(machine, space, vma, 0, request.new_length);
  if (request.new_addr == 0) return Outcome::Errno(ENOMEM);
  if (int error = MoveVma(machine, mm, request); error != 0) {
    return Outcome::Errno(error);
  }
  if (locked) {
    *tail = {request.new_addr + request.old_length,
             request.new_length - request.old_length};
  }
  return Address(request.new_addr);
}

// One VMA's part of mremap.
Outcome MremapVma(Machine& machine, int mm, Request request, Tail* tail) {
  const Mm& space = machine.mms[mm];
  size_t index;
  if (machine.Has(Behaviour::kMremapHugetlb)) {
    if (!LookupVma(space, request.addr, &index)) return Outcome::Errno(EFAULT);
    if (space.vmas[index].Is(kVmHugetlb) && !AlignHugetlb(machine, &request)) {
      return Outcome::Errno(EINVAL);
    }
  }
  if (!request.implies_new_addr()) return MremapAt(machine, mm, request, tail);
  if (machine.Has(Behaviour::kMremapChecksFirst)) {
    int error = VmaToResize(machine, space, request, &index);
    if (error != 0) return Outcome::Errno(error);
  }
  return MremapTo(machine, mm, request, tail);
}

// vma_multi_allowed: not a file that has a say in where it goes and is not
// known to obey MREMAP_FIXED, as a SysV segment's (shm_get_unmapped_area).
bool MayMoveWithOthers(const Vma& vma) {
  return !vma.Is(kVmShm) || vma.Is(kVmHugetlb);
}

// remap_move: what is mapped in the range moves VMA by VMA, and holes between
// them stay as wide as they are. What moved before a failure has moved.
Outcome RemapMove(Machine& machine, int mm, const Request& whole, Tail* tail) {
  const Mm& space = machine.mms[mm];
  Vpn start = PageOf(whole.addr);
  Vpn end = start + PagesOf(whole.old_length);
  Outcome result = Outcome::Errno(EFAULT);
  for (Vpn page = start; page < end;) {
    size_t index = space.FindVma(page);
    if (index == space.vmas.size() || space.vmas[index].start >= end) break;
    Vpn from = std::max(page, space.vmas[index].start);
    // No hole at the start.
    if (page == start && from != start) return Outcome::Errno(EFAULT);
    const bool alone = page == start && space.vmas[index].end >= end;
    if (!alone && !MayMoveWithOthers(space.vmas[index])) {
      return Outcome::Errno(EFAULT);
    }
    Vpn to = std::min(end, space.vmas[index].end);
    Request part = whole;
    part.addr = AddressOf(from);
    part.old_length = part.new_length = (to - from).n << kPageShift;
    part.new_addr = whole.new_addr + (part.addr - whole.addr);
    Outcome moved = MremapVma(machine, mm, part, tail);
    if (!moved.ok()) return moved;
    if (from == start) result = moved;
    page = to;
  }
  return result;
}

// What is refused before any mapping is looked at. 0 or an errno.
int CheckArguments(const Machine& machine, uint64_t old_length,
                   uint64_t new_length, const Request& request) {
  uint32_t known = uapi::kMremapMaymove | uapi::kMremapFixed;
  if (machine.Has(Behaviour::kMremapDontunmap)) known |= uapi::kMremapDontunmap;
  if ((request.flags & ~known) != 0) return EINVAL;
  bool may_move = (request.flags & uapi::kMremapMaymove) != 0;
  if (request.implies_new_addr() && !may_move) return EINVAL;
  bool checks_first = machine.Has(Behaviour::kMremapChecksFirst);
  bool resizes = checks_first ? request.old_length != request.new_length
                              : old_length != new_length;
  if (request.dontunmap() && resizes) return EINVAL;
  if (OffsetInPage(request.addr) != 0 || request.new_length == 0) return EINVAL;
  if (!checks_first) return 0;
  if (request.new_length > kTaskSize) return EINVAL;
  if (!request.implies_new_addr()) return 0;
  return CheckNewAddress(machine, machine.mms[machine.current_mm()], request);
}

}  // namespace

Outcome SysMremap(Machine& machine, uint64_t addr, uint64_t old_length,
                  uint64_t new_length, uint32_t flags, uint64_t new_addr) {
  Request request = {addr, PageAlign(old_length), PageAlign(new_length), flags,
                     new_addr};
  if (int error = CheckArguments(machine, old_length, new_length, request);
      error != 0) {
    return Outcome::Errno(error);
  }
  int mm = machine.current_mm();
  Tail tail;
  Outcome outcome;
  {
    MmapLockHolder lock(machine, mm, MmapLock::kWrite);
    bool several = machine.Has(Behaviour::kMremapMovesSeveral) &&
                   request.fixed() && request.old_length == request.new_length;
    outcome = several ? RemapMove(machine, mm, request, &tail)
                      : MremapVma(machine, mm, request, &tail);
  }
  if (tail.length != 0) {
    MmPopulate(machine, mm, PageOf(tail.start),
               PageOf(tail.start + tail.length), /*ignore_errors=*/true);
  }
  return outcome;
}

}  // namespace lockstep::reference
