// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/rmap.h"

#include <algorithm>

#include "engine/check.h"
#include "engine/reference/mlock_page.h"

namespace lockstep::reference {

void PageAddRmap(Machine& machine, Pfn pfn, int mm, Vpn at, bool huge) {
  uint32_t node = machine.free_rmap;
  if (node != 0) {
    machine.free_rmap = machine.rmap[node].next;
  } else {
    node = machine.rmap_end++;
    if (machine.rmap.size() < machine.rmap_end) {
      machine.rmap.resize(std::max<size_t>(256, machine.rmap.size() * 2));
    }
  }
  Page& page = machine.page(pfn);
  machine.Touch(pfn);
  machine.Touch(page.head);
  machine.rmap[node] = {at, page.rmap, static_cast<uint8_t>(mm), huge};
  page.rmap = node;
  ++(huge ? page.pmd_mapcount : page.mapcount);
}

void PageForgetRmap(Machine& machine, Pfn pfn, int mm, Vpn at, bool huge) {
  Page& page = machine.page(pfn);
  machine.Touch(pfn);
  machine.Touch(page.head);
  uint32_t* link = &page.rmap;
  while (true) {
    LOCKSTEP_CHECK(*link != 0);
    RmapNode& node = machine.rmap[*link];
    if (node.mm == mm && node.page == at && node.huge == huge) break;
    link = &node.next;
  }
  uint32_t node = *link;
  *link = machine.rmap[node].next;
  machine.rmap[node].next = machine.free_rmap;
  machine.free_rmap = node;
  --(huge ? page.pmd_mapcount : page.mapcount);
}

void PageRemoveRmap(Machine& machine, Pfn pfn, int mm, Vpn at, bool huge) {
  PageForgetRmap(machine, pfn, mm, at, huge);
  Page& page = machine.page(pfn);
  if (huge) {
    if (page.pmd_mapcount > 0) return;
    // PTEs that still map parts of it do not keep it Mlocked.
    page.Clear(kPageDoubleMap);
  } else {
    if (page.mapcount > 0) return;
    if (machine.page(page.head).Is(kPageDoubleMap)) return;
  }
  if (machine.page(page.head).Is(kPageMlocked)) {
    ClearPageMlock(machine, page.head);
  }
}

void PageMoveRmap(Machine& machine, Pfn pfn, int mm, Vpn from, Vpn to) {
  machine.Touch(pfn);
  uint32_t node = machine.page(pfn).rmap;
  while (machine.rmap[node].mm != mm || machine.rmap[node].page != from) {
    node = machine.rmap[node].next;
    LOCKSTEP_CHECK(node != 0);
  }
  machine.rmap[node].page = to;
}

const Vma& VmaOf(const Machine& machine, int mm, Vpn mapped) {
  const Vma* vma = machine.mms[mm].VmaAt(mapped);
  LOCKSTEP_CHECK(vma != nullptr);
  return *vma;
}

bool MlockFromRmap(Machine& machine, Pfn pfn, int mm) {
  if (machine.Has(Defect::kRmapTrylock) && !machine.mms[mm].CanReadLock()) {
    return false;
  }
  MlockVmaPage(machine, pfn);
  return true;
}

bool TryToMunlock(Machine& machine, Pfn pfn) {
  // page_check_address() does not find huge PMDs: only PTEs count here. The
  // pieces of a compound page that PTEs map are never Mlocked either.
  if (machine.page(pfn).compound()) return false;
  for (uint32_t node = FirstMapping(machine, pfn); node != 0;
       node = machine.rmap[node].next) {
    const RmapNode& mapping = machine.rmap[node];
    if (!VmaOf(machine, mapping.mm, mapping.page).Is(kVmLocked)) continue;
    if (MlockFromRmap(machine, pfn, mapping.mm)) return true;
  }
  return false;
}

}  // namespace lockstep::reference
