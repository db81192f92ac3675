// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/hugetlb.h"

#include <algorithm>
#include <utility>

#include "engine/check.h"
#include "engine/reference/huge_memory.h"
#include "engine/reference/object.h"
#include "engine/reference/page_alloc.h"
#include "engine/reference/page_table.h"
#include "engine/reference/rmap.h"

namespace lockstep::reference {
namespace {

// Takes the index out of those that are reserved, if it is one of them.
bool TakeReserved(Object& object, uint64_t index) {
  auto& reserved = object.reserved;
  const auto at = std::lower_bound(reserved.begin(), reserved.end(), index);
  if (at == reserved.end() || *at != index) return false;
  reserved.erase(at);
  return true;
}

// A page of the pool that is promised to nobody; 0 if there is none.
Pfn TakeSparePage(Machine& machine) {
  if (machine.hugetlb_free <= machine.hugetlb_reserved) return 0;
  return AllocHugetlbPage(machine);
}

// alloc_huge_page: the page reserved for the index, if vma_has_reserves, or one
// to spare.
Pfn TakeFromPool(Machine& machine, const Vma& vma, uint64_t index) {
  if (!vma.Is(kVmShared | kVmResvOwner) ||
      !TakeReserved(machine.objects[vma.object], index)) {
    return TakeSparePage(machine);
  }
  --machine.hugetlb_reserved;
  return AllocHugetlbPage(machine);
}

// unmap_ref_private: takes the page from all but the owner, who maps it at
// `start` and could not copy it. Their VMAs are marked: a page of zeroes must
// not take its place. (The kernel looks for it at the owner's address alone: if
// mremap has moved it in another process, from 5.16 on, the owner faults for
// ever: D30.)
void UnmapRefPrivate(Machine& machine, int mm, Vpn start, Pfn head) {
  for (uint32_t at = FirstMapping(machine, head); at != 0;) {
    const RmapNode node = machine.rmap[at];
    at = node.next;
    if (node.mm == mm && node.page == start) continue;
    Mm& other = machine.mms[node.mm];
    other.vmas[other.FindVma(node.page)].flags |= kVmResvUnmapped;
    ZapRange(machine, node.mm, node.page, node.page + TableSpan(machine));
  }
}

// Forgets what is reserved for the VMA's pages. How many huge pages that were.
uint64_t ForgetReserved(Machine& machine, const Vma& vma) {
  auto& reserved = machine.objects[vma.object].reserved;
  const auto first = std::lower_bound(reserved.begin(), reserved.end(),
                                      vma.IndexOf(vma.start) >> machine.order);
  const auto end = std::lower_bound(first, reserved.end(),
                                    vma.IndexOf(vma.end) >> machine.order);
  const auto count = static_cast<uint64_t>(end - first);
  reserved.erase(first, end);
  return count;
}

// hugetlb_cow: a write to a page that is mapped for reading.
FaultResult WriteProtected(Machine& machine, int mm, const Vma& vma, Vpn start,
                           Pfn old) {
  Pfn copy = 0;
  if (!vma.Is(kVmShared) && machine.page(old).pmd_mapcount > 1) {
    // The reservation of the index is spent, whosever it was.
    copy = TakeSparePage(machine);
    if (copy == 0 && !vma.Is(kVmResvOwner)) return FaultResult::kSigbus;
    if (copy == 0) UnmapRefPrivate(machine, mm, start, old);
  }
  if (copy == 0) {
    FindTable(machine, mm, start)->huge |= kPteWrite;
    return FaultResult::kDone;
  }
  UnmapHugePage(machine, mm, start);
  MapHugePage(machine, mm, start, copy, true);
  return FaultResult::kDone;
}

}  // namespace

bool HugetlbReservePages(Machine& machine, ObjectId id) {
  Object& object = machine.objects[id];
  const uint64_t all = ObjectPages(machine, id) >> machine.order;
  const uint64_t wanted = all - object.cache.size() - object.reserved.size();
  if (machine.hugetlb_free - machine.hugetlb_reserved < wanted) return false;
  machine.hugetlb_reserved += wanted;
  object.reserved.clear();
  for (uint64_t index = 0; index < all; ++index) {
    if (FindObjectPage(machine, id, index) == 0) {
      object.reserved.push_back(index);
    }
  }
  return true;
}

bool HugetlbFileMmap(Machine& machine, Vma* vma) {
  if (vma->Is(kVmNoreserve)) return true;
  if (!vma->Is(kVmShared)) vma->flags |= kVmResvOwner;
  return HugetlbReservePages(machine, vma->object);
}

FaultResult HugetlbFault(Machine& machine, int mm, size_t vma, Vpn page,
                         bool write) {
  const Vma& area = machine.mms[mm].vmas[vma];
  Vpn start = TableStart(machine, page);
  uint32_t pmd = GetHugePmd(machine, mm, start);
  bool shared = area.Is(kVmShared);
  uint64_t index = area.IndexOf(start) >> machine.order;
  if (pmd != 0) {
    if (!write || (pmd & kPteWrite) != 0) return FaultResult::kDone;
    return WriteProtected(machine, mm, area, start, PfnOf(pmd));
  }
  // hugetlb_no_page.
  if (area.Is(kVmResvUnmapped)) return FaultResult::kSigbus;
  // It is mapped whole, never grows, and no program can truncate it.
  LOCKSTEP_CHECK(index < ObjectPages(machine, area.object) >> machine.order);
  Pfn head = shared ? FindObjectPage(machine, area.object, index) : 0;
  if (head != 0) {
    GetPage(machine, head);
  } else {
    head = TakeFromPool(machine, area, index);
    if (head == 0) return FaultResult::kSigbus;
    if (shared) {
      auto& cache = machine.objects[area.object].cache;
      auto at = std::lower_bound(cache.begin(), cache.end(),
                                 std::pair<uint64_t, Pfn>{index, 0});
      cache.insert(at, {index, head});
      machine.page(head).mapping = area.object;
      machine.page(head).index = index;
      GetPage(machine, head);
    }
  }
  MapHugePage(machine, mm, start, head, write);
  return FaultResult::kDone;
}

void HugetlbVmClose(Machine& machine, const Vma& vma) {
  if (!vma.Is(kVmResvOwner)) return;
  machine.hugetlb_reserved -= ForgetReserved(machine, vma);
}

void HugetlbMovedFrom(Machine& machine, int mm, const Vma& old, Vpn start,
                      Vpn end) {
  Mm& space = machine.mms[mm];
  const auto stays = [&](Vpn page) {
    Vma& rest = space.vmas[space.FindVma(page)];
    if (!machine.Has(Defect::kMremapLosesReserve)) {
      rest.flags |= old.flags & kVmResvMask;
    } else if (old.Is(kVmResvOwner)) {
      // The pool keeps the promise, but nobody can claim it or give it back.
      ForgetReserved(machine, rest);
    }
  };
  if (old.start < start) stays(old.start);
  if (end < old.end) stays(end);
}

void HugetlbPunchHole(Machine& machine, ObjectId object, uint64_t first,
                      uint64_t end) {
  const int order = machine.order;
  first = (first + machine.huge_pages - 1) >> order;
  end >>= order;
  if (first >= end) return;
  UnmapObject(machine, object, first << order, end << order,
              /*even_cows=*/true);
  for (uint64_t index = first; index < end; ++index) {
    // remove_inode_hugepages: what was never there keeps its reservation, and
    // what goes has none any more.
    if (FindObjectPage(machine, object, index) == 0) continue;
    RemoveObjectPage(machine, object, index);
  }
}

}  // namespace lockstep::reference
