// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/runner.h"

#include <cerrno>
#include <cstdint>
#include <functional>
#include <optional>
#include <ostream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "engine/program.h"
#include "engine/reference/machine.h"
#include "engine/reference/reference_engine.h"
#include "engine/uapi.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "props/vocabulary.h"

namespace lockstep {

// A violation in a failure message. Found by argument dependent lookup.
void PrintTo(const Violation& violation, std::ostream* os) {
  *os << violation.property << " after step " << violation.step << ": expected "
      << violation.expected << ", seen " << violation.seen;
}

namespace {

using reference::Machine;
using reference::ReferenceEngine;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Field;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Optional;

Config NoDefects() {
  Config config;
  config.defects = {};
  return config;
}

Step Mmap(uint64_t page, uint64_t pages) {
  Step step;
  step.op = Op::kMmap;
  step.addr = Address::Arena(Vpn{page});
  step.length = pages * kPageSize;
  step.prot = uapi::kProtRead | uapi::kProtWrite;
  step.flags = uapi::kMapPrivate | uapi::kMapFixed | uapi::kMapAnonymous;
  return step;
}
Step Over(Op op, uint64_t page, uint64_t pages) {
  Step step;
  step.op = op;
  step.addr = Address::Arena(Vpn{page});
  step.length = pages * kPageSize;
  return step;
}
Step MlockallOnfaultAlone() {
  Step step;
  step.op = Op::kMlockall;
  step.flags = uapi::kMclOnfault;
  return step;
}

// ---- The two ways of checking ----

struct Universe {
  const Profile* profile;
  absl::string_view name;
  DefectSet defects;
};
std::ostream& operator<<(std::ostream& os, const Universe& universe) {
  return os << universe.profile->name << " " << universe.name;
}

std::vector<Universe> Universes() {
  std::vector<Universe> universes;
  for (const Profile& profile : AllProfiles()) {
    universes.push_back({&profile, "without_defects", {}});
    universes.push_back({&profile, "as_shipped", profile.shipped});
    universes.push_back({&profile, "with_every_defect", profile.applicable});
  }
  return universes;
}

class CheckingTest : public testing::TestWithParam<Universe> {};

TEST_P(CheckingTest, IncrementalAndFullFindTheSameFirstViolation) {
  constexpr uint64_t kSeed = 20;
  constexpr uint64_t kPrograms = 8000;
  VocabularyOptions options;
  options.profile = GetParam().profile;
  options.defects = GetParam().defects;
  options.steps = 32;
  Vocabulary vocabulary(options);
  ReferenceEngine incremental_engine, full_engine;
  Runner incremental(&incremental_engine, Checking::kIncremental);
  Runner full(&full_engine, Checking::kFull);

  Program program;
  std::set<std::string> properties;
  for (uint64_t i = 0; i < kPrograms; ++i) {
    Random random(kSeed, i);
    vocabulary.Generate(random, &program);
    absl::StatusOr<std::optional<Violation>> touched = incremental.Run(program);
    absl::StatusOr<std::optional<Violation>> all = full.Run(program);
    ASSERT_TRUE(touched.ok()) << touched.status();
    ASSERT_TRUE(all.ok()) << all.status();
    ASSERT_EQ(touched->has_value(), all->has_value())
        << "program " << i << ": "
        << testing::PrintToString(touched->has_value() ? *touched : *all)
        << "\n"
        << FormatProgramText(program);
    ASSERT_EQ(incremental.steps(), full.steps()) << "program " << i;
    ASSERT_EQ(incremental.outcome(), full.outcome()) << "program " << i;
    if (!touched->has_value()) continue;
    ASSERT_EQ((*touched)->property, (*all)->property) << "program " << i;
    ASSERT_EQ((*touched)->step, (*all)->step) << "program " << i;
    properties.insert((*all)->property);
  }
  // Else the test has compared nothing with nothing.
  if (GetParam().defects.empty()) {
    EXPECT_THAT(properties, IsEmpty());
  } else {
    EXPECT_THAT(properties, Not(IsEmpty()));
  }
}

INSTANTIATE_TEST_SUITE_P(Universes, CheckingTest,
                         testing::ValuesIn(Universes()), [](const auto& info) {
                           return absl::StrCat(
                               absl::StrReplaceAll(info.param.profile->name,
                                                   {{".", "_"}}),
                               "_", info.param.name);
                         });

// ---- Properties do not trust what they check ----

// A book that the model keeps, falsified between two steps.
struct FalseBook {
  absl::string_view property;
  void (*falsify)(Machine& machine);
  absl::string_view expected;
  absl::string_view seen;
};

std::ostream& operator<<(std::ostream& os, const FalseBook& book) {
  return os << book.property;
}

class FalseBookTest : public testing::TestWithParam<FalseBook> {};

TEST_P(FalseBookTest, IsComparedWithACountFromFirstPrinciples) {
  for (Checking checking : {Checking::kIncremental, Checking::kFull}) {
    ReferenceEngine engine;
    Runner runner(&engine, checking);
    ASSERT_TRUE(runner.Start(NoDefects()).ok());
    ASSERT_EQ(runner.Run(Mmap(0, 4)), std::nullopt);
    ASSERT_EQ(runner.Run(Over(Op::kMlock, 0, 2)), std::nullopt);
    GetParam().falsify(engine.machine_for_test());
    // A step that changes the true number: a check that copies the engine's
    // number, or adds to it, would not see the difference.
    EXPECT_THAT(
        runner.Run(Over(Op::kMlock, 2, 1)),
        Optional(
            AllOf(Field(&Violation::property, std::string(GetParam().property)),
                  Field(&Violation::step, 2u),
                  Field(&Violation::expected, std::string(GetParam().expected)),
                  Field(&Violation::seen, std::string(GetParam().seen)))));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Books, FalseBookTest,
    testing::Values(
        FalseBook{
            "locked-vm",
            [](Machine& machine) { machine.mms[0].locked_vm += Pages{2}; },
            "locked_vm 3", "locked_vm 5"},
        FalseBook{"nr-mlock",
                  [](Machine& machine) { machine.nr_mlock[0] -= 2; },
                  "NR_MLOCK 3 in zone 0", "NR_MLOCK 1"},
        FalseBook{"lru-size",
                  [](Machine& machine) {
                    ++machine.lruvecs[0].lists[reference::kUnevictable].size;
                  },
                  "3 pages on list 4 of lruvec 0", "4"},
        FalseBook{"frame-count",
                  [](Machine& machine) { machine.free_frames += 5; },
                  "1021 free frames", "1026"}),
    [](const auto& info) {
      std::string name(info.param.property);
      name[name.find('-')] = '_';
      return name;
    });

// Another engine than the reference, which lies in one of its answers.
class LyingEngine final : public Engine {
 public:
  std::function<void(const Step&, Outcome*)> about_outcome;
  std::function<void(TaskState*)> about_task;
  std::function<void(PageState*)> about_pages;
  absl::Status about_reset;

  absl::string_view name() const override { return "lying"; }
  absl::Status Reset(const Config& config) override {
    if (!about_reset.ok()) return about_reset;
    return truth_.Reset(config);
  }
  Outcome Run(const Step& step) override {
    Outcome outcome = truth_.Run(step);
    if (about_outcome) about_outcome(step, &outcome);
    return outcome;
  }
  void Observe(int task, TaskState* state) const override {
    truth_.Observe(task, state);
    if (about_task && state->exists) about_task(state);
  }
  uint32_t ChangedTasks() const override { return truth_.ChangedTasks(); }
  PageState ObservePage(int task, Vpn page) const override {
    PageState state = truth_.ObservePage(task, page);
    if (about_pages) about_pages(&state);
    return state;
  }
  bool AllPresent(int task, Vpn start, Vpn end) const override {
    for (Vpn page = start; page < end; ++page) {
      if (!ObservePage(task, page).present) return false;
    }
    return true;
  }
  ShmState ObserveShm(int slot) const override {
    return truth_.ObserveShm(slot);
  }
  Pages LockedShm(int uid) const override { return truth_.LockedShm(uid); }
  uint64_t FileSize(int slot) const override { return truth_.FileSize(slot); }
  StepEvents Events() const override { return truth_.Events(); }
  absl::Status Counter(absl::string_view counter,
                       int64_t* value) const override {
    return truth_.Counter(counter, value);
  }

 private:
  ReferenceEngine truth_;
};

Program MapAndLock() {
  Program program;
  program.config = NoDefects();
  program.steps = {Mmap(0, 4), Over(Op::kMlock, 0, 2)};
  return program;
}

// The property that the runner names after MapAndLock; none if all hold.
std::string Caught(LyingEngine& engine) {
  Runner runner(&engine, Checking::kFull);
  absl::StatusOr<std::optional<Violation>> violation = runner.Run(MapAndLock());
  EXPECT_TRUE(violation.ok()) << violation.status();
  if (!violation.ok() || !violation->has_value()) return "";
  return (*violation)->property;
}

TEST(ContractsOfAnyEngineTest, HoldForOneThatTellsTheTruth) {
  LyingEngine engine;
  EXPECT_EQ(Caught(engine), "");
}

TEST(ContractsOfAnyEngineTest, SeeAWrongErrno) {
  LyingEngine engine;
  engine.about_outcome = [](const Step& step, Outcome* outcome) {
    if (step.op == Op::kMlock) *outcome = Outcome::Errno(ENOMEM);
  };
  EXPECT_EQ(Caught(engine), "mlock-errno");
}

TEST(ContractsOfAnyEngineTest, SeeAWrongLockedVm) {
  LyingEngine engine;
  engine.about_task = [](TaskState* state) {
    // From the start on, so that every change of it is right.
    state->locked_vm += Pages{1};
  };
  EXPECT_EQ(Caught(engine), "locked-vm-observed");
}

TEST(ContractsOfAnyEngineTest, SeeALockThatIsNotThere) {
  LyingEngine engine;
  engine.about_task = [](TaskState* state) {
    for (Range& range : state->ranges) range.bits &= ~uint32_t{kRangeLocked};
    state->locked_vm = Pages{0};
  };
  EXPECT_EQ(Caught(engine), "mlock-effect");
}

TEST(ContractsOfAnyEngineTest, SeeAPageThatIsNotThere) {
  LyingEngine engine;
  engine.about_pages = [](PageState* state) { *state = {}; };
  EXPECT_EQ(Caught(engine), "mlock-residency");
}

// ---- What the runner tells ----

TEST(RunnerTest, CountsStepsAndKeepsTheLastOutcome) {
  ReferenceEngine engine;
  Runner runner(&engine);
  ASSERT_TRUE(runner.Start(NoDefects()).ok());
  EXPECT_EQ(runner.steps(), 0u);
  EXPECT_EQ(runner.outcome(), Outcome());
  EXPECT_EQ(runner.Run(Mmap(3, 2)), std::nullopt);
  EXPECT_EQ(runner.steps(), 1u);
  EXPECT_EQ(runner.outcome(), Outcome::Ok(kArenaBase + 3 * kPageSize));
  EXPECT_EQ(runner.Run(Over(Op::kMlock, 4, 2)), std::nullopt);
  EXPECT_EQ(runner.steps(), 2u);
  EXPECT_EQ(runner.outcome(), Outcome::Errno(ENOMEM));
  // The part that is mapped is locked all the same.
  EXPECT_EQ(runner.world().tasks[0].locked_vm, Pages{1});
  EXPECT_EQ(&runner.engine(), &engine);
}

TEST(RunnerTest, StartsAnew) {
  ReferenceEngine engine;
  Runner runner(&engine);
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(runner.Start(NoDefects()).ok());
    EXPECT_EQ(runner.steps(), 0u);
    EXPECT_EQ(runner.outcome(), Outcome());
    EXPECT_EQ(runner.world().tasks[0].locked_vm, Pages{0});
    EXPECT_THAT(runner.world().tasks[0].ranges, IsEmpty());
    EXPECT_EQ(runner.Run(Mmap(0, 4)), std::nullopt);
    EXPECT_EQ(runner.Run(Over(Op::kMlock, 0, 2)), std::nullopt);
    EXPECT_EQ(runner.world().tasks[0].locked_vm, Pages{2});
  }
}

TEST(RunnerTest, StopsAProgramAtItsFirstViolation) {
  Program program = MapAndLock();
  program.config.defects.Add(Defect::kMclOnfaultAlone);
  program.steps.push_back(MlockallOnfaultAlone());
  program.steps.push_back(Over(Op::kMunmap, 0, 4));
  ReferenceEngine engine;
  Runner runner(&engine);
  absl::StatusOr<std::optional<Violation>> violation = runner.Run(program);
  ASSERT_TRUE(violation.ok()) << violation.status();
  EXPECT_THAT(
      *violation,
      Optional(AllOf(Field(&Violation::property, "mlockall-errno"),
                     Field(&Violation::step, 2u),
                     Field(&Violation::expected, Not(IsEmpty())),
                     Field(&Violation::seen, testing::HasSubstr("OK")))));
  EXPECT_EQ(runner.steps(), 3u);
  EXPECT_EQ(runner.outcome(), Outcome::Ok());
  // Going on is allowed.
  EXPECT_EQ(runner.Run(program.steps[3]), std::nullopt);
  EXPECT_EQ(runner.steps(), 4u);
}

TEST(RunnerTest, ChecksNothingIfToldSo) {
  Program program = MapAndLock();
  program.config.defects.Add(Defect::kMclOnfaultAlone);
  program.steps.push_back(MlockallOnfaultAlone());
  ReferenceEngine engine;
  Runner runner(&engine, Checking::kNone);
  absl::StatusOr<std::optional<Violation>> violation = runner.Run(program);
  ASSERT_TRUE(violation.ok()) << violation.status();
  EXPECT_EQ(*violation, std::nullopt);
  EXPECT_EQ(runner.steps(), 3u);
  EXPECT_EQ(runner.outcome(), Outcome::Ok());
  engine.machine_for_test().free_frames -= 1;
  engine.machine_for_test().nr_mlock[0] += 1;
  EXPECT_EQ(runner.Run(Over(Op::kMunmap, 0, 4)), std::nullopt);
  EXPECT_EQ(runner.steps(), 4u);
}

TEST(RunnerTest, PassesOnThatAnEngineCannotStart) {
  LyingEngine engine;
  engine.about_reset = absl::UnavailableError("no such kernel here");
  Runner runner(&engine);
  EXPECT_EQ(runner.Start(NoDefects()), engine.about_reset);
  EXPECT_EQ(runner.Run(MapAndLock()).status(), engine.about_reset);
}

// ---- The catalogue ----

TEST(AllPropertiesTest, HaveUniqueNamesAndSayWhatMustHold) {
  std::set<absl::string_view> names;
  for (const PropertyInfo& property : AllProperties()) {
    EXPECT_TRUE(names.insert(property.name).second) << property.name;
    EXPECT_THAT(property.name, Not(IsEmpty()));
    EXPECT_THAT(property.statement, Not(IsEmpty())) << property.name;
    EXPECT_THAT(property.source, Not(IsEmpty())) << property.name;
  }
}

TEST(AllPropertiesTest, AreInvariantsThenContractsThenAgreements) {
  PropertyKind kind = PropertyKind::kInvariant;
  std::set<PropertyKind> kinds;
  for (const PropertyInfo& property : AllProperties()) {
    EXPECT_GE(property.kind, kind) << property.name;
    kind = property.kind;
    kinds.insert(kind);
  }
  EXPECT_EQ(kinds.size(), 3u);
}

TEST(AllPropertiesTest, IncludeThoseThatSeeTheDefects) {
  std::set<absl::string_view> names;
  for (const PropertyInfo& property : AllProperties()) {
    names.insert(property.name);
  }
  for (const DefectInfo& defect : AllDefects()) {
    EXPECT_THAT(names, Contains(defect.property)) << defect.name;
  }
}

}  // namespace
}  // namespace lockstep
