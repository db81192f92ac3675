// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/invariants_page.h"

#include <string>
#include <utility>

#include "absl/base/attributes.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/reference/lru.h"
#include "engine/reference/page_table.h"

namespace lockstep {

using reference::Machine;
using reference::Page;
using reference::Pagevec;
using reference::RmapNode;
using reference::Vma;

namespace {

// Failures are built apart: a rule that holds, which is nearly every one, is
// then so small that PageHolds takes it in.
ABSL_ATTRIBUTE_NOINLINE bool Fail(Mismatch* mismatch, Pfn pfn,
                                  absl::string_view expected,
                                  const std::string& seen) {
  *mismatch = {std::string(expected), absl::StrCat("page ", pfn, ": ", seen)};
  return false;
}

std::string Flags(const Page& page) {
  return absl::StrFormat("flags %#x, list %d", page.flags, page.lru);
}

ABSL_ATTRIBUTE_NOINLINE bool FailFlags(Mismatch* mismatch, Pfn pfn,
                                       absl::string_view expected,
                                       const Page& page) {
  return Fail(mismatch, pfn, expected, Flags(page));
}

ABSL_ATTRIBUTE_NOINLINE bool FailList(Mismatch* mismatch, Pfn pfn,
                                      reference::Lru expected,
                                      const Page& page) {
  return Fail(mismatch, pfn, absl::StrCat("on list ", int{expected}),
              Flags(page));
}

ABSL_ATTRIBUTE_NOINLINE bool FailLocker(Mismatch* mismatch, Pfn pfn,
                                        const Page& page) {
  return Fail(mismatch, pfn, "Mlocked only with a VM_LOCKED VMA",
              absl::StrCat(Flags(page), ", mapped ", page.mapcount, " times"));
}

ABSL_ATTRIBUTE_NOINLINE bool FailRmap(Mismatch* mismatch, Pfn pfn,
                                      const RmapNode& mapping, Pfn there) {
  return Fail(mismatch, pfn, "mapped where the reverse map says",
              absl::StrFormat("mm %d at %#x has page %d", mapping.mm,
                              AddressOf(mapping.page), there));
}

ABSL_ATTRIBUTE_NOINLINE bool FailMapcount(Mismatch* mismatch, Pfn pfn,
                                          int by_pte, int by_pmd,
                                          const Page& page) {
  return Fail(
      mismatch, pfn, absl::StrCat(by_pte, " PTEs and ", by_pmd, " PMDs"),
      absl::StrCat("mapcount ", page.mapcount, " and ", page.pmd_mapcount));
}

ABSL_ATTRIBUTE_NOINLINE bool FailRefcount(Mismatch* mismatch, Pfn pfn,
                                          int expected, const Page& page) {
  return Fail(mismatch, pfn, absl::StrCat(expected, " references, not 0"),
              absl::StrCat(page.refcount));
}

bool InABatch(const Machine& machine, Pfn pfn) {
  for (const Pagevec& batch : machine.lru_add) {
    for (int i = 0; i < batch.count; ++i) {
      if (batch.pages[i] == pfn) return true;
    }
  }
  return false;
}

// Is the page mapped in some VM_LOCKED VMA, by an entry of its own?
bool HasLocker(const Machine& machine, Pfn pfn) {
  for (uint32_t node = machine.page(pfn).rmap; node != 0;
       node = machine.rmap[node].next) {
    const RmapNode& mapping = machine.rmap[node];
    const Vma* vma = machine.mms[mapping.mm].VmaAt(mapping.page);
    if (vma != nullptr && vma->Is(reference::kVmLocked)) return true;
  }
  return false;
}

// Calls that munlock pages of the address space they act on.
constexpr uint64_t kMunlockingOps =
    OpBit(Op::kMunlock) | OpBit(Op::kMunlockall) | OpBit(Op::kMunmap) |
    OpBit(Op::kExec) | OpBit(Op::kExit) | OpBit(Op::kShmdt);

}  // namespace

bool LruMembershipHolds(const InvariantContext& context, Pfn pfn,
                        Mismatch* mismatch) {
  const Machine& machine = context.machine;
  const Page& page = machine.page(pfn);
  bool listed = page.lru != reference::kNoLru;
  if (page.Is(reference::kPageFree | reference::kPageTail)) {
    if (!listed) return true;
    return FailFlags(mismatch, pfn, "no list for free pages and tails", page);
  }
  if (page.Is(reference::kPageLru) != listed) {
    return FailFlags(mismatch, pfn, "PG_lru just while on a list", page);
  }
  if (!listed) {
    if (page.Is(reference::kPageInBatch) == InABatch(machine, pfn)) return true;
    return FailFlags(mismatch, pfn, "in a batch as often as it says", page);
  }
  reference::Lru expected = page.Is(reference::kPageUnevictable)
                                ? reference::kUnevictable
                                : reference::EvictableLru(page);
  if (page.lru != expected) {
    return FailList(mismatch, pfn, expected, page);
  }
  int vec = machine.Has(Behaviour::kLruPerNode) ? page.zone / 2 : page.zone;
  const reference::LruList& list = machine.lruvecs[vec].lists[page.lru];
  Pfn to_here = page.prev != 0 ? machine.page(page.prev).next : list.first;
  Pfn back_here = page.next != 0 ? machine.page(page.next).prev : list.last;
  if (to_here != pfn || back_here != pfn) {
    return FailFlags(mismatch, pfn, "linked both ways in its list", page);
  }
  return true;
}

bool NotStranded(const InvariantContext& context, Pfn pfn, Mismatch* mismatch) {
  const Page& page = context.machine.page(pfn);
  if (page.lru != reference::kUnevictable ||
      !reference::PageEvictable(context.machine, pfn)) {
    return true;
  }
  return FailFlags(mismatch, pfn, "an evictable page on an evictable list",
                   page);
}

bool MlockedHasLocker(const InvariantContext& context, Pfn pfn,
                      Mismatch* mismatch) {
  const Page& page = context.machine.page(pfn);
  if (!page.Is(reference::kPageMlocked) || page.Is(reference::kPageTail)) {
    return true;
  }
  // One flag stands for all parts of a huge page.
  const Pfn end = pfn + context.machine.SizeOf(pfn);
  for (Pfn part = pfn; part < end; ++part) {
    if (HasLocker(context.machine, part)) return true;
  }
  return FailLocker(mismatch, pfn, page);
}

bool MunlockKeepsOtherLockers(const InvariantContext& context, Pfn pfn,
                              Mismatch* mismatch) {
  const Machine& machine = context.machine;
  const Page& page = machine.page(pfn);
  if (context.step == nullptr ||
      (kMunlockingOps & OpBit(context.step->op)) == 0) {
    return true;
  }
  if (page.Is(reference::kPageMlocked) || page.compound()) return true;
  if (pfn >= context.before.shares.size()) return true;
  const FrameShare& before = context.before.shares[pfn];
  // One that was on no list could not be isolated: then the walk is not made.
  if (before.mlocked != 1 || before.lru == reference::kNoLru) return true;
  for (const During& action : context.step->interleavings()) {
    // Others may have taken it off its list in between, or split or moved it.
    if (action.op != Op::kHoldMmapLock) return true;
  }
  if (!HasLocker(machine, pfn)) return true;
  return FailFlags(mismatch, pfn, "Mlocked while a VM_LOCKED VMA maps it",
                   page);
}

bool MapcountHolds(const InvariantContext& context, Pfn pfn,
                   Mismatch* mismatch) {
  const Machine& machine = context.machine;
  const Page& page = machine.page(pfn);
  if (page.Is(reference::kPageFree)) {
    if (page.rmap == 0) return true;
    return FailFlags(mismatch, pfn, "a free page is mapped nowhere", page);
  }
  int by_pte = 0, by_pmd = 0;
  for (uint32_t node = page.rmap; node != 0; node = machine.rmap[node].next) {
    const RmapNode& mapping = machine.rmap[node];
    ++(mapping.huge ? by_pmd : by_pte);
    reference::Mapping there =
        reference::Lookup(machine, mapping.mm, mapping.page);
    if (!there.present || there.pfn != pfn || there.huge != mapping.huge ||
        machine.mms[mapping.mm].VmaAt(mapping.page) == nullptr) {
      return FailRmap(mismatch, pfn, mapping, there.pfn);
    }
  }
  if (by_pte == page.mapcount && by_pmd == page.pmd_mapcount) return true;
  return FailMapcount(mismatch, pfn, by_pte, by_pmd, page);
}

bool RefcountHolds(const InvariantContext& context, Pfn pfn,
                   Mismatch* mismatch) {
  const Machine& machine = context.machine;
  const Page& page = machine.page(pfn);
  if (page.Is(reference::kPageFree)) return true;
  int expected = page.pmd_mapcount;
  if (page.Is(reference::kPageTail)) {
    expected = 0;
  } else {
    expected += page.mapcount;
    if (page.Is(reference::kPageHead)) {
      for (Pfn tail = pfn + 1; tail < pfn + machine.huge_pages; ++tail) {
        expected += machine.page(tail).mapcount;
      }
    }
    expected += page.mapping != 0 ? 1 : 0;
    expected += page.Is(reference::kPageInBatch) ? 1 : 0;
    expected += page.Is(reference::kPageIsolated) ? 1 : 0;
  }
  if (expected == page.refcount && (expected > 0 || page.compound())) {
    return true;
  }
  return FailRefcount(mismatch, pfn, expected, page);
}

// Called for every page that is touched: as one body the rules share what they
// load of the page.
[[gnu::flatten]] bool PageHolds(const InvariantContext& context, Pfn pfn,
                                Mismatch* mismatch) {
  return LruMembershipHolds(context, pfn, mismatch) &&
         NotStranded(context, pfn, mismatch) &&
         MlockedHasLocker(context, pfn, mismatch) &&
         MunlockKeepsOtherLockers(context, pfn, mismatch) &&
         MapcountHolds(context, pfn, mismatch) &&
         RefcountHolds(context, pfn, mismatch);
}

}  // namespace lockstep
