// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/object.h"

#include <algorithm>

#include "engine/check.h"
#include "engine/reference/fault.h"
#include "engine/reference/lru.h"
#include "engine/reference/page_alloc.h"
#include "engine/reference/page_table.h"

namespace lockstep::reference {
namespace {

using Cache = std::vector<std::pair<uint64_t, Pfn>>;

template <typename C>
auto LowerBound(C& cache, uint64_t index) {
  return std::lower_bound(
      cache.begin(), cache.end(), index,
      [](const auto& entry, uint64_t wanted) { return entry.first < wanted; });
}

// Drops the cache's pages in [first, end).
void DropPages(Machine& machine, Object& object, uint64_t first, uint64_t end) {
  auto from = LowerBound(object.cache, first);
  auto to = from;
  for (; to != object.cache.end() && to->first < end; ++to) {
    machine.Touch(to->second);
    machine.page(to->second).mapping = 0;
    PutPage(machine, to->second);
  }
  object.cache.erase(from, to);
}

// Unmaps [start, end) of a VMA of the object, private copies only if even_cows.
void UnmapFromVma(Machine& machine, int mm, const Vma& vma, Vpn start, Vpn end,
                  bool even_cows) {
  Pages size = vma.Is(kVmHugetlb) ? TableSpan(machine) : Pages{1};
  for (Vpn at = start; auto entry = NextEntry(machine, mm, at, end);) {
    at = entry->page + Pages{1};
    if ((entry->raw & kPteGuard) != 0) continue;
    bool anon = PfnOf(entry->raw) != 0 && (entry->raw & kPtePresent) != 0 &&
                machine.page(PfnOf(entry->raw)).Is(kPageAnon);
    if (anon && !even_cows) continue;
    ZapRange(machine, mm, entry->page, entry->page + size);
  }
}

}  // namespace

ObjectId NewObject(Machine& machine, Object::Kind kind, uint64_t size) {
  ObjectId id = 1;
  while (id < machine.object_end &&
         machine.objects[id].kind != Object::Kind::kFree) {
    ++id;
  }
  if (id == machine.object_end) {
    ++machine.object_end;
    if (machine.objects.size() < machine.object_end) {
      machine.objects.resize(machine.object_end);
    }
  }
  Object& object = machine.objects[id];
  object.cache.clear();
  Cache cache = std::move(object.cache);  // keep its memory
  object = Object();
  object.cache = std::move(cache);
  object.kind = kind;
  object.size = size;
  object.references = 1;
  return id;
}

void GetObject(Machine& machine, ObjectId object) {
  ++machine.objects[object].references;
}

void PutObject(Machine& machine, ObjectId id) {
  Object& object = machine.objects[id];
  LOCKSTEP_CHECK(object.references > 0);
  if (--object.references > 0) return;
  object.unevictable = false;
  DropPages(machine, object, 0, ~uint64_t{0});
  machine.hugetlb_reserved -= object.reserved.size();
  object.kind = Object::Kind::kFree;
}

uint64_t ObjectPages(const Machine& machine, ObjectId object) {
  uint64_t size = machine.objects[object].size;
  return (size >> kPageShift) + (OffsetInPage(size) != 0 ? 1 : 0);
}

Pfn FindObjectPage(const Machine& machine, ObjectId object, uint64_t index) {
  const Cache& cache = machine.objects[object].cache;
  auto it = LowerBound(cache, index);
  return it != cache.end() && it->first == index ? it->second : 0;
}

Pfn FindOrAddObjectPage(Machine& machine, ObjectId id, uint64_t index) {
  Object& object = machine.objects[id];
  auto it = LowerBound(object.cache, index);
  if (it != object.cache.end() && it->first == index) return it->second;
  Pfn pfn = AllocPage(machine);
  if (pfn == 0) return 0;
  object.cache.insert(it, {index, pfn});
  Page& page = machine.page(pfn);
  page.mapping = id;
  page.index = index;
  if (object.kind == Object::Kind::kDriver) {
    page.Set(kPageDriver);
    return pfn;
  }
  if (object.kind == Object::Kind::kShmem) page.Set(kPageSwapBacked);
  LruCacheAdd(machine, pfn);
  return pfn;
}

void ReplaceObjectPage(Machine& machine, ObjectId object, uint64_t index,
                       Pfn pfn) {
  auto it = LowerBound(machine.objects[object].cache, index);
  GetPage(machine, pfn);
  machine.page(pfn).mapping = object;
  machine.page(pfn).index = index;
  machine.page(it->second).mapping = 0;
  PutPage(machine, it->second);
  it->second = pfn;
}

void RemoveObjectPage(Machine& machine, ObjectId id, uint64_t index) {
  DropPages(machine, machine.objects[id], index, index + 1);
}

void UnmapObject(Machine& machine, ObjectId object, uint64_t first,
                 uint64_t end, bool even_cows) {
  for (int mm = 0; mm < kTaskSlots; ++mm) {
    if (machine.mms[mm].users == 0) continue;
    // By index: unmapping changes no VMA.
    for (size_t i = 0; i < machine.mms[mm].vmas.size(); ++i) {
      const Vma& vma = machine.mms[mm].vmas[i];
      if (vma.object != object) continue;
      uint64_t vma_end = vma.pgoff + vma.pages().n;
      uint64_t from = std::max(first, vma.pgoff);
      uint64_t to = std::min(end, vma_end);
      if (from >= to) continue;
      UnmapFromVma(machine, mm, vma, vma.start + Pages{from - vma.pgoff},
                   vma.start + Pages{to - vma.pgoff}, even_cows);
    }
  }
}

void TruncateObject(Machine& machine, ObjectId object, uint64_t first,
                    uint64_t end, bool even_cows) {
  UnmapObject(machine, object, first, end, even_cows);
  DropPages(machine, machine.objects[object], first, end);
}

}  // namespace lockstep::reference
