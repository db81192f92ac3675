// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Each invariant sees the machine broken by hand in its own way, and no other
// one does.

#include "props/invariants.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "engine/program.h"
#include "engine/reference/lru.h"
#include "engine/reference/page_table.h"
#include "engine/reference/reference_engine.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

using reference::Machine;
using reference::Page;
using ::testing::IsEmpty;
using ::testing::Not;

// Pages 0 and 1 of the arena are locked, 2 and 3 are not, and a segment of two
// pages is locked by SHM_LOCK. The last step touches no page and no address
// space, but is one after which sums are looked at.
constexpr absl::string_view kSomeOfEach = R"pb(
  config { defects: "none" cap_ipc_lock: true zones: 2 }
  steps {
    mmap {
      addr { page: 0 }
      length: 16384
      prot: [ READ, WRITE ]
      flags: [ PRIVATE, FIXED, ANONYMOUS ]
    }
  }
  steps {
    mlock {
      addr { page: 0 }
      length: 8192
    }
  }
  steps {
    touch {
      addr { page: 2 }
      write: true
    }
  }
  steps {
    touch {
      addr { page: 3 }
      write: true
    }
  }
  steps { shmget { shm: 0 size: 8192 } }
  steps { drain {} }
  steps { shmctl { shm: 0 command: LOCK } }
)pb";

// Page 0 is in this CPU's batch: nothing has drained it.
constexpr absl::string_view kInABatch = R"pb(
  config { defects: "none" }
  steps {
    mmap {
      addr { page: 0 }
      length: 4096
      prot: [ READ, WRITE ]
      flags: [ PRIVATE, FIXED, ANONYMOUS ]
    }
  }
  steps {
    touch {
      addr { page: 0 }
      write: true
    }
  }
)pb";

// One page of a file, locked by two VMAs, of which the last step unlocks one.
constexpr absl::string_view kTwoLockers = R"pb(
  config { defects: "none" }
  steps {
    mmap {
      addr { page: 0 }
      length: 4096
      prot: [ READ, WRITE ]
      flags: [ SHARED, FIXED, LOCKED ]
    }
  }
  steps {
    mmap {
      addr { page: 1 }
      length: 4096
      prot: [ READ, WRITE ]
      flags: [ SHARED, FIXED, LOCKED ]
    }
  }
  steps {
    munlock {
      addr { page: 0 }
      length: 4096
    }
  }
)pb";

// One huge page is reserved, one in use.
constexpr absl::string_view kHugetlb = R"pb(
  config { nr_hugepages: 3 }
  steps {
    mmap {
      length: 131072
      prot: [ READ, WRITE ]
      flags: [ PRIVATE, FIXED, ANONYMOUS, HUGETLB ]
    }
  }
  steps { touch { write: true } }
)pb";

Program Parse(absl::string_view text) {
  absl::StatusOr<Program> program = ParseProgramText(text, "test");
  EXPECT_TRUE(program.ok()) << program.status();
  return program.ok() ? *std::move(program) : Program();
}

Vpn ArenaPage(uint64_t page) { return PageOf(kArenaBase) + Pages{page}; }

// The frame mapped at a page of the arena in the first task.
Pfn FrameAt(Machine& machine, uint64_t page) {
  reference::Mapping mapping = reference::Lookup(machine, 0, ArenaPage(page));
  EXPECT_TRUE(mapping.present) << "arena page " << page;
  machine.Touch(mapping.pfn);
  return mapping.pfn;
}
// The same, journalled as changed.
Page& PageAt(Machine& machine, uint64_t page) {
  return machine.page(FrameAt(machine, page));
}

// ---- The ways to break a machine ----

struct Breakage {
  absl::string_view invariant;  // that sees it first
  absl::string_view how;
  absl::string_view program;
  // Does it to the machine, and keeps the journal as the engine would.
  void (*apply)(Machine& machine);
  // Others that cannot but see it too.
  std::vector<absl::string_view> also = {};
};
std::ostream& operator<<(std::ostream& os, const Breakage& breakage) {
  return os << breakage.invariant << ", " << breakage.how;
}

// As if the flag had been set (or cleared) with all that goes with it.
void CountMlocked(Machine& machine, Pfn pfn, int64_t pages) {
  machine.nr_mlock[machine.page(pfn).zone] += pages;
  machine.events.mlocked += pages;
}

const std::vector<Breakage>& Breakages() {
  static const auto& breakages = *new std::vector<Breakage>{
      {"locked-vm", "a page too many", kSomeOfEach,
       [](Machine& machine) {
         machine.mms[0].locked_vm += Pages{1};
         machine.TouchMm(0);
       }},
      {"locked-vm", "wrapped below zero", kSomeOfEach,
       [](Machine& machine) {
         machine.mms[0].locked_vm -= Pages{3};
         machine.TouchMm(0);
       }},
      {"page-tables", "a PTE outside any VMA", kSomeOfEach,
       [](Machine& machine) {
         // Of the zero page, which has no reverse map to disagree with.
         reference::SetPte(machine, 0, ArenaPage(9), reference::kPtePresent);
         machine.TouchMm(0);
       }},
      {"page-tables", "a huge PMD outside any VMA", kSomeOfEach,
       [](Machine& machine) {
         reference::SetHugePmd(machine, 0, ArenaPage(16),
                               reference::kPtePresent);
         machine.TouchMm(0);
       }},
      {"page-tables", "a table that counts an entry twice", kSomeOfEach,
       [](Machine& machine) {
         ++reference::FindTable(machine, 0, ArenaPage(0))->entries;
         machine.TouchMm(0);
       }},
      {"nr-mlock",
       "a page too many",
       kSomeOfEach,
       [](Machine& machine) { ++machine.nr_mlock[0]; },
       {"unevictable-event-law"}},
      {"nr-mlock", "in the wrong zone", kSomeOfEach,
       [](Machine& machine) {
         --machine.nr_mlock[0];
         ++machine.nr_mlock[1];
       }},
      {"unevictable-event-law", "a PGMLOCKED too many", kSomeOfEach,
       [](Machine& machine) { ++machine.events.mlocked; }},
      {"unevictable-event-law", "a PGSTRANDED too many", kSomeOfEach,
       [](Machine& machine) { ++machine.events.stranded; }},
      {"lru-membership", "PG_lru lost", kSomeOfEach,
       [](Machine& machine) { PageAt(machine, 2).Clear(reference::kPageLru); }},
      {"lru-membership", "PG_unevictable on an evictable list", kSomeOfEach,
       [](Machine& machine) {
         PageAt(machine, 2).Set(reference::kPageUnevictable);
       }},
      {"lru-membership", "PG_unevictable lost on the unevictable list",
       kSomeOfEach,
       [](Machine& machine) {
         PageAt(machine, 0).Clear(reference::kPageUnevictable);
       }},
      {"lru-membership", "PG_active on another list", kSomeOfEach,
       [](Machine& machine) {
         PageAt(machine, 2).flags ^= reference::kPageActive;
       }},
      {"lru-membership", "unlinked but not told", kSomeOfEach,
       [](Machine& machine) {
         Page& page = PageAt(machine, 2);
         reference::Lru lru = page.lru;
         reference::RemoveFromLru(machine, FrameAt(machine, 2));
         page.lru = lru;
         ++machine.LruvecOf(page).lists[lru].size;
       }},
      {"lru-membership", "in a batch without saying so", kInABatch,
       [](Machine& machine) {
         Page& page = PageAt(machine, 0);
         page.Clear(reference::kPageInBatch);
         --page.refcount;
       }},
      {"lru-size", "a page too many", kSomeOfEach,
       [](Machine& machine) {
         ++machine.lruvecs[0].lists[reference::kUnevictable].size;
       }},
      {"unevictable-stranded", "an evictable page", kSomeOfEach,
       [](Machine& machine) {
         Pfn pfn = FrameAt(machine, 2);
         reference::RemoveFromLru(machine, pfn);
         machine.page(pfn).Clear(reference::kPageLru);
         reference::AddPageToUnevictableList(machine, pfn);
       }},
      {"mlocked-has-locker", "PG_mlocked without VM_LOCKED", kSomeOfEach,
       [](Machine& machine) {
         PageAt(machine, 2).Set(reference::kPageMlocked);
         CountMlocked(machine, FrameAt(machine, 2), 1);
       }},
      {"munlock-keeps-other-lockers", "PG_mlocked lost for both", kTwoLockers,
       [](Machine& machine) {
         Pfn pfn = FrameAt(machine, 0);
         Page& page = machine.page(pfn);
         page.Clear(reference::kPageMlocked);
         CountMlocked(machine, pfn, -1);
         reference::RemoveFromLru(machine, pfn);
         page.Clear(reference::kPageLru | reference::kPageUnevictable);
         reference::AddPageToLruList(machine, pfn,
                                     reference::EvictableLru(page));
       }},
      {"page-mapcount", "a mapping too many", kSomeOfEach,
       [](Machine& machine) {
         Page& page = PageAt(machine, 2);
         ++page.mapcount;
         ++page.refcount;
       }},
      {"page-mapcount", "a reverse map that leads elsewhere", kSomeOfEach,
       [](Machine& machine) {
         machine.rmap[PageAt(machine, 2).rmap].page = ArenaPage(3);
       }},
      {"page-refcount", "a reference too many", kSomeOfEach,
       [](Machine& machine) { ++PageAt(machine, 2).refcount; }},
      {"page-refcount", "a reference too few", kSomeOfEach,
       [](Machine& machine) { --PageAt(machine, 0).refcount; }},
      {"locked-never-reclaimed", "from a VM_LOCKED VMA", kSomeOfEach,
       [](Machine& machine) {
         machine.evictions.push_back(
             {.mm = 0,
              .page = ArenaPage(0),
              .vm_flags = reference::kVmRead | reference::kVmLocked});
       }},
      {"bad-page-state", "one page", kSomeOfEach,
       [](Machine& machine) { machine.events.freed_mlocked = 1; }},
      {"shm-charge", "a page too many", kSomeOfEach,
       [](Machine& machine) { ++machine.locked_shm[0]; }},
      {"shm-charge", "for another user", kSomeOfEach,
       [](Machine& machine) {
         std::swap(machine.locked_shm[0], machine.locked_shm[1]);
       }},
      {"frame-count", "a frame lost", kSomeOfEach,
       [](Machine& machine) { --machine.free_frames; }},
      {"frame-count", "a page that outlives the last task", kSomeOfEach,
       [](Machine& machine) {
         FrameAt(machine, 2);
         machine.tasks[0].exists = false;
       }},
      {"hugetlb-reserve", "a huge page too many", kHugetlb,
       [](Machine& machine) {
         ++machine.hugetlb_reserved;
         machine.TouchMm(0);
       }},
      {"hugetlb-reserve", "wrapped below zero", kHugetlb,
       [](Machine& machine) {
         machine.hugetlb_reserved -= 2;
         machine.TouchMm(0);
       }},
  };
  return breakages;
}

// Every invariant that does not hold, one by one and from nothing.
std::set<absl::string_view> BrokenInvariants(const Machine& machine,
                                             const Recount& before) {
  Recount now;
  for (Pfn pfn = 1; pfn < machine.frame_end; ++pfn) now.Update(machine, pfn);
  const InvariantContext pages{machine, machine.step, before};
  const InvariantContext sums{machine, machine.step, now};
  Mismatch mismatch;
  std::set<absl::string_view> broken;
  for (const Invariant& row : AllInvariants()) {
    bool holds = row.machine == nullptr || row.machine(sums, &mismatch);
    for (Pfn pfn = 1; row.page != nullptr && pfn < machine.frame_end; ++pfn) {
      holds = row.page(pages, pfn, &mismatch) && holds;
    }
    for (int mm = 0; row.mm != nullptr && mm < kTaskSlots; ++mm) {
      if (machine.mms[mm].users == 0) continue;
      holds = row.mm(pages, mm, &mismatch) && holds;
    }
    if (!holds) broken.insert(row.name);
  }
  return broken;
}

absl::string_view NameOf(const Invariant* row) {
  return row == nullptr ? "" : row->name;
}

// ---- Broken by hand ----

class BreakageTest : public testing::TestWithParam<Breakage> {};

TEST_P(BreakageTest, IsReportedByBothChecksAndOnlyByItsInvariant) {
  const Breakage& breakage = GetParam();
  for (const Profile& profile : AllProfiles()) {
    SCOPED_TRACE(profile.name);
    Program program = Parse(breakage.program);
    ASSERT_THAT(program.steps, Not(IsEmpty()));
    program.config.profile = &profile;
    reference::ReferenceEngine engine;
    ASSERT_TRUE(engine.Reset(program.config).ok());
    Machine& machine = engine.machine_for_test();

    InvariantChecker touched, full;
    touched.Start(machine);
    full.Start(machine);
    // What checks of the last step start from.
    InvariantChecker touched_before, full_before;
    Recount before;
    Mismatch mismatch;
    for (const Step& step : program.steps) {
      touched_before = touched;
      full_before = full;
      for (Pfn pfn = 1; pfn < machine.frame_end; ++pfn) {
        before.Update(machine, pfn);
      }
      ASSERT_TRUE(engine.Run(step).ok()) << DebugString(step);
      ASSERT_EQ(NameOf(touched.CheckTouched(machine, &mismatch)), "")
          << mismatch.expected << ", but " << mismatch.seen;
      ASSERT_EQ(NameOf(full.CheckAll(machine, &mismatch)), "")
          << mismatch.expected << ", but " << mismatch.seen;
    }
    ASSERT_THAT(BrokenInvariants(machine, before), IsEmpty());

    breakage.apply(machine);
    std::set<absl::string_view> expected(breakage.also.begin(),
                                         breakage.also.end());
    expected.insert(breakage.invariant);
    EXPECT_EQ(BrokenInvariants(machine, before), expected);

    Mismatch by_touched, by_full;
    EXPECT_EQ(NameOf(touched_before.CheckTouched(machine, &by_touched)),
              breakage.invariant);
    EXPECT_EQ(NameOf(full_before.CheckAll(machine, &by_full)),
              breakage.invariant);
    EXPECT_THAT(by_touched.expected, Not(IsEmpty()));
    EXPECT_THAT(by_touched.seen, Not(IsEmpty()));
    EXPECT_EQ(by_touched.expected, by_full.expected);
    EXPECT_EQ(by_touched.seen, by_full.seen);
  }
}

std::string TestName(const testing::TestParamInfo<Breakage>& info) {
  std::string name =
      std::string(info.param.invariant) + "_" + std::string(info.param.how);
  std::replace_if(
      name.begin(), name.end(),
      [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}
INSTANTIATE_TEST_SUITE_P(ByHand, BreakageTest, testing::ValuesIn(Breakages()),
                         TestName);

TEST(AllInvariantsTest, EachHasABreakageOfItsOwn) {
  std::set<absl::string_view> broken, all;
  for (const Breakage& breakage : Breakages()) {
    broken.insert(breakage.invariant);
  }
  for (const Invariant& row : AllInvariants()) all.insert(row.name);
  EXPECT_EQ(broken, all);
}

TEST(AllInvariantsTest, EachHasExactlyOneFunctionAndSaysWhatItStates) {
  for (const Invariant& row : AllInvariants()) {
    SCOPED_TRACE(row.name);
    EXPECT_EQ(
        (row.page != nullptr) + (row.mm != nullptr) + (row.machine != nullptr),
        1);
    EXPECT_THAT(row.statement, Not(IsEmpty()));
    EXPECT_THAT(row.source, Not(IsEmpty()));
  }
}

// ---- Broken by a defect ----

TEST(MunlockKeepsOtherLockersTest, SeesTheWalkThatGivesUp) {
  Program program = Parse(kTwoLockers);
  program.config.SetProfile(**FindProfile("v3.12"));
  for (bool defective : {false, true}) {
    SCOPED_TRACE(defective ? "with the defect" : "without");
    program.config.defects = {};
    if (defective) program.config.defects.Add(Defect::kRmapTrylock);
    reference::ReferenceEngine engine;
    ASSERT_TRUE(engine.Reset(program.config).ok());
    InvariantChecker touched, full;
    touched.Start(engine.machine());
    full.Start(engine.machine());
    Mismatch mismatch;
    for (const Step& step : program.steps) {
      engine.Run(step);
      bool seen = defective && &step == &program.steps.back();
      absl::string_view expected = seen ? "munlock-keeps-other-lockers" : "";
      EXPECT_EQ(NameOf(touched.CheckTouched(engine.machine(), &mismatch)),
                expected);
      EXPECT_EQ(NameOf(full.CheckAll(engine.machine(), &mismatch)), expected);
    }
  }
}

// ---- What the two checks cost ----

TEST(InvariantCheckerTest, TouchedLooksOnlyAtWhatTheJournalNames) {
  const Program program = Parse(kSomeOfEach);
  reference::ReferenceEngine engine;
  ASSERT_TRUE(engine.Reset(program.config).ok());
  Machine& machine = engine.machine_for_test();
  InvariantChecker checker;
  Mismatch mismatch;
  checker.Start(machine);
  for (const Step& step : program.steps) {
    engine.Run(step);
    ASSERT_EQ(NameOf(checker.CheckTouched(machine, &mismatch)), "");
  }
  machine.mms[0].locked_vm += Pages{1};  // not journalled
  EXPECT_EQ(NameOf(checker.CheckTouched(machine, &mismatch)), "");
  EXPECT_EQ(NameOf(checker.CheckAll(machine, &mismatch)), "locked-vm");
  machine.TouchMm(0);
  EXPECT_EQ(NameOf(checker.CheckTouched(machine, &mismatch)), "locked-vm");
  EXPECT_EQ(mismatch.expected, "locked_vm 2");
  EXPECT_EQ(mismatch.seen, "locked_vm 3");
}

TEST(InvariantCheckerTest, TouchedSeesAFalseSumWhenTheNextPageIsTouched) {
  const Program program = Parse(kSomeOfEach);
  reference::ReferenceEngine engine;
  ASSERT_TRUE(engine.Reset(program.config).ok());
  InvariantChecker checker;
  Mismatch mismatch;
  checker.Start(engine.machine());
  for (const Step& step : program.steps) {
    engine.Run(step);
    ASSERT_EQ(NameOf(checker.CheckTouched(engine.machine(), &mismatch)), "");
  }
  ++engine.machine_for_test().nr_mlock[0];
  Step mlock;
  mlock.op = Op::kMlock;
  mlock.addr = Address::Arena(Vpn{2});
  mlock.length = kPageSize;
  ASSERT_TRUE(engine.Run(mlock).ok());
  EXPECT_EQ(NameOf(checker.CheckTouched(engine.machine(), &mismatch)),
            "nr-mlock");
  EXPECT_EQ(mismatch.expected, "NR_MLOCK 3 in zone 0");
  EXPECT_EQ(mismatch.seen, "NR_MLOCK 4");
}

TEST(InvariantCheckerTest, StartForgetsTheMachineBefore) {
  const Program program = Parse(kSomeOfEach);
  reference::ReferenceEngine engine;
  InvariantChecker checker;
  Mismatch mismatch;
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(engine.Reset(program.config).ok());
    checker.Start(engine.machine());
    for (const Step& step : program.steps) {
      engine.Run(step);
      EXPECT_EQ(NameOf(checker.CheckTouched(engine.machine(), &mismatch)), "")
          << "round " << round << ": " << mismatch.expected;
    }
  }
}

}  // namespace
}  // namespace lockstep
