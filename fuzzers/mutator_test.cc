// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "fuzzers/mutator.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "engine/program_proto.h"
#include "fuzzers/mutator_operations.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "props/random.h"
#include "props/vocabulary.h"

namespace lockstep {
namespace {

using ::testing::IsEmpty;
using ::testing::Le;

MutatorOptions AnyKernel() {
  MutatorOptions options;
  options.any_kernel = true;
  return options;
}

// A random program as mutation makes one.
Program Draw(uint64_t seed, const MutatorOptions& options = MutatorOptions()) {
  Random random(seed);
  Program program;
  Mutator(options).Mutate(random, &program);
  return program;
}

// FNV-1a of what a file would hold.
uint64_t HashOf(const Program& program, uint64_t hash) {
  for (const char c : FormatProgramText(program)) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  return hash;
}

// ---- Every compiler, every library ----

TEST(MutatorTest, SameSeedSameProgramsEverywhere) {
  Mutator mutator(AnyKernel());
  uint64_t hash = 0xcbf29ce484222325;
  Program program, other;
  Random random(2026);
  for (int i = 0; i < 2000; ++i) {
    if (i % 8 == 7) {
      mutator.CrossOver(random, other, &program);
    } else {
      mutator.Mutate(random, &program);
    }
    hash = HashOf(program, hash);
    if (i % 16 == 0) other = program;
    if (i % 64 == 63) program = Program();
  }
  // A change of the vocabulary or of an operation changes it: then the new
  // number belongs here. A compiler or library must not.
  EXPECT_EQ(hash, 0xcf724f998c9ad314u) << "0x" << std::hex << hash;
}

// ---- Programs that it makes ----

TEST(MutatorTest, MakesProgramsThatAFileHolds) {
  Mutator mutator(AnyKernel());
  Random random(1);
  Program program, other;
  for (int i = 0; i < 3000; ++i) {
    if (i % 5 == 4) {
      mutator.CrossOver(random, other, &program);
    } else {
      mutator.Mutate(random, &program);
    }
    ASSERT_THAT(program.steps.size(), Le(mutator.options().max_steps));
    const absl::StatusOr<Program> loaded =
        ParseProgramBinary(FormatProgramBinary(program), "bytes");
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    // Written as protobuf would have.
    ASSERT_EQ(FormatProgramBinary(program),
              ProgramToProto(program).SerializeAsString());
    // What the target runs, unparsed, is what anybody loads later.
    ASSERT_EQ(*loaded, program) << i << "\n" << FormatProgramText(program);
    if (i % 16 == 0) other = program;
    if (i % 100 == 99) program = Program();
  }
}

TEST(MutatorTest, MakesAProgramFromNothing) {
  EXPECT_EQ(Draw(3).steps.size(), VocabularyOptions().steps);
}

TEST(MutatorTest, CutsProgramsThatAreTooLong) {
  MutatorOptions options;
  options.max_steps = 8;
  Program program = Draw(1);
  ASSERT_EQ(program.steps.size(), 16u);
  Random random(1);
  Mutator(options).Mutate(random, &program);
  EXPECT_THAT(program.steps.size(), Le(8u));
}

TEST(MutatorTest, DropsWhatWasSeenOfTheProgramBefore) {
  Program program = Draw(1);
  program.expectations.emplace_back();
  program.description = "as it was";
  Random random(1);
  Mutator(MutatorOptions()).Mutate(random, &program);
  EXPECT_THAT(program.expectations, IsEmpty());
  EXPECT_THAT(program.description, IsEmpty());
}

TEST(MutatorTest, GivesEveryProgramTheTargetsKernel) {
  MutatorOptions options;
  options.vocabulary.profile = *FindProfile("v6.1");
  options.vocabulary.defects = {Defect::kMprotectNoCow};
  Program program = Draw(1);
  Random random(1);
  Mutator(options).Mutate(random, &program);
  EXPECT_EQ(program.config.profile->name, "v6.1");
  EXPECT_EQ(program.config.defects, DefectSet({Defect::kMprotectNoCow}));
}

TEST(MutatorTest, AnyKernelAndDefectComesUp) {
  Mutator mutator(AnyKernel());
  Random random(1);
  Program program;
  std::set<std::string> kernels;
  std::set<Defect> defects;
  for (int i = 0; i < 16000; ++i) {
    mutator.Mutate(random, &program);
    kernels.insert(std::string(program.config.profile->name));
    for (const DefectInfo& info : AllDefects()) {
      if (program.config.defects.Has(info.defect)) defects.insert(info.defect);
    }
  }
  EXPECT_EQ(kernels.size(), AllProfiles().size());
  EXPECT_EQ(defects.size(), AllDefects().size());
}

TEST(MutatorTest, ProgramsForARealKernelStayOnes) {
  MutatorOptions options;
  options.vocabulary.real_kernel = true;
  Mutator mutator(options);
  Random random(1);
  Program program, other = Draw(5);  // with what no process can do
  for (int i = 0; i < 2000; ++i) {
    if (i % 5 == 4) {
      mutator.CrossOver(random, other, &program);
    } else {
      mutator.Mutate(random, &program);
    }
    for (const Step& step : program.steps) {
      ASSERT_TRUE(Vocabulary::RunsForReal(step)) << DebugString(step);
      ASSERT_EQ(step.during_count, 0);
    }
    ASSERT_LE(program.config.memlock_limit, VocabularyOptions::kMostRealLimit);
    ASSERT_EQ(program.config.memory_pages, Config().memory_pages);
  }
}

// ---- Operations ----

// The outcome of one operation, often, on random programs.
struct Applied {
  Program before, after;
};
std::vector<Applied> Apply(const MutationOperation& operation, int times) {
  const MutatorOptions options = AnyKernel();
  Vocabulary vocabulary(options.vocabulary);
  std::vector<Applied> applied;
  for (int i = 0; i < times; ++i) {
    Random random(7, static_cast<uint64_t>(i));
    const Program other = Draw(1000 + static_cast<uint64_t>(i), options);
    const MutationContext context = {random, vocabulary, options, &other};
    Applied one;
    one.before = Draw(static_cast<uint64_t>(i), options);
    one.after = one.before;
    if (operation.apply(context, &one.after)) {
      applied.push_back(one);
    } else {
      EXPECT_TRUE(one.after == one.before)
          << operation.name << " says that it did nothing";
    }
  }
  return applied;
}

const MutationOperation& Find(absl::string_view name) {
  for (const MutationOperation& row : AllMutations()) {
    if (row.name == name) return row;
  }
  for (const MutationOperation& row : AllCrossOvers()) {
    if (row.name == name) return row;
  }
  ADD_FAILURE() << "no operation " << name;
  return AllMutations()[0];
}

TEST(MutationTest, RowsHaveNamesAndWeights) {
  std::set<absl::string_view> names;
  for (const auto table : {AllMutations(), AllCrossOvers()}) {
    for (const MutationOperation& row : table) {
      EXPECT_TRUE(names.insert(row.name).second) << row.name << " twice";
      EXPECT_FALSE(row.what.empty()) << row.name;
      EXPECT_GT(row.weight, 0u) << row.name;
    }
  }
}

TEST(MutationTest, EachChangesProgramsOrIsNotThere) {
  for (const auto table : {AllMutations(), AllCrossOvers()}) {
    for (const MutationOperation& row : table) {
      const std::vector<Applied> applied = Apply(row, 200);
      const auto changed = std::count_if(
          applied.begin(), applied.end(),
          [](const Applied& one) { return one.before != one.after; });
      // Some fields are drawn again as they were; seldom are most.
      EXPECT_GT(changed, 20) << row.name << " of " << applied.size();
    }
  }
}

using Counts = std::map<std::string, int>;
// The steps as a bag.
Counts BagOf(const Program& program) {
  Counts bag;
  for (const Step& step : program.steps) ++bag[DebugString(step)];
  return bag;
}

// How an operation changes the number of steps.
enum class Size { kSame, kMore, kFewer, kAny };
struct Shape {
  absl::string_view name;
  Size size;
  bool same_config;  // the configuration stays
  bool same_steps;   // the steps stay, in whatever order
  bool same_calls;   // their calls stay, in this order
};
constexpr Shape kShapes[] = {
    {"insert-step", Size::kMore, true, false, false},
    {"insert-steps", Size::kMore, true, false, false},
    {"delete-step", Size::kFewer, true, false, false},
    {"delete-steps", Size::kFewer, true, false, false},
    {"duplicate-step", Size::kMore, true, false, false},
    {"repeat-steps", Size::kMore, true, false, false},
    {"move-step", Size::kSame, true, true, false},
    {"move-steps", Size::kSame, true, true, false},
    {"swap-steps", Size::kSame, true, true, false},
    {"replace-step", Size::kSame, true, false, false},
    {"replace-tail", Size::kSame, true, false, false},
    {"start-anew", Size::kAny, false, false, false},
    {"redraw-fields", Size::kSame, true, false, true},
    {"redraw-field", Size::kSame, true, false, true},
    {"share-range", Size::kSame, true, false, true},
    {"touch-boundary", Size::kSame, true, false, true},
    {"shift-address", Size::kSame, true, false, true},
    {"resize", Size::kSame, true, false, true},
    {"leave-page", Size::kSame, true, false, true},
    {"flip-flag", Size::kSame, true, false, true},
    {"flip-protection", Size::kSame, true, false, true},
    {"change-call", Size::kSame, true, false, false},
    {"change-task", Size::kSame, true, false, true},
    {"change-task-of-run", Size::kSame, true, false, true},
    {"change-slot", Size::kSame, true, false, true},
    {"add-interleaving", Size::kSame, true, false, true},
    {"drop-interleaving", Size::kSame, true, false, true},
    {"change-interleaving", Size::kSame, true, false, true},
    {"move-into-call", Size::kFewer, true, false, false},
    {"move-out-of-call", Size::kMore, true, false, false},
    {"redraw-config", Size::kSame, false, true, true},
    {"redraw-config-field", Size::kSame, false, true, true},
    {"limit-at-boundary", Size::kSame, false, true, true},
    {"change-kernel", Size::kSame, false, true, true},
    {"flip-defect", Size::kSame, false, true, true},
    {"splice-tail", Size::kAny, true, false, false},
    {"splice-steps", Size::kMore, true, false, false},
    {"exchange-steps", Size::kAny, true, false, false},
    {"interleave", Size::kMore, true, false, false},
    {"take-config", Size::kSame, false, true, true},
};

TEST(MutationTest, EachDoesWhatItsNameSays) {
  EXPECT_EQ(std::size(kShapes), AllMutations().size() + AllCrossOvers().size());
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(shape.name);
    for (const auto& [before, after] : Apply(Find(shape.name), 100)) {
      const size_t was = before.steps.size();
      const size_t is = after.steps.size();
      EXPECT_TRUE(shape.size != Size::kSame || is == was);
      EXPECT_TRUE(shape.size != Size::kMore || is > was);
      EXPECT_TRUE(shape.size != Size::kFewer || is < was);
      EXPECT_GT(is, 0u);
      EXPECT_TRUE(!shape.same_config || after.config == before.config);
      EXPECT_TRUE(!shape.same_steps || BagOf(after) == BagOf(before));
      if (shape.same_calls) {
        for (size_t i = 0; i < was; ++i) {
          EXPECT_EQ(after.steps[i].op, before.steps[i].op);
        }
      }
    }
  }
}

// The index of the only step that differs; size() if there is none.
size_t ChangedStep(const Program& before, const Program& after) {
  size_t at = before.steps.size();
  for (size_t i = 0; i < before.steps.size(); ++i) {
    if (before.steps[i] == after.steps[i]) continue;
    EXPECT_EQ(at, before.steps.size()) << "two steps changed";
    at = i;
  }
  return at;
}

// Runs a check on the step that the operation changed.
template <typename Check>
void ForChangedSteps(absl::string_view operation, const Check& check) {
  SCOPED_TRACE(operation);
  for (const auto& [before, after] : Apply(Find(operation), 200)) {
    const size_t at = ChangedStep(before, after);
    if (at < before.steps.size()) {
      check(before, before.steps[at], after.steps[at]);
    }
  }
}

TEST(MutationTest, SharedRangesAreThoseOfAnotherStep) {
  int same = 0;
  ForChangedSteps("share-range", [&same](const Program& before, const Step&,
                                         const Step& now) {
    if (!InfoOf(now.op).Uses(Field::kLength)) return;
    for (const Step& step : before.steps) {
      const bool known = (step.addr == now.addr && step.length == now.length) ||
                         step.addr == now.new_addr;
      if (known && ++same > 0) return;
    }
    ADD_FAILURE() << DebugString(now) << " shares no range";
  });
  EXPECT_GT(same, 20);
}

TEST(MutationTest, BoundariesAreThoseOfAnotherStep) {
  ForChangedSteps("touch-boundary", [](const Program& before, const Step&,
                                       const Step& now) {
    const uint64_t start = now.addr.value;
    const bool ranged = InfoOf(now.op).Uses(Field::kLength);
    const uint64_t end = start + (ranged ? now.length : kPageSize);
    for (const Step& step : before.steps) {
      const uint64_t first = step.addr.value;
      const uint64_t last = first + step.length;
      if (start == last || end == first || end == last ||
          start == first - kPageSize) {
        return;
      }
    }
    ADD_FAILURE() << DebugString(now) << " touches nothing";
  });
}

TEST(MutationTest, FlagsChangeByOneNamedBit) {
  ForChangedSteps(
      "flip-flag", [](const Program&, const Step& was, const Step& now) {
        Step rest = now;
        rest.flags = was.flags;
        EXPECT_EQ(rest, was) << "only flags change";
        if (was.op == Op::kMadvise || was.op == Op::kShmctl) return;
        EXPECT_EQ(std::popcount(was.flags ^ now.flags), 1) << DebugString(now);
      });
}

TEST(MutationTest, LimitIsAPageAtMostFromASumOfLocks) {
  for (const auto& [before, after] : Apply(Find("limit-at-boundary"), 200)) {
    const uint64_t limit = after.config.memlock_limit;
    const uint64_t near = limit % kPageSize;
    EXPECT_TRUE(near == 0 || near == kPageSize - 1) << limit;
  }
}

TEST(MutationTest, InterleavingsComeAndGo) {
  for (const auto& [before, after] : Apply(Find("add-interleaving"), 100)) {
    const size_t at = ChangedStep(before, after);
    ASSERT_LT(at, after.steps.size());
    EXPECT_EQ(after.steps[at].during_count, before.steps[at].during_count + 1);
    const Step& step = after.steps[at];
    EXPECT_NE(step.during[step.during_count - 1].point, Point::kNone);
  }
  for (const auto& [before, after] : Apply(Find("drop-interleaving"), 100)) {
    const size_t at = ChangedStep(before, after);
    ASSERT_LT(at, after.steps.size());
    EXPECT_EQ(after.steps[at].during_count, before.steps[at].during_count - 1);
  }
}

TEST(MutationTest, DefectsAreThoseOfTheKernel) {
  for (const auto& [before, after] : Apply(Find("flip-defect"), 200)) {
    const Profile& profile = *after.config.profile;
    for (const DefectInfo& info : AllDefects()) {
      if (!after.config.defects.Has(info.defect)) continue;
      EXPECT_TRUE(profile.applicable.Has(info.defect)) << info.name;
    }
  }
}

// ---- Crossovers ----

TEST(CrossOverTest, TailsAreTheOthers) {
  for (const auto& [before, after] : Apply(Find("splice-tail"), 50)) {
    EXPECT_EQ(after.steps.front(), before.steps.front());
  }
}

TEST(CrossOverTest, InterleavedProgramsKeepTheirOrder) {
  const MutatorOptions options;
  Vocabulary vocabulary(options.vocabulary);
  for (uint64_t i = 0; i < 50; ++i) {
    Random random(i);
    const Program a = Draw(i), b = Draw(i + 100);
    Program merged = a;
    const MutationContext context = {random, vocabulary, options, &b};
    ASSERT_TRUE(Find("interleave").apply(context, &merged));
    ASSERT_EQ(merged.steps.size(), a.steps.size() + b.steps.size());
    for (const Program* part : {&a, &b}) {
      size_t next = 0;
      for (const Step& step : merged.steps) {
        if (next < part->steps.size() && step == part->steps[next]) ++next;
      }
      EXPECT_EQ(next, part->steps.size());
    }
  }
}

TEST(CrossOverTest, OfAnEmptyProgramIsTheOther) {
  const Program other = Draw(7);
  Program program;
  Random random(1);
  Mutator(MutatorOptions()).CrossOver(random, other, &program);
  EXPECT_EQ(program.steps, other.steps);
  Mutator(MutatorOptions()).CrossOver(random, Program(), &program);
  EXPECT_EQ(program.steps, other.steps);
}

}  // namespace
}  // namespace lockstep
