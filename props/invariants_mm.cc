// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/invariants_mm.h"

#include <bit>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace lockstep {

using reference::Mm;
using reference::Table;
using reference::TableRef;
using reference::Vma;

namespace {

bool Fail(Mismatch* mismatch, std::string expected, std::string seen) {
  *mismatch = {std::move(expected), std::move(seen)};
  return false;
}

std::string Where(Vpn page) { return absl::StrFormat("%#x", AddressOf(page)); }

// One table's entries against the VMAs. Looks at the first and the last entry
// and lets the others be: what lies between them is in the same VMA or found
// when its page is touched.
bool TableHolds(const InvariantContext& context, const Mm& mm,
                const TableRef& ref, Mismatch* mismatch) {
  const reference::Machine& machine = context.machine;
  const Table& table = machine.tables[ref.table];
  Vpn start{ref.index << machine.order};
  if (table.huge != 0) {
    const Vma* vma = mm.VmaAt(start);
    Vpn end = start + Pages{machine.huge_pages};
    if (vma == nullptr || vma->end < end || table.entries != 0) {
      return Fail(mismatch, "a huge PMD within one VMA, without PTEs",
                  absl::StrCat("the PMD at ", Where(start), " with ",
                               table.entries, " PTEs"));
    }
    return true;
  }
  uint32_t entries = 0;
  for (uint32_t word = 0; word * 64 < machine.huge_pages; ++word) {
    uint64_t bits = table.bitmap[word];
    if (bits == 0) continue;
    entries += static_cast<uint32_t>(std::popcount(bits));
    uint32_t low = word * 64 + static_cast<uint32_t>(std::countr_zero(bits));
    uint32_t high =
        word * 64 + 63 - static_cast<uint32_t>(std::countl_zero(bits));
    for (uint32_t offset : {low, high}) {
      Vpn at = start + Pages{offset};
      if (mm.VmaAt(at) == nullptr) {
        return Fail(mismatch, "entries only inside VMAs",
                    absl::StrCat("an entry at ", Where(at)));
      }
    }
  }
  if (entries != table.entries || entries == 0) {
    return Fail(
        mismatch, absl::StrCat(entries, " entries, not none"),
        absl::StrCat(table.entries, " counted in the table at ", Where(start)));
  }
  return true;
}

}  // namespace

bool LockedVmHolds(const InvariantContext& context, int mm,
                   Mismatch* mismatch) {
  const Mm& space = context.machine.mms[mm];
  Pages locked;
  for (const Vma& vma : space.vmas) {
    if (vma.Is(reference::kVmLocked)) locked += vma.pages();
  }
  if (locked == space.locked_vm) return true;
  return Fail(
      mismatch, absl::StrCat("locked_vm ", locked.n),
      absl::StrCat("locked_vm ", static_cast<int64_t>(space.locked_vm.n)));
}

bool PageTablesHold(const InvariantContext& context, int mm,
                    Mismatch* mismatch) {
  const Mm& space = context.machine.mms[mm];
  for (const TableRef& ref : space.tables) {
    if (!TableHolds(context, space, ref, mismatch)) return false;
  }
  return true;
}

}  // namespace lockstep
