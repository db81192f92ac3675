// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/defect.h"

#include <iterator>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace lockstep {
namespace {

// Commits marked (?) are recalled, not looked up.
constexpr DefectInfo kDefects[] = {
    {Defect::kPagevecIsolationLeak, "D1", "pagevec-isolation-leak",
     "70feee0e1ef3 \"mlock: fix mlock count can not decrease in race "
     "condition\" (4.12, CVE-2017-18221)",
     "3.12 to 4.11",
     "A page whose flag the munlock pagevec cleared but that it could not "
     "isolate is counted as one to release, so NR_MLOCK is not reduced by it.",
     "nr-mlock"},
    {Defect::kThpSplitRace, "D2", "thp-split-race",
     "01cc2e58697e \"mm: munlock: fix potential race with THP page split\" "
     "(3.14)",
     "3.12 to 3.13",
     "munlock clears a huge page's flag and reads its size without the "
     "LRU lock; a split in between changes the size and copies the flag to "
     "the tails.",
     "nr-mlock"},
    {Defect::kOverlapDoubleCount, "D3", "overlap-double-count",
     "0cf2f6f6dc60 \"mm: mlock: check against vma for actual mlock() size\" "
     "(4.9)",
     "to 4.8",
     "mlock's limit check charges pages of the range that are locked already "
     "a second time.",
     "mlock-errno"},
    {Defect::kOnfaultDoubleCharge, "D4", "onfault-double-charge",
     "b155b4fde5bd \"mm: mlock: avoid increase mm->locked_vm on mlock() when "
     "already mlock2(,MLOCK_ONFAULT)\" (4.9)",
     "4.4 to 4.8",
     "Turning a lock-on-fault range into a plain lock adds its pages to "
     "locked_vm again.",
     "locked-vm"},
    {Defect::kOverlapIntOverflow, "D5", "overlap-int-overflow",
     "0874bb49bb21 \"mm/mlock.c: change count_mm_mlocked_page_nr return "
     "type\" (5.2)",
     "4.9 to 5.1; 4.9.y until after 4.9.178",
     "The bytes of the range that are locked already are summed in an int, "
     "which wraps at 2 GiB.",
     "mlock-errno"},
    {Defect::kMclOnfaultAlone, "D6", "mcl-onfault-alone",
     "dedca63504a2 \"mm/mlock.c: mlockall error for flag MCL_ONFAULT\" (5.2)",
     "4.4 to 5.1",
     "mlockall(MCL_ONFAULT) alone is accepted and unlocks everything instead "
     "of failing with EINVAL.",
     "mlockall-errno"},
    {Defect::kUnsignedNrDelta, "D9", "unsigned-nr-delta",
     "7162a1e87b3e \"mm: fix mlock accouting\" (4.5-rc, ?)", "4.4 to 4.5-rc",
     "The negated size of a huge page is an unsigned int that is widened to "
     "long, so NR_MLOCK jumps by about 2^32.",
     "nr-mlock"},
    {Defect::kRacyStackCharge, "D16", "racy-stack-charge",
     "87e8827b37c0 \"mm: fix the racy mm->locked_vm change in\" (4.4, ?)",
     "to 4.3",
     "Two threads that grow different locked stacks add to locked_vm under "
     "the read lock, and one addition is lost.",
     "locked-vm"},
    {Defect::kMprotectNoCow, "D17", "mprotect-no-cow",
     "36f881883c57 \"mm: fix mprotect() behaviour on VM_LOCKED VMAs\" (4.2)",
     "to 4.1",
     "mprotect that makes a locked private mapping writable does not break "
     "the sharing of its pages, so a later write still faults.",
     "mprotect-residency"},
    {Defect::kMigrateDropsMlocked, "D18", "migrate-drops-mlocked",
     "51afb12ba809 \"mm: page migration fix PageMlocked on migrated pages\" "
     "(4.4)",
     "to 4.3",
     "Migration hands PG_mlocked over while the old page can still be locked "
     "or unlocked, and the flag is lost.",
     "migrate-keeps-mlocked"},
    {Defect::kRmapTrylock, "D19", "rmap-trylock",
     "b87537d9e2fe \"mm: rmap use pte lock not mmap_sem to set PageMlocked\" "
     "(4.4, ?)",
     "to 4.3",
     "The walk for other lockers of a page gives up when one's mmap_sem is "
     "held, and the page stays evictable though locked.",
     "munlock-keeps-other-lockers"},
    {Defect::kThpSingleEvent, "D21", "thp-single-event",
     "5d91f31faf8e \"mm: swap: fix vmstats for huge pages\" (5.9, ?)", "to 5.8",
     "An UNEVICTABLE_* event of a huge page counts one, not its pages.",
     "unevictable-event-law"},
    {Defect::kThpCowStaleMlocked, "D24", "thp-cow-stale-mlocked",
     "3917c80280c9 \"thp: change CoW semantics for anon-THP\" (5.8, ?)",
     "2.6.38 to 5.7",
     "A write fault that copies a huge page after fork leaves the old page "
     "Mlocked, though only the child maps it, without a lock.",
     "mlocked-has-locker"},
    {Defect::kDontunmapDoubleCharge, "D25", "dontunmap-double-charge",
     "none known; found by Lockstep, measured on 6.18.44",
     "6.15 (?) to 6.18, not 6.12",
     "MREMAP_DONTUNMAP of locked memory charges locked_vm for the new mapping "
     "though the old one gives its lock up.",
     "locked-vm"},
    {Defect::kDontunmapUnlocksWhole, "D26", "dontunmap-unlocks-whole",
     "none known; found by Lockstep, measured on 6.18.44",
     "6.15 (?) to 6.18, not 6.12",
     "MREMAP_DONTUNMAP of a part of a locked VMA does not split it first, so "
     "all of the VMA loses the lock and the rest stays charged.",
     "locked-vm"},
    {Defect::kDontunmapSelfMerge, "D27", "dontunmap-self-merge",
     "in 6.12.y and 6.1.y by now; found by Lockstep, measured on 6.18.44",
     "6.18, not 6.12.117",
     "MREMAP_DONTUNMAP of memory that was never touched to its own edge merges "
     "the new mapping with the old, and both lose the lock.",
     "locked-vm"},
    {Defect::kSwapinNotMlocked, "D28", "swapin-not-mlocked",
     "none known; found by Lockstep, measured on 6.12.117",
     "6.11 (?, 9ae2feacedde) on, not 6.1; 6.12.117",
     "A page that swap brings back into locked memory, other than from the "
     "swap cache, is not Mlocked and stays evictable, however often it is "
     "locked.",
     "mlock-mlocked"},
    {Defect::kMremapLosesReserve, "D29", "mremap-loses-reserve",
     "none known; found by Lockstep, measured on 6.1.192 and 6.12.117",
     "5.16 (?, 550a7d60bd5e) on; 6.1.192, 6.12.117",
     "mremap of a part of private hugetlb memory takes the reservation from "
     "the rest, which fails with SIGBUS when the pool has no page to spare, "
     "and the pool keeps the promise until the machine goes down.",
     "hugetlb-reserve"},
};
static_assert(std::size(kDefects) == kDefectCount);

}  // namespace

absl::Span<const DefectInfo> AllDefects() { return kDefects; }

const DefectInfo& InfoOf(Defect defect) {
  return kDefects[static_cast<int>(defect)];
}

const DefectInfo* FindDefect(absl::string_view name) {
  for (const DefectInfo& info : kDefects) {
    if (info.name == name || info.number == name) return &info;
  }
  return nullptr;
}

}  // namespace lockstep
