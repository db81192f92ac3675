// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/vocabulary.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/uapi.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "props/shrink.h"

namespace lockstep {
namespace {

using ::testing::Contains;
using ::testing::IsSupersetOf;
using ::testing::SizeIs;

constexpr uint64_t kSeed = 1;

std::vector<Program> RandomPrograms(size_t count,
                                    const VocabularyOptions& options = {}) {
  Vocabulary vocabulary(options);
  std::vector<Program> programs(count);
  for (size_t i = 0; i < count; ++i) {
    Random random(kSeed, i);
    vocabulary.Generate(random, &programs[i]);
  }
  return programs;
}

// Of 20000 programs, made once.
const std::vector<Program>& ManyPrograms() {
  static const auto* const programs =
      new std::vector<Program>(RandomPrograms(20000));
  return *programs;
}

uint64_t CountSteps(const std::function<bool(const Program&, size_t)>& test) {
  uint64_t count = 0;
  for (const Program& program : ManyPrograms()) {
    for (size_t i = 0; i < program.steps.size(); ++i) {
      if (test(program, i)) ++count;
    }
  }
  return count;
}

uint64_t CountPrograms(const std::function<bool(const Program&)>& test) {
  return static_cast<uint64_t>(
      std::count_if(ManyPrograms().begin(), ManyPrograms().end(), test));
}

TEST(VocabularyTest, TheSameSeedGivesTheSameProgramsOnEveryCompiler) {
  uint64_t all = 0;
  for (const Program& program : RandomPrograms(1000)) {
    all = Mix(all ^ Fingerprint(program));
  }
  // Changes with the vocabulary and the default machine: then put the new
  // number here.
  EXPECT_EQ(all, 3057464558781459255u);
}

TEST(VocabularyTest, GenerateForgetsWhatTheProgramHeldBefore) {
  Vocabulary vocabulary({});
  Program fresh;
  Random random(kSeed, 7);
  vocabulary.Generate(random, &fresh);

  Program used = ManyPrograms()[3];
  used.description = "old";
  used.expectations.resize(2);
  Random again(kSeed, 7);
  vocabulary.Generate(again, &used);
  EXPECT_EQ(used, fresh);
}

TEST(VocabularyTest, ProgramsHaveTheStepsProfileAndDefectsAskedFor) {
  VocabularyOptions options;
  options.profile = &AllProfiles().front();
  options.defects = {Defect::kPagevecIsolationLeak};
  options.steps = 5;
  for (const Program& program : RandomPrograms(200, options)) {
    EXPECT_THAT(program.steps, SizeIs(5));
    EXPECT_EQ(program.config.profile, options.profile);
    EXPECT_EQ(program.config.defects, options.defects);
  }
}

// Steps of 2000 programs for the kernel that the test is true of.
uint64_t CountOn(absl::string_view kernel,
                 const std::function<bool(const Step&)>& test) {
  VocabularyOptions options;
  options.profile = *FindProfile(kernel);
  options.defects = {};
  uint64_t count = 0;
  for (const Program& program : RandomPrograms(2000, options)) {
    for (const Step& step : program.steps) count += test(step) ? 1 : 0;
  }
  return count;
}

TEST(VocabularyTest, AsksEachKernelForWhatItHasAndSeldomForMore) {
  struct Row {
    absl::string_view name, before, since;
    bool (*test)(const Step& step);
  };
  static constexpr Row kRows[] = {
      {"secret", "v4.9", "v6.1",
       [](const Step& step) {
         return step.op == Op::kMmap &&
                (step.flags & uapi::kMapAnonymous) == 0 &&
                step.value == static_cast<uint32_t>(MmapSource::kSecret);
       }},
      {"droppable", "v6.1", "v6.12",
       [](const Step& step) {
         return step.op == Op::kMmap &&
                (step.flags & uapi::kMapType) == uapi::kMapDroppable;
       }},
      {"dontneed_locked", "v4.9", "v6.1",
       [](const Step& step) {
         return step.op == Op::kMadvise &&
                step.flags == uapi::kMadvDontneedLocked;
       }},
      {"guard", "v6.12", "v6.18",
       [](const Step& step) {
         return step.op == Op::kMadvise &&
                step.flags == uapi::kMadvGuardInstall;
       }},
      {"dontunmap of the same size", "v4.9", "v6.1",
       [](const Step& step) {
         return step.op == Op::kMremap &&
                (step.flags & uapi::kMremapDontunmap) != 0 &&
                step.length == step.length2;
       }},
  };
  for (const Row& row : kRows) {
    const uint64_t before = CountOn(row.before, row.test);
    const uint64_t since = CountOn(row.since, row.test);
    EXPECT_GT(before, 0u) << row.name;
    EXPECT_GT(since, 2 * before) << row.name;
  }
}

TEST(VocabularyTest, AFixedConfigurationIsLeftAlone) {
  VocabularyOptions options;
  options.vary_config = false;
  options.config.memlock_limit = 3 * kPageSize;
  options.config.zones = 2;
  for (const Program& program : RandomPrograms(200, options)) {
    EXPECT_EQ(program.config, options.config);
  }
}

TEST(VocabularyTest, HalfOfTheProgramsStartOnTheDefaultMachine) {
  const uint64_t plain = CountPrograms(
      [](const Program& program) { return program.config == Config(); });
  EXPECT_GT(plain, ManyPrograms().size() * 45 / 100);
  EXPECT_LT(plain, ManyPrograms().size() * 55 / 100);
}

TEST(VocabularyTest, ConfigurationsAreWithinTheirRanges) {
  for (const Program& program : ManyPrograms()) {
    const Config& config = program.config;
    ASSERT_GE(config.zones, 1u);
    ASSERT_LE(config.zones, static_cast<uint32_t>(kMaxZones));
    ASSERT_GE(config.cpus, 1u);
    ASSERT_LE(config.cpus, static_cast<uint32_t>(kMaxCpus));
    ASSERT_GE(config.hpage_pmd_order, 1u);
    ASSERT_LE(config.hpage_pmd_order, 9u);
    ASSERT_GE(config.arena_pages, 1u);
    ASSERT_LE(config.arena_pages, uint64_t{1} << 32);
    ASSERT_LT(config.uid, kUsers);
    ASSERT_GE(config.memory_pages, 1u);
  }
}

TEST(VocabularyTest, MostProgramsBeginWithAMapping) {
  EXPECT_GT(CountPrograms([](const Program& program) {
              return program.steps[0].op == Op::kMmap;
            }),
            ManyPrograms().size() * 9 / 10);
}

TEST(VocabularyTest, EveryCallAndActionOccurs) {
  std::set<Op> seen;
  for (const Program& program : ManyPrograms()) {
    for (const Step& step : program.steps) seen.insert(step.op);
  }
  for (const OpInfo& info : AllOps()) {
    if (info.op == Op::kNone) continue;
    EXPECT_THAT(seen, Contains(info.op)) << info.name;
  }
}

TEST(VocabularyTest, EveryPointOccursInEveryCallThatPassesIt) {
  std::set<std::pair<Point, Op>> seen;
  for (const Program& program : ManyPrograms()) {
    for (const Step& step : program.steps) {
      for (const During& during : step.interleavings()) {
        seen.emplace(during.point, step.op);
      }
    }
  }
  EXPECT_THAT(seen, IsSupersetOf(std::vector<std::pair<Point, Op>>{
                        {Point::kMlockMarked, Op::kMlock},
                        {Point::kMlockMarked, Op::kMlock2},
                        {Point::kMlockMarked, Op::kMlockall},
                        {Point::kPopulatePage, Op::kMlock},
                        {Point::kPopulatePage, Op::kMmap},
                        {Point::kMlockPageMarked, Op::kMlock},
                        {Point::kMlockPageMarked, Op::kTouch},
                        {Point::kMunlockBeforeIsolation, Op::kMunlock},
                        {Point::kMunlockBeforeIsolation, Op::kMunmap},
                        {Point::kMunlockBeforeIsolation, Op::kExit},
                        {Point::kMunlockIsolated, Op::kMunlock},
                        {Point::kMunlockIsolated, Op::kMunlockall},
                        {Point::kMunlockThpCleared, Op::kMunlock},
                        {Point::kMunlockThpCleared, Op::kMunmap},
                        {Point::kMunlockNextBatch, Op::kMunlock},
                        {Point::kClearMlockBeforeIsolation, Op::kMunmap},
                        {Point::kStackChargeRead, Op::kTouch},
                    }));
}

TEST(VocabularyTest, EveryActionOccursAsAnInterleaving) {
  std::set<Op> seen;
  for (const Program& program : ManyPrograms()) {
    for (const Step& step : program.steps) {
      for (const During& during : step.interleavings()) seen.insert(during.op);
    }
  }
  for (const OpInfo& info : AllOps()) {
    // Putting pages into another zone matters before they are allocated, what
    // is left can happen anywhere.
    if (IsEnvironment(info.op) || info.op == Op::kTouch) {
      EXPECT_THAT(seen, Contains(info.op)) << info.name;
    }
  }
  EXPECT_THAT(seen, SizeIs(kOpCount - static_cast<int>(Op::kSetCpu) + 1));
}

TEST(VocabularyTest, EveryFlagOccurs) {
  uint32_t mmap = 0;
  uint32_t mremap = 0;
  uint32_t msync = 0;
  uint32_t shmat = 0;
  std::set<uint32_t> mlockall, mlock2, advice, commands, protections;
  for (const Program& program : ManyPrograms()) {
    for (const Step& step : program.steps) {
      if (step.op == Op::kMmap) mmap |= step.flags;
      if (step.op == Op::kMmap) protections.insert(step.prot);
      if (step.op == Op::kMremap) mremap |= step.flags;
      if (step.op == Op::kMsync) msync |= step.flags;
      if (step.op == Op::kShmat) shmat |= step.flags;
      if (step.op == Op::kMlockall) mlockall.insert(step.flags);
      if (step.op == Op::kMlock2) mlock2.insert(step.flags);
      if (step.op == Op::kMadvise) advice.insert(step.flags);
      if (step.op == Op::kShmctl) commands.insert(step.flags);
    }
  }
  EXPECT_EQ(mmap, uapi::kMapType | uapi::kMapFixed | uapi::kMapAnonymous |
                      uapi::kMapGrowsdown | uapi::kMapLocked |
                      uapi::kMapPopulate | uapi::kMapNonblock |
                      uapi::kMapHugetlb | uapi::kMapNoreserve |
                      uapi::kMapFixedNoreplace);
  EXPECT_EQ(mremap,
            uapi::kMremapMaymove | uapi::kMremapFixed | uapi::kMremapDontunmap);
  EXPECT_THAT(std::vector<uint32_t>{msync}, Contains(15u));
  EXPECT_EQ(shmat, uapi::kShmRdonly | uapi::kShmRemap);
  EXPECT_THAT(mlockall, IsSupersetOf({0, 1, 2, 3, 4, 5, 6, 7, 9}));
  EXPECT_THAT(mlock2, IsSupersetOf({0, 1, 2, 3, 4}));
  EXPECT_THAT(advice, IsSupersetOf({0,  1,  2,  3,  4,  8,  9,  10, 11, 12, 13,
                                    14, 15, 16, 17, 18, 20, 21, 22, 24, 25}));
  EXPECT_THAT(commands, IsSupersetOf({0, 11, 12}));
  EXPECT_THAT(protections, IsSupersetOf({0, 1, 2, 3, 4, 5}));
}

TEST(VocabularyTest, LocksOftenRepeatARangeThatIsMapped) {
  uint64_t locks = 0;
  const uint64_t repeated = CountSteps([&](const Program& program, size_t i) {
    const Step& step = program.steps[i];
    if (step.op != Op::kMlock && step.op != Op::kMunlock) return false;
    ++locks;
    return std::any_of(program.steps.begin(),
                       program.steps.begin() + static_cast<ptrdiff_t>(i),
                       [&](const Step& earlier) {
                         return earlier.op == Op::kMmap &&
                                earlier.addr == step.addr &&
                                earlier.length == step.length;
                       });
  });
  EXPECT_GT(repeated, locks / 4);
}

TEST(VocabularyTest, SomeRangesFillAPagevec) {
  EXPECT_GT(CountSteps([](const Program& program, size_t i) {
              const Step& step = program.steps[i];
              return step.op == Op::kMunlock && step.length > 14 * kPageSize;
            }),
            1000u);
}

TEST(VocabularyTest, RangesReachPast2GiBWithALimitNearby) {
  EXPECT_GT(CountSteps([](const Program& program, size_t i) {
              const Step& step = program.steps[i];
              const uint64_t limit = program.config.memlock_limit;
              return step.op == Op::kMlock2 && step.flags == 1 &&
                     limit != kRlimInfinity && !program.config.cap_ipc_lock &&
                     step.length >= uint64_t{1} << 31 && step.length <= limit;
            }),
            20u);
}

TEST(VocabularyTest, TwoThreadsTouchBelowTwoStacks) {
  EXPECT_GT(CountSteps([](const Program& program, size_t i) {
              const Step& step = program.steps[i];
              return step.op == Op::kTouch && step.during_count > 0 &&
                     step.during[0].point == Point::kStackChargeRead &&
                     step.during[0].op == Op::kTouch &&
                     step.during[0].task != step.task &&
                     step.during[0].addr != step.addr;
            }),
            100u);
}

TEST(VocabularyTest, LengthsAndAddressesWrapNowAndThen) {
  const uint64_t wrapping = CountSteps([](const Program& program, size_t i) {
    const Step& step = program.steps[i];
    return InfoOf(step.op).Uses(Field::kAddr) &&
           InfoOf(step.op).Uses(Field::kLength) &&
           step.addr.Resolve() + step.length < step.addr.Resolve();
  });
  EXPECT_GT(wrapping, 100u);
  EXPECT_LT(wrapping, 16 * ManyPrograms().size() / 50);
}

TEST(VocabularyTest, NextStepContinuesAProgramOfAnyLength) {
  Vocabulary vocabulary({});
  std::vector<Step> steps;
  Random random(kSeed);
  const Config config;
  for (int i = 0; i < 500; ++i) {
    steps.push_back(vocabulary.NextStep(random, config, steps));
    ASSERT_NE(steps.back().op, Op::kNone);
  }
  // From the same place it goes on in the same way.
  Random here = random;
  const Step next = vocabulary.NextStep(random, config, steps);
  EXPECT_EQ(vocabulary.NextStep(here, config, steps), next);
}

TEST(VocabularyTest, ProgramsForRealKernelsAskForNothingElse) {
  VocabularyOptions options;
  options.real_kernel = true;
  Vocabulary vocabulary(options);
  std::set<Op> ops;
  bool capability = false, none = false;
  for (uint64_t i = 0; i < 3000; ++i) {
    Random random(3, i);
    Program program;
    vocabulary.Generate(random, &program);
    const Config& config = program.config;
    EXPECT_EQ(config.arena_pages, 64u);
    EXPECT_LE(config.memlock_limit, VocabularyOptions::kMostRealLimit);
    EXPECT_EQ(config.transparent_hugepage, TransparentHugepage::kNever);
    EXPECT_EQ(config.nr_hugepages, 0u);
    EXPECT_EQ(config.image_pages, 0u);
    (config.cap_ipc_lock ? capability : none) = true;
    for (const Step& step : program.steps) {
      ops.insert(step.op);
      EXPECT_FALSE(IsEnvironment(step.op)) << InfoOf(step.op).name;
      EXPECT_EQ(step.during_count, 0);
      if (step.op == Op::kMmap) {
        EXPECT_EQ(step.flags & uapi::kMapHugetlb, 0u);
      }
      if (step.op == Op::kSetrlimit) {
        EXPECT_LE(step.length, VocabularyOptions::kMostRealLimit);
      }
    }
  }
  EXPECT_TRUE(capability && none);
  for (const OpInfo& info : AllOps()) {
    if (info.op == Op::kNone || IsEnvironment(info.op)) continue;
    EXPECT_EQ(ops.count(info.op), 1u) << info.name;
  }
}

}  // namespace
}  // namespace lockstep
