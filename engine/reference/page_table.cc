// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/page_table.h"

#include <algorithm>
#include <bit>

#include "engine/check.h"

namespace lockstep::reference {
namespace {

using Tables = std::vector<TableRef>;

Tables::const_iterator LowerBound(const Tables& tables, uint64_t index) {
  return std::lower_bound(
      tables.begin(), tables.end(), index,
      [](const TableRef& ref, uint64_t wanted) { return ref.index < wanted; });
}

uint32_t* PteSlot(Machine& machine, uint32_t table, uint32_t offset) {
  return &machine.ptes[(uint64_t{table} << machine.order) + offset];
}

void RemoveTable(Machine& machine, int mm, Vpn page) {
  Tables& tables = machine.mms[mm].tables;
  auto it = LowerBound(tables, page.n >> machine.order);
  machine.free_tables.push_back(it->table);
  tables.erase(it);
  machine.mms[mm].last_table = kNoTable;
}

}  // namespace

const Table* FindOtherTable(const Machine& machine, int mm, uint64_t index) {
  const Mm& space = machine.mms[mm];
  auto it = LowerBound(space.tables, index);
  if (it == space.tables.end() || it->index != index) return nullptr;
  space.last_table = *it;
  return &machine.tables[it->table];
}

Table& FindOrAddTable(Machine& machine, int mm, Vpn page) {
  Table* found = FindTable(machine, mm, page);
  if (found != nullptr) return *found;
  uint32_t table;
  if (!machine.free_tables.empty()) {
    table = machine.free_tables.back();
    machine.free_tables.pop_back();
  } else {
    table = machine.table_end++;
    if (machine.tables.size() < machine.table_end) {
      machine.tables.resize(std::max<size_t>(64, machine.tables.size() * 2));
    }
    size_t needed = uint64_t{machine.table_end} << machine.order;
    if (machine.ptes.size() < needed) machine.ptes.resize(2 * needed);
  }
  machine.tables[table] = Table();
  const TableRef ref{page.n >> machine.order, table};
  Tables& tables = machine.mms[mm].tables;
  tables.insert(LowerBound(tables, ref.index), ref);
  machine.mms[mm].last_table = ref;
  return machine.tables[table];
}

void SetPte(Machine& machine, int mm, Vpn page, uint32_t pte) {
  Table& table = FindOrAddTable(machine, mm, page);
  LOCKSTEP_CHECK(pte != 0 && table.huge == 0);
  uint32_t offset = OffsetInTable(machine, page);
  uint64_t bit = uint64_t{1} << (offset % 64);
  if ((table.bitmap[offset / 64] & bit) == 0) {
    table.bitmap[offset / 64] |= bit;
    ++table.entries;
    ++machine.pte_entries;
  }
  auto index = static_cast<uint32_t>(&table - machine.tables.data());
  *PteSlot(machine, index, offset) = pte;
}

void ClearPte(Machine& machine, int mm, Vpn page) {
  Table* table = FindTable(machine, mm, page);
  LOCKSTEP_CHECK(table != nullptr);
  uint32_t offset = OffsetInTable(machine, page);
  uint64_t bit = uint64_t{1} << (offset % 64);
  LOCKSTEP_CHECK((table->bitmap[offset / 64] & bit) != 0);
  table->bitmap[offset / 64] &= ~bit;
  --machine.pte_entries;
  if (--table->entries == 0) RemoveTable(machine, mm, page);
}

void SetHugePmd(Machine& machine, int mm, Vpn page, uint32_t pmd) {
  Table& table = FindOrAddTable(machine, mm, page);
  LOCKSTEP_CHECK(pmd != 0 && table.entries == 0);
  table.huge = pmd;
}

void ClearHugePmd(Machine& machine, int mm, Vpn page) {
  Table* table = FindTable(machine, mm, page);
  LOCKSTEP_CHECK(table != nullptr && table->huge != 0);
  table->huge = 0;
  RemoveTable(machine, mm, page);
}

std::optional<Entry> NextEntry(const Machine& machine, int mm, Vpn page,
                               Vpn end) {
  const Tables& tables = machine.mms[mm].tables;
  uint64_t first = page.n >> machine.order;
  for (auto it = LowerBound(tables, first); it != tables.end(); ++it) {
    Vpn start{it->index << machine.order};
    if (start >= end) break;
    const Table& table = machine.tables[it->table];
    if (table.huge != 0) return Entry{start, table.huge, true};
    uint32_t offset = it->index == first ? OffsetInTable(machine, page) : 0;
    for (uint32_t word = offset / 64; word * 64 < machine.huge_pages; ++word) {
      uint64_t bits = table.bitmap[word];
      if (word == offset / 64) bits &= ~uint64_t{0} << (offset % 64);
      if (bits == 0) continue;
      uint32_t found =
          word * 64 + static_cast<uint32_t>(std::countr_zero(bits));
      Vpn at = start + Pages{found};
      if (at >= end) return std::nullopt;
      return Entry{at,
                   machine.ptes[(uint64_t{it->table} << machine.order) + found],
                   false};
    }
  }
  return std::nullopt;
}

Pages PresentRun(const Machine& machine, int mm, Vpn page, Vpn end) {
  const Table* table = FindTable(machine, mm, page);
  if (table == nullptr) return {};
  Vpn stop = TableEnd(machine, page, end);
  if (table->huge != 0) return stop - page;
  Vpn at = page;
  while (at < stop && (PteIn(machine, *table, at) & kPtePresent) != 0) ++at;
  return at - page;
}

}  // namespace lockstep::reference
