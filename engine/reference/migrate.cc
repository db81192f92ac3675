// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/migrate.h"

#include <vector>

#include "engine/reference/lru.h"
#include "engine/reference/mlock_page.h"
#include "engine/reference/object.h"
#include "engine/reference/page_alloc.h"
#include "engine/reference/page_table.h"
#include "engine/reference/rmap.h"

namespace lockstep::reference {
namespace {

struct MigrationEntry {
  int mm;
  Vpn page;
  uint32_t bits;  // of the PTE, without the frame
};

// try_to_unmap(TTU_MIGRATION | TTU_IGNORE_MLOCK). The last mapping to go clears
// PG_mlocked.
std::vector<MigrationEntry> Unmap(Machine& machine, Pfn pfn) {
  std::vector<MigrationEntry> entries;
  while (uint32_t node = FirstMapping(machine, pfn)) {
    const RmapNode mapping = machine.rmap[node];
    uint32_t raw = GetPte(machine, mapping.mm, mapping.page);
    entries.push_back({mapping.mm, mapping.page, raw & ~kPtePfnMask});
    ClearPte(machine, mapping.mm, mapping.page);
    PageRemoveRmap(machine, pfn, mapping.mm, mapping.page, /*huge=*/false);
    PutPage(machine, pfn);
  }
  return entries;
}

// remove_migration_pte for each. Up to 4.3 the new page does not become Mlocked
// here, though its VMA is VM_LOCKED (D18).
void Remap(Machine& machine, Pfn pfn,
           const std::vector<MigrationEntry>& entries) {
  // The chain is built from its end, so that its order stays.
  for (size_t i = entries.size(); i-- > 0;) {
    const MigrationEntry& entry = entries[i];
    GetPage(machine, pfn);
    SetPte(machine, entry.mm, entry.page, entry.bits | pfn);
    PageAddRmap(machine, pfn, entry.mm, entry.page, /*huge=*/false);
    if (VmaOf(machine, entry.mm, entry.page).Is(kVmLocked) &&
        !machine.Has(Defect::kMigrateDropsMlocked)) {
      MlockVmaPage(machine, pfn);
    }
  }
}

// migrate_page_copy: PG_mlocked is gone from the old page by now.
void CopyPage(Machine& machine, Pfn from, Pfn to) {
  constexpr uint16_t kCopied =
      kPageActive | kPageUnevictable | kPageAnon | kPageSwapBacked | kPageDirty;
  machine.Touch(from);
  machine.Touch(to);
  machine.page(to).Set(machine.page(from).flags & kCopied);
  machine.page(from).Clear(kPageActive | kPageUnevictable | kPageDirty);
}

}  // namespace

bool MigratePage(Machine& machine, Pfn pfn) {
  LruAddDrainAll(machine);
  // secretmem_migrate_folio: pages that only their owner may see stay.
  const Page& moving = machine.page(pfn);
  if (moving.mapping != 0 &&
      machine.objects[moving.mapping].kind == Object::Kind::kSecret) {
    return false;
  }
  if (machine.locked_page == pfn || machine.page(pfn).compound() ||
      !IsolateLruPage(machine, pfn)) {
    return false;
  }
  Pfn target = AllocPage(machine);
  if (target == 0) {
    PutbackLruPage(machine, pfn);
    return false;
  }
  std::vector<MigrationEntry> entries = Unmap(machine, pfn);
  const Page& old = machine.page(pfn);
  bool pinned = old.refcount != (old.mapping != 0 ? 2 : 1);
  if (pinned) {
    Remap(machine, pfn, entries);
    PutbackLruPage(machine, pfn);
    PutPage(machine, target);
    return false;
  }
  CopyPage(machine, pfn, target);
  if (old.mapping != 0) {
    ReplaceObjectPage(machine, old.mapping, old.index, target);
  }
  Remap(machine, target, entries);
  PutPage(machine, pfn);  // the isolation: the last reference
  PutbackLruPage(machine, target);
  return true;
}

}  // namespace lockstep::reference
