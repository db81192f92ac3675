// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/invariants_mm.h"

#include <bit>
#include <string>
#include <utility>

#include "absl/base/attributes.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace lockstep {

using reference::Mm;
using reference::Table;
using reference::TableRef;
using reference::Vma;

namespace {

// Failures are built apart, for AddressSpaceHolds to be small.
ABSL_ATTRIBUTE_NOINLINE bool Fail(Mismatch* mismatch, std::string expected,
                                  std::string seen) {
  *mismatch = {std::move(expected), std::move(seen)};
  return false;
}

std::string Where(Vpn page) { return absl::StrFormat("%#x", AddressOf(page)); }

ABSL_ATTRIBUTE_NOINLINE bool FailHuge(Mismatch* mismatch, Vpn start,
                                      uint32_t entries) {
  return Fail(
      mismatch, "a huge PMD within one VMA, without PTEs",
      absl::StrCat("the PMD at ", Where(start), " with ", entries, " PTEs"));
}

ABSL_ATTRIBUTE_NOINLINE bool FailOutside(Mismatch* mismatch, Vpn at) {
  return Fail(mismatch, "entries only inside VMAs",
              absl::StrCat("an entry at ", Where(at)));
}

ABSL_ATTRIBUTE_NOINLINE bool FailEntries(Mismatch* mismatch, Vpn start,
                                         uint32_t entries, uint32_t kept) {
  return Fail(mismatch, absl::StrCat(entries, " entries, not none"),
              absl::StrCat(kept, " counted in the table at ", Where(start)));
}

ABSL_ATTRIBUTE_NOINLINE bool FailLocked(Mismatch* mismatch, Pages locked,
                                        Pages kept) {
  return Fail(mismatch, absl::StrCat("locked_vm ", locked.n),
              absl::StrCat("locked_vm ", static_cast<int64_t>(kept.n)));
}

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
      return FailHuge(mismatch, start, table.entries);
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
    Vpn first = start + Pages{low}, last = start + Pages{high};
    const Vma* vma = mm.VmaAt(first);
    if (vma == nullptr) return FailOutside(mismatch, first);
    // Mostly both are in one VMA, and it need not be searched for again.
    if (last >= vma->end && mm.VmaAt(last) == nullptr) {
      return FailOutside(mismatch, last);
    }
  }
  if (entries != table.entries || entries == 0) {
    return FailEntries(mismatch, start, entries, table.entries);
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
  return locked == space.locked_vm ||
         FailLocked(mismatch, locked, space.locked_vm);
}

bool PageTablesHold(const InvariantContext& context, int mm,
                    Mismatch* mismatch) {
  const Mm& space = context.machine.mms[mm];
  for (const TableRef& ref : space.tables) {
    if (!TableHolds(context, space, ref, mismatch)) return false;
  }
  return true;
}

[[gnu::flatten]] bool AddressSpaceHolds(const InvariantContext& context, int mm,
                                        Mismatch* mismatch) {
  return LockedVmHolds(context, mm, mismatch) &&
         PageTablesHold(context, mm, mismatch);
}

}  // namespace lockstep
