// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/shrink.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/uapi.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "props/random.h"
#include "props/vocabulary.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Predicate = std::function<bool(const Program&)>;

constexpr uint32_t kReadWrite = uapi::kProtRead | uapi::kProtWrite;
constexpr uint32_t kPlainMap =
    uapi::kMapPrivate | uapi::kMapAnonymous | uapi::kMapFixed;

Step Call(Op op, uint64_t page = 0, uint64_t pages = 0) {
  Step step;
  step.op = op;
  step.addr = Address::Arena({page});
  step.length = pages * kPageSize;
  if (op == Op::kMmap) {
    step.prot = kReadWrite;
    step.flags = kPlainMap;
  }
  return step;
}

Program WithSteps(std::vector<Step> steps) {
  Program program;
  program.steps = std::move(steps);
  return program;
}

// Shrinks as if the predicate were a property that fails.
ShrinkResult ShrinkBy(const Program& program, const Predicate& fails) {
  return Shrink(program, [&](const Program& candidate) {
    return fails(candidate) ? std::optional<Violation>(Violation())
                            : std::nullopt;
  });
}

bool Has(const Program& program, const std::function<bool(const Step&)>& test) {
  return std::any_of(program.steps.begin(), program.steps.end(), test);
}

bool HasOp(const Program& program, Op op) {
  return Has(program, [op](const Step& step) { return step.op == op; });
}

// The first random program that fails.
Program RandomProgram(const Predicate& fails) {
  Vocabulary vocabulary({});
  Program program;
  for (uint64_t i = 0; i < 100000; ++i) {
    Random random(42, i);
    vocabulary.Generate(random, &program);
    if (fails(program)) return program;
  }
  ADD_FAILURE() << "no random program fails";
  return program;
}

std::vector<Program> RandomPrograms(size_t count) {
  Vocabulary vocabulary({});
  std::vector<Program> programs(count);
  for (size_t i = 0; i < count; ++i) {
    Random random(3, i);
    vocabulary.Generate(random, &programs[i]);
  }
  return programs;
}

// ---- The order ----

TEST(ShrinkOrderTest, EveryCandidateIsSimplerThanItsProgram) {
  for (const Program& program : RandomPrograms(40)) {
    SimplerPrograms simpler(program);
    while (const std::optional<Program> candidate = simpler.Next()) {
      ASSERT_TRUE(IsSimpler(*candidate, program)) << simpler.pass().name;
      ASSERT_FALSE(IsSimpler(program, *candidate)) << simpler.pass().name;
    }
  }
}

TEST(ShrinkOrderTest, IsATotalOrderOfProgramsThatDiffer) {
  std::vector<Program> programs = RandomPrograms(60);
  for (const Program& program : std::vector<Program>(programs)) {
    Program shorter = program;
    shorter.steps.resize(4);
    programs.push_back(std::move(shorter));
  }
  for (const Program& a : programs) {
    EXPECT_FALSE(IsSimpler(a, a));
    for (const Program& b : programs) {
      if (a == b) continue;
      ASSERT_NE(IsSimpler(a, b), IsSimpler(b, a));
    }
  }
  // Transitive: sorting by it puts every pair in order.
  std::sort(programs.begin(), programs.end(), IsSimpler);
  for (size_t i = 0; i < programs.size(); ++i) {
    for (size_t j = i + 1; j < programs.size(); ++j) {
      ASSERT_FALSE(IsSimpler(programs[j], programs[i]));
    }
  }
}

TEST(ShrinkOrderTest, FewerStepsComeBeforeEverythingElse) {
  Step strange = Call(Op::kMremap, 1000, 77);
  strange.addr = Address::Raw(~uint64_t{0});
  EXPECT_TRUE(
      IsSimpler(WithSteps({strange}),
                WithSteps({Call(Op::kMlock, 0, 1), Call(Op::kMlock, 0, 1)})));
}

TEST(ShrinkOrderTest, ADefaultConfigurationIsSimpler) {
  const Program plain = WithSteps({Call(Op::kMlock, 0, 9)});
  Program tuned = WithSteps({Call(Op::kMlock, 0, 1)});
  tuned.config.memlock_limit = 0;
  EXPECT_TRUE(IsSimpler(plain, tuned));
}

// ---- The passes ----

// A program that fails and the one that a single pass should make of it.
struct PassCase {
  std::string pass;
  Program before;
  Program after;
};

Step WithFlags(Step step, uint32_t flags) {
  step.flags = flags;
  return step;
}

Step During_(Step step, std::initializer_list<During> actions) {
  for (const During& action : actions) step.Add(action);
  return step;
}

During Action(Op op, uint64_t page = 0) {
  During during;
  during.point = Point::kMunlockIsolated;
  during.op = op;
  during.addr = Address::Arena({page});
  return during;
}

std::vector<PassCase> PassCases() {
  std::vector<PassCase> cases;
  const auto add = [&cases](std::string pass, Program before, Program after) {
    cases.push_back({std::move(pass), std::move(before), std::move(after)});
  };
  const Step mmap = Call(Op::kMmap, 0, 4);
  const Step mlock = Call(Op::kMlock, 0, 4);
  const Step munlock = Call(Op::kMunlock, 0, 4);

  Program noted = WithSteps({mmap});
  noted.description = "a story";
  noted.expectations.resize(1);
  add("drop-notes", noted, WithSteps({mmap}));

  add("delete-chunk", WithSteps({mmap, mlock, munlock, munlock}),
      WithSteps({mmap, mlock}));
  add("delete-step", WithSteps({mmap, mlock, munlock}),
      WithSteps({mmap, munlock}));
  add("delete-pair", WithSteps({mmap, mlock, munlock, mlock}),
      WithSteps({mmap, munlock}));

  Step cluttered = mlock;
  cluttered.value = 7;
  cluttered.new_addr = Address::Arena({3});
  add("clear-unused", WithSteps({cluttered}), WithSteps({mlock}));

  add("delete-during",
      WithSteps({During_(munlock, {Action(Op::kIsolate), Action(Op::kDrain)})}),
      WithSteps({During_(munlock, {Action(Op::kDrain)})}));

  Program tuned = WithSteps({mmap});
  tuned.config.zones = 2;
  tuned.config.memlock_limit = 0;
  tuned.config.stack_guard_gap = 3;
  add("default-config", tuned, WithSteps({mmap}));
  Program half_tuned = WithSteps({mmap});
  half_tuned.config.memlock_limit = 0;
  half_tuned.config.stack_guard_gap = 3;
  add("default-config", tuned, half_tuned);

  Program limited = WithSteps({mmap});
  limited.config.memlock_limit = 6 * kPageSize;
  Program more_limited = limited;
  more_limited.config.memlock_limit = 5 * kPageSize;
  add("step-to-config", WithSteps({Call(Op::kSetrlimit, 0, 6), mmap}), limited);

  Program at_limit = WithSteps({mmap, mlock});
  at_limit.config.memlock_limit = 4 * kPageSize;
  add("default-limit", at_limit,
      WithSteps({Call(Op::kMmap, 0, 16), Call(Op::kMlock, 0, 16)}));

  add("smaller-config", limited, more_limited);

  add("simplify-op",
      WithSteps({WithFlags(Call(Op::kMlock2, 0, 4), uapi::kMlockOnfault)}),
      WithSteps({mlock}));

  add("simplify-op", WithSteps({mmap, Call(Op::kMunlockall)}),
      WithSteps({mmap, munlock}));

  const Step locked = WithFlags(mmap, kPlainMap | uapi::kMapLocked);
  add("merge-lock", WithSteps({mmap, mlock, munlock}),
      WithSteps({locked, munlock}));

  Program small_huge = WithSteps({Call(Op::kMmap, 2, 4)});
  small_huge.config.hpage_pmd_order = 1;
  add("default-huge-pages", small_huge, WithSteps({Call(Op::kMmap, 16, 32)}));

  add("balance-lengths",
      WithSteps({Call(Op::kMmap, 0, 12), Call(Op::kMlock, 0, 4),
                 Call(Op::kMlock, 0, 12)}),
      WithSteps({Call(Op::kMmap, 0, 8), Call(Op::kMlock, 0, 8),
                 Call(Op::kMlock, 0, 8)}));

  add("drop-flag",
      WithSteps({WithFlags(mmap, uapi::kMapShared | uapi::kMapAnonymous |
                                     uapi::kMapFixed | uapi::kMapLocked)}),
      WithSteps({locked}));
  add("drop-flag",
      WithSteps(
          {WithFlags(mmap, kPlainMap | uapi::kMapLocked | uapi::kMapPopulate)}),
      WithSteps({WithFlags(mmap, kPlainMap | uapi::kMapLocked)}));
  Step read_only = mmap;
  read_only.prot = uapi::kProtRead;
  add("drop-flag", WithSteps({read_only}), WithSteps({mmap}));

  Step odd = mlock;
  odd.addr.value = 5 * kPageSize + 17;
  add("plain-address", WithSteps({odd}), WithSteps({Call(Op::kMlock, 5, 4)}));
  Step less_odd = odd;
  less_odd.addr.value = 5 * kPageSize + 1;
  add("plain-address", WithSteps({odd}), WithSteps({less_odd}));
  Step raw = mlock;
  raw.addr = Address::Raw(kTaskSize);
  add("plain-address", WithSteps({raw}), WithSteps({mlock}));

  // What is before stays, what covers gets shorter, what is behind moves.
  add("squeeze-pages",
      WithSteps({Call(Op::kMmap, 2, 10), Call(Op::kMlock, 2, 3),
                 Call(Op::kTouch, 8)}),
      WithSteps({Call(Op::kMmap, 2, 7), Call(Op::kMlock, 2, 3),
                 Call(Op::kTouch, 5)}));

  add("smaller-length", WithSteps({mmap}), WithSteps({Call(Op::kMmap, 0, 3)}));
  add("smaller-length", WithSteps({Call(Op::kMlock, 2, 4)}),
      WithSteps({Call(Op::kMlock, 3, 3)}));

  Step setrlimit = Call(Op::kSetrlimit, 0, 4);
  add("smaller-together", WithSteps({setrlimit, mmap, mlock}),
      WithSteps({Call(Op::kSetrlimit, 0, 3), Call(Op::kMmap, 0, 3),
                 Call(Op::kMlock, 0, 3)}));

  add("scale-down", WithSteps({Call(Op::kMmap, 4, 8), Call(Op::kMlock, 6, 2)}),
      WithSteps({Call(Op::kMmap, 2, 4), Call(Op::kMlock, 3, 1)}));

  Step fork = Call(Op::kFork);
  fork.slot = 5;
  Step child = Call(Op::kMlock, 9, 1);
  child.task = 5;
  Step fork_1 = fork;
  fork_1.slot = 1;
  Step child_1 = Call(Op::kMlock, 0, 1);
  child_1.task = 1;
  add("renumber", WithSteps({fork, child}), WithSteps({fork_1, child_1}));

  child_1.addr = child.addr;
  add("swap-slots", WithSteps({fork, child}), WithSteps({fork_1, child_1}));

  add("smaller-page", WithSteps({Call(Op::kMmap, 6, 1), Call(Op::kTouch, 9)}),
      WithSteps({Call(Op::kMmap, 6, 1), Call(Op::kTouch, 6)}));

  Step write = Call(Op::kTouch);
  write.value = 1;
  add("smaller-number", WithSteps({write}), WithSteps({Call(Op::kTouch)}));
  During late = Action(Op::kDrain);
  late.nth = 3;
  add("smaller-number", WithSteps({During_(munlock, {late})}),
      WithSteps({During_(munlock, {Action(Op::kDrain)})}));

  add("swap-steps", WithSteps({mmap, mlock}), WithSteps({mlock, mmap}));
  add("swap-steps",
      WithSteps({During_(munlock, {Action(Op::kIsolate), Action(Op::kDrain)})}),
      WithSteps(
          {During_(munlock, {Action(Op::kDrain), Action(Op::kIsolate)})}));
  return cases;
}

// All simpler candidates of one pass.
std::vector<Program> CandidatesOf(const std::string& pass,
                                  const Program& program) {
  std::vector<Program> candidates;
  SimplerPrograms simpler(program);
  while (std::optional<Program> candidate = simpler.Next()) {
    if (simpler.pass().name == pass)
      candidates.push_back(*std::move(candidate));
  }
  return candidates;
}

TEST(ShrinkPassTest, EachMakesTheCandidateItIsFor) {
  for (const PassCase& test : PassCases()) {
    EXPECT_THAT(CandidatesOf(test.pass, test.before),
                ::testing::Contains(test.after))
        << test.pass;
  }
}

TEST(ShrinkPassTest, EachHasACase) {
  std::set<std::string> with_case;
  for (const PassCase& test : PassCases()) with_case.insert(test.pass);
  for (const ShrinkPass& pass : AllShrinkPasses()) {
    EXPECT_THAT(with_case, ::testing::Contains(std::string(pass.name)));
  }
  EXPECT_THAT(with_case, SizeIs(AllShrinkPasses().size()));
}

TEST(ShrinkPassTest, NamesAreUnique) {
  std::set<absl::string_view> names;
  for (const ShrinkPass& pass : AllShrinkPasses()) names.insert(pass.name);
  EXPECT_THAT(names, SizeIs(AllShrinkPasses().size()));
}

TEST(ShrinkPassTest, TheEmptyProgramHasNoSimplerOne) {
  SimplerPrograms simpler((Program()));
  EXPECT_FALSE(simpler.Next().has_value());
}

TEST(ShrinkPassTest, SqueezingLowersTheLimitsToo) {
  Program before = WithSteps({Call(Op::kMmap, 0, 8), Call(Op::kMlock, 0, 8)});
  before.config.memlock_limit = 8 * kPageSize;
  Program after = WithSteps({Call(Op::kMmap, 0, 4), Call(Op::kMlock, 0, 4)});
  after.config.memlock_limit = 4 * kPageSize;
  EXPECT_THAT(CandidatesOf("squeeze-pages", before),
              ::testing::Contains(after));
}

// ---- Shrinking ----

TEST(ShrinkTest, WhatAlwaysFailsShrinksToNothing) {
  const ShrinkResult result =
      ShrinkBy(RandomPrograms(1)[0], [](const Program&) { return true; });
  EXPECT_EQ(result.program, Program());
}

TEST(ShrinkTest, FindsTheOneStepThatMatters) {
  const Predicate fails = [](const Program& program) {
    return HasOp(program, Op::kMigrate);
  };
  const ShrinkResult result = ShrinkBy(RandomProgram(fails), fails);
  EXPECT_EQ(result.program, WithSteps({Call(Op::kMigrate)}));
}

TEST(ShrinkTest, AnMlockAfterAMappingAtAnOddPage) {
  const Predicate fails = [](const Program& program) {
    bool odd = false;
    for (const Step& step : program.steps) {
      if (step.op == Op::kMmap && step.addr.base == Address::Base::kArena &&
          PageOf(step.addr.value).n % 2 == 1) {
        odd = true;
      }
      if (odd && step.op == Op::kMlock) return true;
    }
    return false;
  };
  const ShrinkResult result = ShrinkBy(RandomProgram(fails), fails);
  EXPECT_EQ(result.program,
            WithSteps({Call(Op::kMmap, 1, 1), Call(Op::kMlock, 0, 1)}));
}

TEST(ShrinkTest, ARangeThatMustCoverAnotherKeepsCoveringIt) {
  // As with a limit: what is locked must be what is mapped, three pages or
  // more.
  const Predicate fails = [](const Program& program) {
    return Has(program, [&](const Step& lock) {
      return lock.op == Op::kMlock && lock.length >= 3 * kPageSize &&
             lock.length < kTaskSize && Has(program, [&](const Step& map) {
               return map.op == Op::kMmap && map.addr == lock.addr &&
                      map.length == lock.length;
             });
    });
  };
  const ShrinkResult result = ShrinkBy(RandomProgram(fails), fails);
  EXPECT_EQ(result.program,
            WithSteps({Call(Op::kMlock, 0, 3), Call(Op::kMmap, 0, 3)}));
}

TEST(ShrinkTest, KeepsTheInterleavingThatMatters) {
  const Predicate fails = [](const Program& program) {
    return Has(program, [](const Step& step) {
      return step.op == Op::kMunlock && step.during_count > 0 &&
             step.during[step.during_count - 1].op == Op::kIsolate &&
             PageOf(step.during[step.during_count - 1].addr.value).n >= 2;
    });
  };
  const ShrinkResult result = ShrinkBy(RandomProgram(fails), fails);
  ASSERT_THAT(result.program.steps, SizeIs(1));
  const Step& step = result.program.steps[0];
  ASSERT_EQ(step.during_count, 1);
  EXPECT_EQ(step.during[0].op, Op::kIsolate);
  EXPECT_EQ(step.during[0].addr, Address::Arena({2}));
  EXPECT_EQ(step.length, kPageSize);
}

TEST(ShrinkTest, KeepsTheConfigurationThatMatters) {
  const Predicate fails = [](const Program& program) {
    return program.config.zones >= 2 && HasOp(program, Op::kMunlock);
  };
  const ShrinkResult result = ShrinkBy(RandomProgram(fails), fails);
  Program expected = WithSteps({Call(Op::kMunlock, 0, 1)});
  expected.config.zones = 2;
  EXPECT_EQ(result.program, expected);
}

TEST(ShrinkTest, StepsThatUndoEachOtherGoTogether) {
  // Fails only while both switches are on or both are off.
  const Predicate fails = [](const Program& program) {
    const auto switches =
        std::count_if(program.steps.begin(), program.steps.end(),
                      [](const Step& step) { return step.op == Op::kSetcap; });
    return switches % 2 == 0 && HasOp(program, Op::kMlock);
  };
  const ShrinkResult result = ShrinkBy(
      WithSteps({Call(Op::kSetcap), Call(Op::kMlock, 0, 1), Call(Op::kSetcap)}),
      fails);
  EXPECT_EQ(result.program, WithSteps({Call(Op::kMlock, 0, 1)}));
}

TEST(ShrinkTest, ManyRunsIntoOneBugEndInTheSameProgram) {
  // A lock of a shared mapping by a second task.
  const Predicate fails = [](const Program& program) {
    for (size_t i = 0; i < program.steps.size(); ++i) {
      const Step& map = program.steps[i];
      if (map.op != Op::kMmap || (map.flags & uapi::kMapShared) == 0) continue;
      for (size_t j = i + 1; j < program.steps.size(); ++j) {
        const Step& lock = program.steps[j];
        if (lock.op == Op::kMlock && lock.task != 0 && lock.addr == map.addr) {
          return true;
        }
      }
    }
    return false;
  };
  std::set<uint64_t> fingerprints;
  Vocabulary vocabulary({});
  Program program;
  int shrunk = 0;
  for (uint64_t i = 0; shrunk < 30; ++i) {
    ASSERT_LT(i, 1000000u);
    Random random(5, i);
    vocabulary.Generate(random, &program);
    if (!fails(program)) continue;
    ++shrunk;
    fingerprints.insert(Fingerprint(ShrinkBy(program, fails).program));
  }
  EXPECT_THAT(fingerprints, SizeIs(1));
}

TEST(ShrinkTest, TheResultIsAFixpoint) {
  // An awkward rule, so that shrinking stops in the middle of things.
  const Predicate fails = [](const Program& program) {
    uint64_t sum = program.config.zones;
    for (const Step& step : program.steps) {
      sum +=
          step.length / kPageSize * 3 + step.flags + PageOf(step.addr.value).n;
    }
    return program.steps.size() >= 3 && sum % 7 == 3;
  };
  const ShrinkResult result = ShrinkBy(RandomProgram(fails), fails);
  ASSERT_TRUE(fails(result.program));
  SimplerPrograms simpler(result.program);
  while (const std::optional<Program> candidate = simpler.Next()) {
    EXPECT_FALSE(fails(*candidate)) << simpler.pass().name;
  }
}

TEST(ShrinkTest, NoCandidateIsRunTwice) {
  std::map<uint64_t, int> runs;
  const Predicate fails = [&runs](const Program& program) {
    const bool failing =
        HasOp(program, Op::kMunlock) && HasOp(program, Op::kMmap);
    // Candidates are tidied first: then equal programs have equal fingerprints.
    if (program == Canonical(program)) ++runs[Fingerprint(program)];
    return failing;
  };
  const Program program = RandomProgram(fails);
  runs.clear();
  const ShrinkResult result = ShrinkBy(Canonical(program), fails);
  for (const auto& [fingerprint, count] : runs) EXPECT_LE(count, 1);
  EXPECT_GT(result.tried, 10u);
}

TEST(ShrinkTest, RangesGetDownToABoundOfGigabytesInFewCandidates) {
  // Two ranges that only get shorter together, to a bound that neither their
  // halves nor a single page less reach soon.
  constexpr uint64_t kBound = (uint64_t{1} << 31) + 5 * kPageSize;
  const Predicate fails = [](const Program& program) {
    return program.steps.size() == 2 && program.steps[0].length >= kBound &&
           program.steps[0].length == program.steps[1].length;
  };
  constexpr uint64_t kPages = (uint64_t{1} << 20) + 4;
  const ShrinkResult result = ShrinkBy(
      WithSteps({Call(Op::kMmap, 0, kPages), Call(Op::kMlock, 0, kPages)}),
      fails);
  EXPECT_EQ(result.program.steps[0].length, kBound);
  EXPECT_LT(result.tried, 1000u);
}

TEST(ShrinkTest, GivesTheViolationOfTheShrunkProgram) {
  const ShrinkResult result =
      Shrink(WithSteps({Call(Op::kMmap, 0, 1), Call(Op::kMlock, 0, 1)}),
             [](const Program& program) -> std::optional<Violation> {
               for (size_t i = 0; i < program.steps.size(); ++i) {
                 if (program.steps[i].op == Op::kMlock)
                   return Violation{"p", i, "", ""};
               }
               return std::nullopt;
             });
  EXPECT_THAT(result.program.steps, SizeIs(1));
  EXPECT_EQ(result.violation.step, 0u);
}

// ---- Canonical, SameViolation, Fingerprint ----

TEST(CanonicalTest, NumbersSlotsAndPagesFromZero) {
  Step shmget = Call(Op::kShmget, 0, 1);
  shmget.slot = 3;
  Step shmat = Call(Op::kShmat, 12);
  shmat.slot = 3;
  Step fork = Call(Op::kFork);
  fork.slot = 6;
  Step lock = Call(Op::kMlock, 12, 1);
  lock.task = 6;
  const Program canonical = Canonical(WithSteps({shmget, shmat, fork, lock}));
  EXPECT_EQ(canonical.steps[0].slot, 0);
  EXPECT_EQ(canonical.steps[1].slot, 0);
  EXPECT_EQ(canonical.steps[1].addr, Address::Arena({0}));
  EXPECT_EQ(canonical.steps[2].slot, 1);
  EXPECT_EQ(canonical.steps[3].task, 1);
  EXPECT_EQ(canonical.steps[3].addr, Address::Arena({0}));
}

TEST(CanonicalTest, IsItsOwnCanonicalForm) {
  for (const Program& program : RandomPrograms(200)) {
    const Program canonical = Canonical(program);
    ASSERT_EQ(Canonical(canonical), canonical);
  }
}

TEST(SameViolationTest, NeedsThePropertyTheCallAndTheOutcome) {
  const Program mlock = WithSteps({Call(Op::kMlock, 0, 1)});
  const Program longer =
      WithSteps({Call(Op::kMmap, 0, 1), Call(Op::kMlock, 4, 2)});
  const Program munlock = WithSteps({Call(Op::kMunlock, 0, 1)});
  const Violation here{"mlock-errno", 0, "OK", "ENOMEM, locked_vm 4"};
  const Violation there{"mlock-errno", 1, "OK", "ENOMEM, locked_vm 17"};
  EXPECT_TRUE(SameViolation(mlock, here, longer, there));
  EXPECT_FALSE(SameViolation(mlock, here, munlock, here));
  EXPECT_FALSE(SameViolation(mlock, here, longer, here));
  Violation other = here;
  other.seen = "EPERM, locked_vm 4";
  EXPECT_FALSE(SameViolation(mlock, here, mlock, other));
  other = here;
  other.property = "locked-vm";
  EXPECT_FALSE(SameViolation(mlock, here, mlock, other));
}

TEST(SameViolationTest, AnInvariantIsTheSameWhicheverCallBrokeIt) {
  const Violation violation{"nr-mlock", 0, "NR_MLOCK 0", "NR_MLOCK 1"};
  EXPECT_TRUE(SameViolation(WithSteps({Call(Op::kMunlock, 0, 1)}), violation,
                            WithSteps({Call(Op::kMunmap, 0, 1)}), violation));
}

TEST(SameViolationTest, Mlock2WithoutFlagsIsMlock) {
  const Violation violation{"mlock-effect", 0, "1", "2"};
  const Program mlock = WithSteps({Call(Op::kMlock, 0, 1)});
  const Program plain = WithSteps({Call(Op::kMlock2, 0, 1)});
  const Program onfault =
      WithSteps({WithFlags(Call(Op::kMlock2, 0, 1), uapi::kMlockOnfault)});
  EXPECT_TRUE(SameViolation(mlock, violation, plain, violation));
  EXPECT_FALSE(SameViolation(mlock, violation, onfault, violation));
}

TEST(FingerprintTest, IsTheSameOnEveryMachine) {
  EXPECT_EQ(
      Fingerprint(WithSteps({Call(Op::kMmap, 1, 2), Call(Op::kMlock, 1, 2)})),
      13001250337116851755u);
}

TEST(FingerprintTest, TellsProgramsApartByWhatTheirCallsUse) {
  const Program program = WithSteps({Call(Op::kMmap, 1, 2)});
  Program unused = program;
  unused.steps[0].new_addr = Address::Arena({5});
  unused.description = "other words";
  EXPECT_EQ(Fingerprint(unused), Fingerprint(program));

  std::vector<Program> others(6, program);
  others[0].steps[0].addr.value += 1;
  others[1].steps[0].flags |= uapi::kMapLocked;
  others[2].config.memlock_limit = 0;
  others[3].steps[0].task = 1;
  others[4].config.defects.Remove(Defect::kMclOnfaultAlone);
  others[5].steps[0].Add(Action(Op::kDrain));
  for (const Program& other : others) {
    EXPECT_NE(Fingerprint(other), Fingerprint(program));
  }
}

}  // namespace
}  // namespace lockstep
