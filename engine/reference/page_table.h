// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Page tables. A table of 2^order entries is the unit that a huge page can
// take the place of; only tables with an entry exist.

#ifndef LOCKSTEP_ENGINE_REFERENCE_PAGE_TABLE_H_
#define LOCKSTEP_ENGINE_REFERENCE_PAGE_TABLE_H_

#include <optional>

#include "engine/reference/machine.h"

namespace lockstep::reference {

// Pages of one table, and the first page of the table that a page is in.
inline Pages TableSpan(const Machine& machine) {
  return {uint64_t{1} << machine.order};
}
inline Vpn TableStart(const Machine& machine, Vpn page) {
  return {page.n >> machine.order << machine.order};
}
// pmd_addr_end: where the table of the page ends, or end if that is nearer.
inline Vpn TableEnd(const Machine& machine, Vpn page, Vpn end) {
  Vpn next = TableStart(machine, page) + TableSpan(machine);
  return next < end ? next : end;
}

inline uint32_t OffsetInTable(const Machine& machine, Vpn page) {
  return static_cast<uint32_t>(page.n) & (machine.huge_pages - 1);
}

// FindTable where it is not the one that was looked up last.
const Table* FindOtherTable(const Machine& machine, int mm, uint64_t index);

// The table of the page; nullptr if there is none. Any allocation of a table
// may move it.
inline const Table* FindTable(const Machine& machine, int mm, Vpn page) {
  const TableRef& last = machine.mms[mm].last_table;
  uint64_t index = page.n >> machine.order;
  return last.index == index ? &machine.tables[last.table]
                             : FindOtherTable(machine, mm, index);
}
inline Table* FindTable(Machine& machine, int mm, Vpn page) {
  return const_cast<Table*>(
      FindTable(static_cast<const Machine&>(machine), mm, page));
}
Table& FindOrAddTable(Machine& machine, int mm, Vpn page);

// The raw PTE of a page of the table; 0 if there is none.
inline uint32_t PteIn(const Machine& machine, const Table& table, Vpn page) {
  uint32_t offset = OffsetInTable(machine, page);
  if ((table.bitmap[offset / 64] >> (offset % 64) & 1) == 0) return 0;
  auto index = static_cast<uint64_t>(&table - machine.tables.data());
  return machine.ptes[(index << machine.order) + offset];
}
// The raw PTE of the page; 0 if there is none or a huge PMD is there.
inline uint32_t GetPte(const Machine& machine, int mm, Vpn page) {
  const Table* table = FindTable(machine, mm, page);
  return table == nullptr ? 0 : PteIn(machine, *table, page);
}
// The raw huge PMD that maps the page; 0 if there is none.
inline uint32_t GetHugePmd(const Machine& machine, int mm, Vpn page) {
  const Table* table = FindTable(machine, mm, page);
  return table == nullptr ? 0 : table->huge;
}
// Sets the PTE, adding the table. REQUIRES: pte != 0, no huge PMD there.
void SetPte(Machine& machine, int mm, Vpn page, uint32_t pte);
// REQUIRES: there is a PTE.
void ClearPte(Machine& machine, int mm, Vpn page);
// REQUIRES: the table has no PTEs.
void SetHugePmd(Machine& machine, int mm, Vpn page, uint32_t pmd);
void ClearHugePmd(Machine& machine, int mm, Vpn page);

// One entry of an address space: a PTE, or a huge PMD that covers a table.
struct Entry {
  Vpn page;
  uint32_t raw;
  bool huge;
};
// The first entry at or above `page` and below `end`. A huge PMD that starts
// below `page` but covers it counts, with its own start.
std::optional<Entry> NextEntry(const Machine& machine, int mm, Vpn page,
                               Vpn end);

// How many pages from `page` on, at most to the end of its table, are present.
Pages PresentRun(const Machine& machine, int mm, Vpn page, Vpn end);

// What is mapped at a page, by PTE or PMD.
struct Mapping {
  bool present = false;
  bool huge = false;
  bool write = false;
  Pfn pfn = 0;  // the very page: tails of a compound page count as themselves
};
inline Mapping Lookup(const Machine& machine, int mm, Vpn page) {
  const Table* table = FindTable(machine, mm, page);
  if (table == nullptr) return {};
  if (table->huge != 0) {
    return {true, true, (table->huge & kPteWrite) != 0,
            PfnOf(table->huge) + OffsetInTable(machine, page)};
  }
  uint32_t pte = PteIn(machine, *table, page);
  if ((pte & kPtePresent) == 0) return {};
  return {true, false, (pte & kPteWrite) != 0, PfnOf(pte)};
}

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_PAGE_TABLE_H_
