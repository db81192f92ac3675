// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Page frames: struct page as far as mlock and reclaim look at it.

#ifndef LOCKSTEP_ENGINE_REFERENCE_PAGE_H_
#define LOCKSTEP_ENGINE_REFERENCE_PAGE_H_

#include <cstdint>

#include "engine/units.h"

namespace lockstep::reference {

enum PageFlag : uint16_t {
  kPageLru = 1 << 0,  // on one of the LRU lists
  kPageActive = 1 << 1,
  kPageUnevictable = 1 << 2,
  kPageMlocked = 1 << 3,
  kPageHead = 1 << 4,  // first page of a compound page
  kPageTail = 1 << 5,
  kPageAnon = 1 << 6,
  kPageSwapBacked = 1 << 7,  // anonymous or shmem
  kPageDirty = 1 << 8,
  kPageDoubleMap = 1 << 9,  // a compound page mapped by a PMD and by PTEs
  kPageHugetlb = 1 << 10,
  kPageDriver = 1 << 11,  // a driver's page: never on an LRU list
  // Held off the LRU by someone else (Op::kIsolate); one reference is theirs.
  kPageIsolated = 1 << 12,
  kPageInBatch = 1 << 13,  // in a CPU's LRU-add batch, which has a reference
  kPageFree = 1 << 14,
};

// enum lru_list, and "on no list".
enum Lru : uint8_t {
  kInactiveAnon,
  kActiveAnon,
  kInactiveFile,
  kActiveFile,
  kUnevictable,
  kNoLru,
};
inline constexpr int kLruLists = kNoLru;

using ObjectId = uint32_t;  // a backing object; 0 is none

struct Page {
  Pfn next = 0;  // on its LRU list; 0 ends it, the zero page is on none
  Pfn prev = 0;
  uint16_t flags = 0;
  uint8_t zone = 0;
  Lru lru = kNoLru;
  int32_t mapcount = 0;      // PTEs that map this very page
  int32_t pmd_mapcount = 0;  // PMDs that map the compound page (head only)
  // References of a page that is not a tail: one a mapping, and one each for
  // the page cache, the LRU-add batch, an isolation and a pin.
  int32_t refcount = 0;
  ObjectId mapping = 0;  // of page cache pages
  uint64_t index = 0;    // in pages, within the mapping
  uint32_t rmap = 0;     // first node of the chain of mappings; 0 is none
  Pfn head = 0;          // the compound page's first page; itself otherwise
  uint32_t touched = 0;  // the step that last changed it (the journal)

  bool Is(uint16_t any_of) const { return (flags & any_of) != 0; }
  void Set(uint16_t bits) { flags = static_cast<uint16_t>(flags | bits); }
  void Clear(uint16_t bits) { flags = static_cast<uint16_t>(flags & ~bits); }
  bool compound() const { return Is(kPageHead | kPageTail); }
};

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_PAGE_H_
