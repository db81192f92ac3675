// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// What is seen of a process, and that both ways of looking see the same.

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/linux/executor/session_testing.h"
#include "engine/linux/wire.h"
#include "engine/outcome.h"
#include "engine/range.h"
#include "engine/step.h"
#include "engine/uapi.h"
#include "engine/units.h"
#include "gtest/gtest.h"

namespace lockstep::executor {
namespace {

// The last look of a program.
Seen SeenAfter(const std::vector<Step>& steps,
               const wire::ProgramHeader& header = TestHeader()) {
  ProgramRun run = RunProgram(header, steps);
  EXPECT_EQ(run.death, "");
  EXPECT_TRUE(run.looks_agree);
  EXPECT_TRUE(run.undone);
  return run.seen.empty() ? Seen() : run.seen.back();
}

bool Has(const wire::RangeRecord& range, RangeBit bit) {
  return (range.bits & bit) != 0;
}

TEST(ObserveTest, APieceInTheMiddleIsLocked) {
  Seen seen = SeenAfter({MmapPages(0, 6), OnPages(Op::kMlock, 2, 2)});
  ASSERT_EQ(seen.ranges.size(), 3);
  EXPECT_FALSE(Has(seen.At(1), kRangeLocked));
  EXPECT_TRUE(Has(seen.At(2), kRangeLocked));
  EXPECT_FALSE(Has(seen.At(4), kRangeLocked));
  EXPECT_EQ(seen.task.locked_vm, 2);
  EXPECT_FALSE(seen.Present(1));
  EXPECT_TRUE(seen.Present(2));
  EXPECT_TRUE(seen.Present(3));
  EXPECT_FALSE(seen.Present(4));
}

TEST(ObserveTest, OnlyLockedPagesAreMlocked) {
  // Enough of them that some are neighbours in physical memory.
  constexpr uint64_t kPages = 32;
  std::vector<Step> steps = {MmapPages(0, kPages, uapi::kMapPopulate)};
  for (uint64_t page = 1; page < kPages; page += 2) {
    steps.push_back(OnPages(Op::kMlock, page, 1));
  }
  steps.push_back(OnPages(Op::kMunlock, 1, 1));
  ProgramRun run = RunProgram(TestHeader(), steps);
  if ((run.sees & wire::kSeesPageFlags) == 0) {
    GTEST_SKIP() << "/proc/kpageflags cannot be read";
  }
  const Seen& seen = run.seen.back();
  for (uint64_t page = 0; page < kPages; ++page) {
    EXPECT_EQ(seen.Mlocked(page), page % 2 == 1 && page != 1) << page;
  }
}

TEST(ObserveTest, AReadOfFreshMemoryMapsTheZeroPage) {
  ProgramRun run = RunProgram(
      TestHeader(), {MmapPages(0, 2), TouchPage(0, false), TouchPage(1, true)});
  if ((run.sees & wire::kSeesPageFlags) == 0) {
    GTEST_SKIP() << "/proc/kpageflags cannot be read";
  }
  EXPECT_TRUE(Seen::Bit(run.seen[2].zero, 0));
  EXPECT_FALSE(Seen::Bit(run.seen[2].zero, 1));
}

TEST(ObserveTest, GuardPages) {
  Step guard = OnPages(Op::kMadvise, 1, 1);
  guard.flags = uapi::kMadvGuardInstall;
  ProgramRun run =
      RunProgram(TestHeader(), {MmapPages(0, 3), guard, TouchPage(0, true)});
  if ((run.sees & wire::kSeesGuards) == 0) {
    GTEST_SKIP() << "pagemap does not tell guard pages";
  }
  EXPECT_EQ(run.seen[0].guard[0], 0u);
  EXPECT_EQ(run.seen[1].guard[0], 2u);
  EXPECT_EQ(run.seen[2].guard[0], 2u);
  EXPECT_EQ(run.seen[2].present[0], 1u);
}

TEST(ObserveTest, LockOnFaultIsToldFromAPlainLock) {
  Step onfault = OnPages(Op::kMlock2, 0, 2);
  onfault.flags = uapi::kMlockOnfault;
  ProgramRun run = RunProgram(
      TestHeader(),
      {MmapPages(0, 4), onfault, TouchPage(1), OnPages(Op::kMlock, 0, 1)});
  if ((run.sees & wire::kSeesOnfault) == 0) {
    GTEST_SKIP() << "smaps does not tell VM_LOCKONFAULT";
  }
  EXPECT_TRUE(Has(run.seen[1].At(0), kRangeLockOnFault));
  EXPECT_FALSE(Has(run.seen[1].At(2), kRangeLockOnFault));
  EXPECT_TRUE(Has(run.seen[2].At(0), kRangeLockOnFault));
  EXPECT_FALSE(Has(run.seen[3].At(0), kRangeLockOnFault));
  EXPECT_TRUE(Has(run.seen[3].At(0), kRangeLocked));
  EXPECT_TRUE(Has(run.seen[3].At(1), kRangeLockOnFault));
}

TEST(ObserveTest, ProtectionAndSharing) {
  Step protect = OnPages(Op::kMprotect, 1, 1);
  protect.prot = uapi::kProtRead | uapi::kProtExec;
  Seen seen =
      SeenAfter({MmapPages(0, 2), MmapPages(4, 1, uapi::kMapShared), protect});
  EXPECT_EQ(seen.At(0).bits, kRangeRead | kRangeWrite | kRangeMayWrite);
  EXPECT_EQ(seen.At(1).bits, kRangeRead | kRangeExec | kRangeMayWrite);
  EXPECT_EQ(seen.At(4).bits, kRangeRead | kRangeWrite | kRangeMayWrite |
                                 kRangeShared | kRangeFile);
}

TEST(ObserveTest, TheEndOfAFile) {
  Step cut = OnPages(Op::kFtruncate, 0, 1);
  Seen seen = SeenAfter({MmapFilePages(0, 4, 0), cut});
  EXPECT_EQ(seen.At(0).eof, seen.At(0).start + 1);
  EXPECT_EQ(seen.At(0).end, seen.At(0).start + 4);
}

TEST(ObserveTest, TheEndOfSharedMemoryThatGrew) {
  Step grow = OnPages(Op::kMremap, 0, 2);
  grow.length2 = 5 * kPageSize;
  Seen seen = SeenAfter({MmapPages(0, 2, uapi::kMapShared), grow});
  EXPECT_EQ(seen.At(0).end, seen.At(0).start + 5);
  EXPECT_EQ(seen.At(0).eof, seen.At(0).start + 2);
}

TEST(ObserveTest, ASegmentAttachedReadOnly) {
  Step make = ShmStep(Op::kShmget, 1);
  make.length = 2 * kPageSize;
  Step attach = ShmStep(Op::kShmat, 1);
  attach.addr = Address::Arena(Vpn{4});
  attach.flags = uapi::kShmRdonly;
  Seen seen = SeenAfter({make, attach});
  EXPECT_EQ(seen.At(4).bits,
            kRangeRead | kRangeShared | kRangeFile | kRangeShm);
  ASSERT_EQ(seen.segments.size(), 1);
  EXPECT_EQ(seen.segments[0].slot, 1);
  EXPECT_EQ(seen.segments[0].attached, 1);
  EXPECT_EQ(seen.segments[0].size, 2 * kPageSize);
  EXPECT_FALSE(seen.segments[0].locked);
}

TEST(ObserveTest, ASecretIsLockedAndSecret) {
  Step make = OnPages(Op::kMemfdSecret, 0, 1);
  Step map = MmapFilePages(0, 2, 0);
  map.value = static_cast<uint32_t>(MmapSource::kSecret);
  ProgramRun run = RunProgram(TestHeader(), {make, map});
  if (!run.outcomes[0].ok()) GTEST_SKIP() << "no memfd_secret";
  EXPECT_TRUE(Has(run.seen[1].At(0), kRangeLocked));
  EXPECT_TRUE(Has(run.seen[1].At(0), kRangeSecret));
  EXPECT_EQ(run.seen[1].At(0).eof, run.seen[1].At(0).start + 1);
  EXPECT_EQ(run.seen[1].task.locked_vm, 2);
  EXPECT_TRUE(run.looks_agree);
}

TEST(ObserveTest, TheHeapIsShownAtTheModelsPlace) {
  Step grow;
  grow.op = Op::kBrk;
  grow.addr = Address::Heap(Vpn{2}, 5);
  Seen seen = SeenAfter({grow});
  EXPECT_EQ(seen.task.brk, 2 * kPageSize + 5);
  ASSERT_EQ(seen.ranges.size(), 1);
  EXPECT_EQ(seen.ranges[0].start, PageOf(kHeapBase).n);
  EXPECT_EQ(seen.ranges[0].end, PageOf(kHeapBase).n + 3);
  EXPECT_EQ(seen.task.heap_pages, 3);
}

TEST(ObserveTest, WhatTheKernelPlacesIsSeenWhereItIs) {
  Step place = MmapPages(0, 3);
  place.addr = Address::Raw(0);
  place.flags = uapi::kMapPrivate | uapi::kMapAnonymous;
  ProgramRun run = RunProgram(TestHeader(), {place});
  ASSERT_TRUE(run.outcomes[0].ok());
  ASSERT_EQ(run.seen[0].ranges.size(), 1);
  EXPECT_EQ(run.seen[0].ranges[0].start,
            PageOf(static_cast<uint64_t>(run.outcomes[0].value)).n);
  EXPECT_TRUE(run.looks_agree);
  EXPECT_TRUE(run.undone);
}

TEST(ObserveTest, EachVmaIsARange) {
  // A file's first page twice, which the kernel cannot make one VMA; mremap
  // tells them apart.
  Step second = MmapFilePages(1, 1, 0);
  Seen seen = SeenAfter({MmapFilePages(0, 1, 0), second});
  EXPECT_EQ(seen.ranges.size(), 2);
  EXPECT_EQ(SeenAfter({MmapPages(0, 1), MmapPages(1, 1)}).ranges.size(), 1);
}

// A step of a random program; those that lock everything only if `all`, as a
// build with sanitizers has more mapped than can be locked.
class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) {}
  std::vector<Step> Program(int steps, bool hidden) {
    std::vector<Step> program;
    while (steps-- > 0) program.push_back(Next(hidden));
    return program;
  }

 private:
  uint64_t Below(uint64_t bound) { return random_() % bound; }
  // `hidden`: steps too whose effect smaps alone shows.
  Step Next(bool hidden) {
    uint64_t page = Below(64), pages = 1 + Below(64 - page) % 12;
    switch (Below(16)) {
      case 0:
      case 1:
        return MmapPages(page, pages, Below(2) != 0 ? uapi::kMapLocked : 0);
      case 2:
        return MmapPages(page, pages, uapi::kMapShared);
      case 3:
        return hidden ? MmapPages(page, pages, uapi::kMapGrowsdown)
                      : MmapFilePages(page, pages, 1);
      case 4:
        return MmapFilePages(page, pages, 0);
      case 5:
        return TouchPage(page);
      case 6:
        return OnPages(Op::kMunlock, page, pages);
      case 7:
        return OnPages(Op::kMunmap, page, pages);
      case 8: {
        Step step = OnPages(Op::kMlock2, page, pages);
        step.flags = hidden ? uapi::kMlockOnfault : 0;
        return step;
      }
      case 9: {
        Step step = OnPages(Op::kMprotect, page, pages);
        step.prot = uapi::kProtRead;
        return step;
      }
      case 10: {
        Step step;
        step.op = Op::kBrk;
        step.addr = Address::Heap(Vpn{Below(8)});
        return step;
      }
      case 11: {
        Step step = OnPages(Op::kMremap, page, 1);
        step.length2 = (1 + Below(4)) * kPageSize;
        step.flags = uapi::kMremapMaymove;
        return step;
      }
      case 12: {
        Step step;
        step.op = Op::kMlockall;
        step.flags = uapi::kMclFuture;
        if (hidden && Below(2) != 0) step.flags |= uapi::kMclOnfault;
        return step;
      }
      case 13: {
        Step step = OnPages(Op::kFtruncate, 0, Below(16));
        return step;
      }
      default:
        return OnPages(Op::kMlock, page, pages);
    }
  }

  std::mt19937_64 random_;
};

class RandomProgramsTest : public ::testing::TestWithParam<bool> {};

TEST_P(RandomProgramsTest, BothLooksAgreeAndAllIsUndone) {
  constexpr int kPrograms = 150;
  Generator generator(GetParam() ? 1 : 2);
  std::vector<std::vector<Step>> programs;
  for (int i = 0; i < kPrograms; ++i) {
    programs.push_back(generator.Program(16, GetParam()));
  }
  std::vector<ProgramRun> runs = RunPrograms(TestHeader(), programs);
  EXPECT_EQ(runs.back().death, "");
  ASSERT_EQ(runs.size(), kPrograms);
  for (int i = 0; i < kPrograms; ++i) {
    ASSERT_EQ(runs[i].begin_error, 0);
    ASSERT_EQ(runs[i].seen.size(), 16);
    EXPECT_TRUE(runs[i].looks_agree) << "program " << i;
    EXPECT_TRUE(runs[i].undone) << "program " << i;
    // The charge is what is seen to be locked.
    for (const Seen& seen : runs[i].seen) {
      uint64_t locked = seen.task.image_locked;
      for (const wire::RangeRecord& range : seen.ranges) {
        if (Has(range, kRangeLocked)) locked += range.end - range.start;
      }
      EXPECT_EQ(locked, seen.task.locked_vm) << "program " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Steps, RandomProgramsTest, ::testing::Bool(),
                         [](const ::testing::TestParamInfo<bool>& info) {
                           return info.param ? "ThatNeedSmaps" : "ThatDoNot";
                         });

}  // namespace
}  // namespace lockstep::executor
