// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/invariants.h"

#include <algorithm>
#include <bit>

#include "props/invariants_machine.h"
#include "props/invariants_mm.h"
#include "props/invariants_page.h"

namespace lockstep {

using reference::Machine;
using reference::Page;

namespace {

FrameShare ShareOf(const Machine& machine, Pfn pfn) {
  const Page& page = machine.page(pfn);
  FrameShare share;
  if (page.Is(reference::kPageFree)) return share;
  share.zone = page.zone;
  share.lru = page.lru;
  if (page.Is(reference::kPageTail)) return share;
  if (page.Is(reference::kPageMlocked)) share.mlocked = machine.SizeOf(pfn);
  if (!page.Is(reference::kPageHugetlb)) share.used = machine.SizeOf(pfn);
  return share;
}

int LruvecIndex(const Machine& machine, uint8_t zone) {
  return machine.Has(Behaviour::kLruPerNode) ? zone / 2 : zone;
}

}  // namespace

void Recount::Clear() {
  shares.clear();
  mlocked = {};
  lru = {};
  used = 0;
}

void Recount::Update(const Machine& machine, Pfn pfn) {
  if (shares.size() <= pfn) {
    shares.resize(std::max<size_t>(pfn + 1, 2 * shares.size()));
  }
  FrameShare& share = shares[pfn];
  FrameShare now = ShareOf(machine, pfn);
  if (now == share) return;
  mlocked[share.zone] -= share.mlocked;
  used -= share.used;
  if (share.lru != reference::kNoLru) {
    --lru[LruvecIndex(machine, share.zone)][share.lru];
  }
  mlocked[now.zone] += now.mlocked;
  used += now.used;
  if (now.lru != reference::kNoLru) {
    ++lru[LruvecIndex(machine, now.zone)][now.lru];
  }
  share = now;
}

absl::Span<const Invariant> AllInvariants() {
  static constexpr Invariant kInvariants[] = {
      {.name = "locked-vm",
       .statement = "locked_vm is the sum of the pages of VM_LOCKED VMAs",
       .source = "mlock_fixup, mmap_region, do_munmap; semantics 2.4 law 1",
       .mm = LockedVmHolds},
      {.name = "page-tables",
       .statement = "page tables hold entries only inside VMAs, and a huge PMD "
                    "lies wholly in one",
       .source = "unmap_region, vma_adjust_trans_huge",
       .mm = PageTablesHold},
      {.name = "nr-mlock",
       .statement = "NR_MLOCK of each zone is the number of its Mlocked pages",
       .source = "mlock_vma_page, munlock_vma_page, __munlock_pagevec, "
                 "clear_page_mlock; semantics 2.4 law 4",
       .machine = NrMlockHolds},
      {.name = "unevictable-event-law",
       .statement = "NR_MLOCK is PGMLOCKED less PGMUNLOCKED, PGSTRANDED, "
                    "PGCLEARED and the pages locked again by munlock",
       .source = "count_vm_event in mm/mlock.c; semantics 2.4",
       .machine = EventLawHolds},
      {.name = "lru-membership",
       .statement =
           "a page is on the list that its flags say, on that one only, "
           "or in a batch, or nowhere",
       .source = "page_lru, putback_lru_page, __pagevec_lru_add_fn",
       .page = LruMembershipHolds},
      {.name = "lru-size",
       .statement = "an LRU list is as long as there are pages on it",
       .source = "add_page_to_lru_list, del_page_from_lru_list",
       .machine = LruSizeHolds},
      {.name = "unevictable-stranded",
       .statement = "no page that could be evicted is on the unevictable list",
       .source = "putback_lru_page, page_evictable",
       .page = NotStranded},
      {.name = "mlocked-has-locker",
       .statement = "an Mlocked page is mapped in a VM_LOCKED VMA",
       .source = "munlock_vma_pages_range, page_remove_rmap, do_wp_page, "
                 "do_huge_pmd_wp_page",
       .page = MlockedHasLocker},
      {.name = "munlock-keeps-other-lockers",
       .statement = "munlock and unmapping leave a page Mlocked that another "
                    "VM_LOCKED VMA maps, if they could isolate it",
       .source = "try_to_munlock",
       .page = MunlockKeepsOtherLockers},
      {.name = "page-mapcount",
       .statement =
           "a page's mapcount is the number of entries that map it, and "
           "the reverse map finds each of them",
       .source = "page_add_*_rmap, page_remove_rmap",
       .page = MapcountHolds},
      {.name = "page-refcount",
       .statement =
           "a page has one reference for each mapping, and one each for "
           "cache, batch and isolation",
       .source = "get_page, put_page",
       .page = RefcountHolds},
      {.name = "locked-never-reclaimed",
       .statement = "reclaim takes no page out of a VM_LOCKED VMA",
       .source = "try_to_unmap_one, page_referenced_one",
       .machine = LockedNeverReclaimed},
      {.name = "bad-page-state",
       .statement = "no page is freed with PG_mlocked set",
       .source = "free_pages_check",
       .machine = NoBadPageState},
      {.name = "shm-charge",
       .statement = "a user is charged for the pages of the segments it has "
                    "locked by SHM_LOCK",
       .source = "user_shm_lock, user_shm_unlock; semantics 2.4 law 5",
       .machine = ShmChargeHolds},
      {.name = "frame-count",
       .statement = "every frame is free or in use, and none is left when the "
                    "last task is gone, but for caches and isolated pages",
       .source = "mm/page_alloc.c; exit_mmap",
       .machine = FrameCountHolds},
      {.name = "hugetlb-reserve",
       .statement = "the pool of huge pages has promised what mappings and "
                    "segments have reserved and not touched",
       .source = "hugetlb_reserve_pages, hugetlb_vm_op_close; "
                 "hugetlbfs_reserv.rst",
       .machine = HugetlbReserveHolds},
  };
  return kInvariants;
}

namespace {

// The rows of the table by what they look at, in its order.
struct Rows {
  std::vector<const Invariant*> page, mm, machine;
};
const Rows& RowsByScope() {
  static const Rows& rows = *[] {
    auto* sorted = new Rows();
    for (const Invariant& row : AllInvariants()) {
      if (row.page != nullptr) sorted->page.push_back(&row);
      if (row.mm != nullptr) sorted->mm.push_back(&row);
      if (row.machine != nullptr) sorted->machine.push_back(&row);
    }
    return sorted;
  }();
  return rows;
}

const Invariant* CheckPages(const InvariantContext& context,
                            absl::Span<const Pfn> pages, Mismatch* mismatch) {
  for (const Invariant* row : RowsByScope().page) {
    for (Pfn pfn : pages) {
      if (!row->page(context, pfn, mismatch)) return row;
    }
  }
  return nullptr;
}

const Invariant* CheckMms(const InvariantContext& context, uint32_t mms,
                          Mismatch* mismatch) {
  for (; mms != 0; mms &= mms - 1) {
    int mm = std::countr_zero(mms);
    if (context.machine.mms[mm].users == 0) continue;
    for (const Invariant* row : RowsByScope().mm) {
      if (!row->mm(context, mm, mismatch)) return row;
    }
  }
  return nullptr;
}

const Invariant* CheckMachine(const InvariantContext& context,
                              Mismatch* mismatch) {
  for (const Invariant* row : RowsByScope().machine) {
    if (!row->machine(context, mismatch)) return row;
  }
  return nullptr;
}

// The same by scope and without the rows: nearly always everything holds, and
// only when something does not are the rows asked which one it is. (CheckAll
// asks the rows alone, so that the two are held against each other.)
bool MmsHold(const InvariantContext& context, uint32_t mms,
             Mismatch* mismatch) {
  for (; mms != 0; mms &= mms - 1) {
    int mm = std::countr_zero(mms);
    if (context.machine.mms[mm].users != 0 &&
        !AddressSpaceHolds(context, mm, mismatch)) {
      return false;
    }
  }
  return true;
}

bool PagesHold(const InvariantContext& context, absl::Span<const Pfn> pages,
               Mismatch* mismatch) {
  for (Pfn pfn : pages) {
    if (!PageHolds(context, pfn, mismatch)) return false;
  }
  return true;
}

}  // namespace

// Calls that change the charge of segments without touching a page.
constexpr uint64_t kShmOps = OpBit(Op::kShmget) | OpBit(Op::kShmctl);

void InvariantChecker::Start(const Machine& machine) {
  recount_.Clear();
  for (Pfn pfn = 1; pfn < machine.frame_end; ++pfn) {
    recount_.Update(machine, pfn);
  }
}

// NR_MLOCK before what follows from it: of two failures the sums' may be the
// one to name.
const Invariant* InvariantChecker::FirstWithSums(
    const InvariantContext& context, const Invariant* failed,
    Mismatch* mismatch) {
  const Invariant* row = CheckMachine(context, &sums_);
  if (row == nullptr || (failed != nullptr && row >= failed)) return failed;
  *mismatch = sums_;
  return row;
}

const Invariant* InvariantChecker::CheckTouched(const Machine& machine,
                                                Mismatch* mismatch) {
  const uint32_t mms = machine.touched_mms | machine.touched_tables;
  // Most steps fail or find done what they ask for.
  if (mms == 0 && machine.touched_pages.empty() &&
      (kShmOps & OpBit(machine.step->op)) == 0) {
    return nullptr;
  }
  return CheckTouchedParts(machine, mms, mismatch);
}

const Invariant* InvariantChecker::CheckTouchedParts(const Machine& machine,
                                                     uint32_t mms,
                                                     Mismatch* mismatch) {
  InvariantContext context{machine, machine.step, recount_};
  const Invariant* failed = nullptr;
  if (!MmsHold(context, mms, mismatch)) {
    failed = CheckMms(context, mms, mismatch);
  } else if (!PagesHold(context, machine.touched_pages, mismatch)) {
    failed = CheckPages(context, machine.touched_pages, mismatch);
  }
  for (Pfn pfn : machine.touched_pages) recount_.Update(machine, pfn);
  // No sum changes without a page: a counter that went wrong alone is seen when
  // the next page is touched.
  if (machine.touched_pages.empty() && machine.touched_mms == 0 &&
      (kShmOps & OpBit(machine.step->op)) == 0) {
    return failed;
  }
  if (SumsHold(context, &sums_)) return failed;
  return FirstWithSums(context, failed, mismatch);
}

const Invariant* InvariantChecker::CheckAll(const Machine& machine,
                                            Mismatch* mismatch) {
  InvariantContext context{machine, machine.step, recount_};
  const Invariant* failed = CheckMms(context, (1u << kTaskSlots) - 1, mismatch);
  if (failed == nullptr) {
    std::vector<Pfn> pages;
    for (Pfn pfn = 1; pfn < machine.frame_end; ++pfn) pages.push_back(pfn);
    failed = CheckPages(context, pages, mismatch);
  }
  recount_.Clear();
  for (Pfn pfn = 1; pfn < machine.frame_end; ++pfn) {
    recount_.Update(machine, pfn);
  }
  return FirstWithSums(context, failed, mismatch);
}

}  // namespace lockstep
