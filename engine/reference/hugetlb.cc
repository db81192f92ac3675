// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/hugetlb.h"

#include <algorithm>
#include <vector>

#include "engine/check.h"
#include "engine/reference/huge_memory.h"
#include "engine/reference/object.h"
#include "engine/reference/page_alloc.h"
#include "engine/reference/page_table.h"

namespace lockstep::reference {
namespace {

// vma_has_reserves: may a fault at the index use the reservation?
bool MayUseReserve(const Object& object, int mm, const Vma& vma,
                   uint64_t index) {
  if (!vma.Is(kVmShared)) return object.owner_mm == mm;
  const auto& lost = object.unreserved;
  return std::find(lost.begin(), lost.end(), index) == lost.end();
}

// A page of the pool for the index.
Pfn TakeFromPool(Machine& machine, int mm, const Vma& vma, uint64_t index) {
  Object& object = machine.objects[vma.object];
  bool may_use_reserve = MayUseReserve(object, mm, vma, index);
  if (may_use_reserve && object.reserved > 0) {
    --object.reserved;
    --machine.hugetlb_reserved;
  } else if (machine.hugetlb_free <= machine.hugetlb_reserved) {
    return 0;
  }
  return AllocHugetlbPage(machine);
}

}  // namespace

bool HugetlbReserve(Machine& machine, ObjectId object, uint64_t huge_pages) {
  if (machine.hugetlb_free - machine.hugetlb_reserved < huge_pages) {
    return false;
  }
  machine.hugetlb_reserved += huge_pages;
  machine.objects[object].reserved += huge_pages;
  return true;
}

bool HugetlbReserveAgain(Machine& machine, ObjectId object) {
  auto& lost = machine.objects[object].unreserved;
  if (!HugetlbReserve(machine, object, lost.size())) return false;
  lost.clear();
  return true;
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
    Pfn old = PfnOf(pmd);
    if (shared || machine.page(old).pmd_mapcount == 1) {
      FindTable(machine, mm, start)->huge |= kPteWrite;
      return FaultResult::kDone;
    }
    Pfn copy = TakeFromPool(machine, mm, area, index);
    if (copy == 0) return FaultResult::kSigbus;
    UnmapHugePage(machine, mm, start);
    MapHugePage(machine, mm, start, copy, true);
    return FaultResult::kDone;
  }
  // It is mapped whole, never grows, and no program can truncate it.
  LOCKSTEP_CHECK(index < ObjectPages(machine, area.object) >> machine.order);
  Pfn head = shared ? FindObjectPage(machine, area.object, index) : 0;
  if (head != 0) {
    GetPage(machine, head);
  } else {
    head = TakeFromPool(machine, mm, area, index);
    if (head == 0) return FaultResult::kSigbus;
    if (shared) {
      Object& object = machine.objects[area.object];
      auto& cache = object.cache;
      auto at = std::lower_bound(cache.begin(), cache.end(),
                                 std::pair<uint64_t, Pfn>{index, 0});
      cache.insert(at, {index, head});
      std::erase(object.unreserved, index);
      machine.page(head).mapping = area.object;
      machine.page(head).index = index;
      GetPage(machine, head);
    }
  }
  MapHugePage(machine, mm, start, head, write);
  return FaultResult::kDone;
}

void HugetlbUnreserve(Machine& machine, int mm, const Vma& vma, Vpn start,
                      Vpn end) {
  Object& object = machine.objects[vma.object];
  if (vma.Is(kVmShared) || object.owner_mm != mm) return;
  uint64_t unused = 0;
  for (Vpn at = start; at < end; at += TableSpan(machine)) {
    if (GetHugePmd(machine, mm, at) == 0) ++unused;
  }
  unused = std::min(unused, object.reserved);
  object.reserved -= unused;
  machine.hugetlb_reserved -= unused;
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
    // remove_inode_hugepages: what was never there keeps its reservation.
    if (FindObjectPage(machine, object, index) == 0) continue;
    RemoveObjectPage(machine, object, index);
    machine.objects[object].unreserved.push_back(index);
  }
}

}  // namespace lockstep::reference
