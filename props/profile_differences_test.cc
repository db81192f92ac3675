// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/profile_differences.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "props/random.h"
#include "props/vocabulary.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr uint64_t BitOf(Behaviour behaviour) {
  return uint64_t{1} << static_cast<int>(behaviour);
}
absl::string_view NameOf(Behaviour behaviour) {
  return AllBehaviours()[static_cast<size_t>(behaviour)].name;
}
const Profile& Kernel(absl::string_view name) { return **FindProfile(name); }

// The programs of spec/ and regress/.
const std::vector<Program>& Corpus() {
  static const std::vector<Program>& programs = *[] {
    auto* loaded = new std::vector<Program>();
    for (const char* folder : {"spec", "regress"}) {
      const std::string path =
          absl::StrCat(LOCKSTEP_SOURCE_DIR, "/corpus/", folder);
      for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
        if (entry.path().extension() != ".txtpb") continue;
        absl::StatusOr<Program> program = LoadProgram(entry.path());
        EXPECT_TRUE(program.ok()) << program.status();
        if (program.ok()) loaded->push_back(*std::move(program));
      }
    }
    return loaded;
  }();
  return programs;
}

std::string Describe(const Program& program, const Violation& violation) {
  return absl::StrCat(DebugString(program.steps[violation.step]), ": expected ",
                      violation.expected, ", seen ", violation.seen, "\n",
                      FormatProgramText(program));
}

// A program against every other kernel than its own.
void ExpectExplained(ProfileComparison& comparison, const Program& program) {
  for (const Profile& other : AllProfiles()) {
    const auto violation =
        comparison.Check(program, *program.config.profile, other);
    ASSERT_TRUE(violation.ok()) << violation.status();
    ASSERT_FALSE(violation->has_value()) << Describe(program, **violation);
  }
}

TEST(ProfileDifferencesTest, HasEachBehaviourInItsPlace) {
  ASSERT_EQ(AllProfileDifferences().size(), AllBehaviours().size());
  for (size_t i = 0; i < AllBehaviours().size(); ++i) {
    const ProfileDifference& row = AllProfileDifferences()[i];
    EXPECT_EQ(row.behaviour, AllBehaviours()[i].behaviour);
    EXPECT_FALSE(row.what.empty()) << NameOf(row.behaviour);
  }
}

TEST(ProfileDifferencesTest, ExplainTheCorpus) {
  ProfileComparison comparison;
  for (Program program : Corpus()) {
    for (const Profile& profile : AllProfiles()) {
      program.config.profile = &profile;
      ExpectExplained(comparison, program);
    }
  }
}

TEST(ProfileDifferencesTest, ExplainRandomPrograms) {
  ProfileComparison comparison;
  for (const Profile& profile : AllProfiles()) {
    VocabularyOptions options;
    options.profile = &profile;
    Vocabulary vocabulary(options);
    Program program;
    for (uint64_t i = 0; i < 300; ++i) {
      Random random(2026, i);
      vocabulary.Generate(random, &program);
      ExpectExplained(comparison, program);
    }
  }
}

// A kernel that differs in one behaviour only.
Profile Flipped(const Profile& profile, Behaviour behaviour) {
  Profile other = profile;
  other.name = "another";
  other.behaviours ^= BitOf(behaviour);
  if (behaviour == Behaviour::kStackGuardGap) {
    other.stack_guard_gap = profile.stack_guard_gap == 1 ? 256 : 1;
  }
  return other;
}

// The calls that showed each behaviour first, over the corpus.
const std::map<Behaviour, uint64_t>& ShownByCorpus() {
  static const auto& shown = *[] {
    auto* ops = new std::map<Behaviour, uint64_t>();
    ProfileComparison comparison;
    for (const Program& program : Corpus()) {
      for (const Profile& profile : AllProfiles()) {
        for (const BehaviourInfo& info : AllBehaviours()) {
          const auto parting = comparison.FirstParting(
              program, profile, Flipped(profile, info.behaviour));
          EXPECT_TRUE(parting.ok()) << parting.status();
          if (!parting.ok() || !parting->has_value()) continue;
          (*ops)[info.behaviour] |= OpBit(program.steps[(*parting)->step].op);
        }
      }
    }
    return ops;
  }();
  return shown;
}

// Behaviours that no program of the corpus shows: those of pages and of where
// things are put, which take longer programs.
constexpr uint64_t kNotInCorpus = BitOf(Behaviour::kLruPerNode) |
                                  BitOf(Behaviour::kFlushWhenFull) |
                                  BitOf(Behaviour::kMlockWalksPages) |
                                  BitOf(Behaviour::kThpAlignedPlacement) |
                                  BitOf(Behaviour::kForkSkipsSharedHugetlb);

TEST(ProfileDifferencesTest, CorpusShowsEachRow) {
  for (const ProfileDifference& row : AllProfileDifferences()) {
    if ((kNotInCorpus & BitOf(row.behaviour)) != 0) continue;
    const auto shown = ShownByCorpus().find(row.behaviour);
    EXPECT_NE(shown, ShownByCorpus().end())
        << NameOf(row.behaviour) << " is shown by no program of the corpus";
  }
  for (const auto& [behaviour, ops] : ShownByCorpus()) {
    EXPECT_EQ(kNotInCorpus & BitOf(behaviour), 0u)
        << NameOf(behaviour) << " is shown by the corpus";
  }
}

// Without what a row says of a call that shows it, the check must fail.
TEST(ProfileDifferencesTest, EachRowIsNeeded) {
  for (const auto& [behaviour, shown] : ShownByCorpus()) {
    const ProfileDifference& row =
        AllProfileDifferences()[static_cast<size_t>(behaviour)];
    for (uint64_t left = shown; left != 0; left &= left - 1) {
      const int op = std::countr_zero(left);
      EXPECT_TRUE((row.ops >> op & 1) != 0)
          << NameOf(behaviour) << " shows after "
          << AllOps()[static_cast<size_t>(op)].name;
      std::vector<ProfileDifference> table(AllProfileDifferences().begin(),
                                           AllProfileDifferences().end());
      table[static_cast<size_t>(behaviour)].ops &= ~(uint64_t{1} << op);
      ProfileComparison comparison(table);
      bool noticed = false;
      for (const Program& program : Corpus()) {
        for (const Profile& profile : AllProfiles()) {
          const auto violation =
              comparison.Check(program, profile, Flipped(profile, behaviour));
          ASSERT_TRUE(violation.ok()) << violation.status();
          noticed = noticed || violation->has_value();
        }
        if (noticed) break;
      }
      EXPECT_TRUE(noticed) << "nobody notices that " << NameOf(behaviour)
                           << " lacks "
                           << AllOps()[static_cast<size_t>(op)].name;
    }
  }
}

// Between real kernels, too: some pair needs some row.
TEST(ProfileDifferencesTest, NothingPartsWithoutTheTable) {
  std::vector<ProfileDifference> table(AllProfileDifferences().begin(),
                                       AllProfileDifferences().end());
  for (ProfileDifference& row : table) row.ops = 0;
  ProfileComparison comparison(table);
  Program program;
  program.steps.resize(1);
  program.steps[0].op = Op::kMlock2;
  const auto violation =
      comparison.Check(program, Kernel("v3.12"), Kernel("v4.9"));
  ASSERT_TRUE(violation.ok());
  ASSERT_TRUE(violation->has_value());
  EXPECT_EQ((*violation)->property, kProfileDifferences);
  EXPECT_EQ((*violation)->step, 0u);
  EXPECT_EQ((*violation)->expected, "v3.12 and v4.9 do the same");
  EXPECT_THAT((*violation)->seen, HasSubstr("v3.12: ENOSYS; v4.9: OK"));
}

// What a row allows must be what the behaviour does: a row that names a call
// for the wrong behaviour explains nothing.
TEST(ProfileDifferencesTest, TheNamedBehaviourMustExplainIt) {
  std::vector<ProfileDifference> table(AllProfileDifferences().begin(),
                                       AllProfileDifferences().end());
  for (ProfileDifference& row : table) {
    row.ops = row.behaviour == Behaviour::kMadvFree ? OpBit(Op::kMlock2) : 0;
  }
  ProfileComparison comparison(table);
  Program program;
  program.steps.resize(1);
  program.steps[0].op = Op::kMlock2;
  const auto violation =
      comparison.Check(program, Kernel("v3.12"), Kernel("v4.9"));
  ASSERT_TRUE(violation.ok());
  ASSERT_TRUE(violation->has_value());
  EXPECT_EQ((*violation)->expected,
            "v3.12 and v4.9 do the same but for madv-free");
}

// What only a later call meets parts where it came about.
TEST(ProfileDifferencesTest, HiddenNumbersPartAtOnce) {
  const struct {
    const char *before, *after, *program, *seen;
    size_t step;
  } kCases[] = {
      {"v6.12", "v6.1",
       "steps { mmap { addr { page: 1 } length: 4096 prot: [READ, WRITE]"
       "  flags: [PRIVATE, FIXED, ANONYMOUS] } }"
       "steps { fail_allocation { nth: 1 } }"
       "steps { madvise { length: 8192 advice: POPULATE_WRITE } }"
       "steps { touch { addr { page: 1 } } }",
       "allocations until one fails: 1", 2},
      {"v3.12", "v4.9",
       "config { nr_hugepages: 1 }"
       "steps { mmap { length: 65536 prot: [READ, WRITE]"
       "  flags: [SHARED, FIXED, ANONYMOUS, HUGETLB] } }"
       "steps { mmap { addr { page: 16 } length: 4096 prot: [READ, WRITE]"
       "  flags: [SHARED, FIXED, ANONYMOUS, LOCKED] } }"
       "steps { touch { } }"
       "steps { madvise { length: 69632 advice: REMOVE } }"
       "steps { munlockall { } }",
       "huge pages in the pool: 0", 3},
      {"v4.9", "v6.1",
       "config { transparent_hugepage: ALWAYS }"
       "steps { mmap { length: 65536 prot: [READ, WRITE]"
       "  flags: [PRIVATE, FIXED, ANONYMOUS, LOCKED] } }"
       "steps { fork { child: 1 } }"
       "steps { task: 1 mlock { length: 65536 }"
       "  during { point: 'populate:page' nth: 1 fatal_signal { } } }"
       "steps { shmget { size: 4096 } }",
       "tasks with a fatal signal: 0", 2},
  };
  ProfileComparison comparison;
  for (const auto& row : kCases) {
    const absl::StatusOr<Program> program =
        ParseProgramText(row.program, "test");
    ASSERT_TRUE(program.ok()) << program.status();
    const auto parting = comparison.FirstParting(*program, Kernel(row.before),
                                                 Kernel(row.after));
    ASSERT_TRUE(parting.ok() && parting->has_value()) << row.seen;
    EXPECT_EQ((*parting)->step, row.step);
    EXPECT_EQ((*parting)->a, row.seen);
  }
}

TEST(ProfileDifferencesTest, AKernelAgreesWithItself) {
  ProfileComparison comparison(absl::Span<const ProfileDifference>{});
  for (const Program& program : Corpus()) {
    for (const Profile& profile : AllProfiles()) {
      const auto violation = comparison.Check(program, profile, profile);
      ASSERT_TRUE(violation.ok());
      EXPECT_FALSE(violation->has_value());
    }
  }
}

TEST(ProfileDifferencesTest, MixedProfilesHaveWhatWasAskedFor) {
  const Profile& old = Kernel("v3.12");
  const Profile& now = Kernel("v6.18");
  EXPECT_EQ(WithBehavioursOf(old, now, ~uint64_t{0}).behaviours,
            now.behaviours);
  EXPECT_EQ(WithBehavioursOf(old, now, 0).behaviours, old.behaviours);
  const Profile mixed =
      WithBehavioursOf(old, now, BitOf(Behaviour::kStackGuardGap));
  EXPECT_EQ(mixed.behaviours, BitOf(Behaviour::kStackGuardGap));
  EXPECT_EQ(mixed.stack_guard_gap, now.stack_guard_gap);
}

}  // namespace
}  // namespace lockstep
