// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/hugetlb.h"

#include <algorithm>

#include "engine/check.h"
#include "engine/reference/huge_memory.h"
#include "engine/reference/object.h"
#include "engine/reference/page_alloc.h"
#include "engine/reference/page_table.h"

namespace lockstep::reference {
namespace {

// A page of the pool, from the reservation if the fault may use it.
Pfn TakeFromPool(Machine& machine, int mm, const Vma& vma) {
  Object& object = machine.objects[vma.object];
  bool may_use_reserve = vma.Is(kVmShared) || object.owner_mm == mm;
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
  machine.objects[object].reserved = huge_pages;
  return true;
}

FaultResult HugetlbFault(Machine& machine, int mm, size_t vma, Vpn page,
                         bool write) {
  const Vma& area = machine.mms[mm].vmas[vma];
  Vpn start = TableStart(machine, page);
  uint32_t pmd = GetHugePmd(machine, mm, start);
  bool shared = area.Is(kVmShared);
  if (pmd != 0) {
    if (!write || (pmd & kPteWrite) != 0) return FaultResult::kDone;
    Pfn old = PfnOf(pmd);
    if (shared || machine.page(old).pmd_mapcount == 1) {
      FindTable(machine, mm, start)->huge |= kPteWrite;
      return FaultResult::kDone;
    }
    Pfn copy = TakeFromPool(machine, mm, area);
    if (copy == 0) return FaultResult::kSigbus;
    UnmapHugePage(machine, mm, start);
    MapHugePage(machine, mm, start, copy, true);
    return FaultResult::kDone;
  }
  uint64_t index = area.IndexOf(start) >> machine.order;
  // It is mapped whole, never grows, and no program can truncate it.
  LOCKSTEP_CHECK(index < ObjectPages(machine, area.object) >> machine.order);
  Pfn head = shared ? FindObjectPage(machine, area.object, index) : 0;
  if (head != 0) {
    GetPage(machine, head);
  } else {
    head = TakeFromPool(machine, mm, area);
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

}  // namespace lockstep::reference
