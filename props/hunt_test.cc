// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/hunt.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <ostream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "engine/reference/reference_engine.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "props/shrink.h"

namespace lockstep {

// What a failure shows of a finding: the rule and the file that replays it.
void PrintTo(const HuntFinding& finding, std::ostream* os) {
  *os << finding.violation.property << " after step " << finding.violation.step
      << ": expected " << finding.violation.expected << ", seen "
      << finding.violation.seen << "\n"
      << FormatProgramText(finding.program);
}

namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;
using ::testing::SizeIs;

HuntOptions WithDefects(DefectSet defects, uint64_t programs) {
  HuntOptions options;
  options.vocabulary.defects = defects;
  options.max_programs = programs;
  options.make_engine = [] {
    return std::make_unique<reference::ReferenceEngine>();
  };
  return options;
}

HuntResult MustHunt(const HuntOptions& options) {
  absl::StatusOr<HuntResult> result = Hunt(options);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *std::move(result) : HuntResult();
}

std::vector<uint64_t> Fingerprints(const HuntResult& result) {
  std::vector<uint64_t> fingerprints;
  for (const HuntFinding& finding : result.findings) {
    fingerprints.push_back(finding.fingerprint);
  }
  return fingerprints;
}

TEST(HuntTest, FindsNothingWhereThereIsNoDefect) {
  const HuntResult result = MustHunt(WithDefects({}, 5000));
  EXPECT_THAT(result.findings, IsEmpty());
  EXPECT_EQ(result.statistics.violations, 0u);
  EXPECT_EQ(result.statistics.programs, 5000u);
  EXPECT_EQ(result.statistics.steps, 5000u * 16);
}

TEST(HuntTest, ShrinksADefectToItsSmallestProgram) {
  const HuntResult result =
      MustHunt(WithDefects({Defect::kMclOnfaultAlone}, 5000));
  ASSERT_THAT(result.findings, Not(IsEmpty()));
  const auto mlockall =
      std::find_if(result.findings.begin(), result.findings.end(),
                   [](const HuntFinding& finding) {
                     return finding.violation.property == "mlockall-errno";
                   });
  ASSERT_NE(mlockall, result.findings.end());
  EXPECT_THAT(mlockall->program.steps, SizeIs(1));
  EXPECT_EQ(mlockall->violation.step, 0u);
  EXPECT_EQ(mlockall->fingerprint, Fingerprint(mlockall->program));
}

TEST(HuntTest, AFindingFailsAgainWhereItSays) {
  const HuntResult result =
      MustHunt(WithDefects({Defect::kMclOnfaultAlone}, 5000));
  reference::ReferenceEngine engine;
  Runner runner(&engine);
  for (const HuntFinding& finding : result.findings) {
    const auto again = runner.Run(finding.program);
    ASSERT_TRUE(again.ok());
    ASSERT_TRUE(again->has_value());
    EXPECT_EQ(**again, finding.violation);
  }
}

TEST(HuntTest, WithOneJobTheResultDependsOnTheOptionsAlone) {
  const HuntOptions options = WithDefects({Defect::kMclOnfaultAlone}, 4000);
  const HuntResult first = MustHunt(options);
  const HuntResult second = MustHunt(options);
  EXPECT_EQ(Fingerprints(first), Fingerprints(second));
  EXPECT_EQ(first.statistics.steps, second.statistics.steps);
  EXPECT_EQ(first.statistics.hits, second.statistics.hits);
  EXPECT_EQ(first.statistics.shrink_runs, second.statistics.shrink_runs);
  HuntOptions other = options;
  other.seed = 2;
  EXPECT_NE(MustHunt(other).statistics.steps, first.statistics.steps);
}

TEST(HuntTest, JobsShareThePrograms) {
  HuntOptions options = WithDefects({}, 3000);
  const HuntResult alone = MustHunt(options);
  options.jobs = 3;
  const HuntResult together = MustHunt(options);
  EXPECT_EQ(together.statistics.programs, 3000u);
  for (const OpInfo& info : AllOps()) {
    EXPECT_EQ(together.statistics.outcomes.ByName(info.op),
              alone.statistics.outcomes.ByName(info.op))
        << info.name;
  }
}

TEST(HuntTest, EndsWithTheProgramThatReachesTheLimitOfSteps) {
  HuntOptions options = WithDefects({}, HuntOptions::kNoLimit);
  options.max_steps = 1000;
  const HuntStatistics statistics = MustHunt(options).statistics;
  EXPECT_EQ(statistics.programs, 63u);  // 62 * 16 = 992
  EXPECT_EQ(statistics.steps, 63u * 16);
}

TEST(HuntTest, EndsWhenTheTimeIsOver) {
  HuntOptions options = WithDefects({}, HuntOptions::kNoLimit);
  options.max_time = std::chrono::milliseconds(20);
  EXPECT_GT(MustHunt(options).statistics.programs, 0u);
}

TEST(HuntTest, EndsWhenItIsStoppedAndKeepsWhatItFound) {
  std::atomic<bool> stop = false;
  HuntOptions options =
      WithDefects({Defect::kMclOnfaultAlone}, HuntOptions::kNoLimit);
  options.stop = &stop;
  options.jobs = 2;
  options.on_finding = [&](const HuntFinding&) { stop = true; };
  EXPECT_THAT(MustHunt(options).findings, Not(IsEmpty()));
}

TEST(HuntTest, AnnouncesEachFindingOnce) {
  HuntOptions options = WithDefects({Defect::kMclOnfaultAlone}, 20000);
  std::vector<uint64_t> announced;
  options.on_finding = [&](const HuntFinding& finding) {
    announced.push_back(finding.fingerprint);
  };
  const HuntResult result = MustHunt(options);
  EXPECT_THAT(announced,
              testing::UnorderedElementsAreArray(Fingerprints(result)));
  EXPECT_THAT(std::set<uint64_t>(announced.begin(), announced.end()),
              SizeIs(announced.size()));
}

TEST(HuntTest, AFrequentBugIsNotShrunkEveryTime) {
  const HuntStatistics statistics =
      MustHunt(WithDefects({Defect::kMclOnfaultAlone}, 50000)).statistics;
  EXPECT_GT(statistics.violations, 1000u);
  EXPECT_LT(statistics.shrinks, statistics.violations / 4);
}

TEST(HuntTest, CountsEveryStepUnderItsCallAndOutcome) {
  const HuntStatistics statistics = MustHunt(WithDefects({}, 2000)).statistics;
  uint64_t calls = 0;
  uint64_t outcomes = 0;
  for (const OpInfo& info : AllOps()) {
    calls += statistics.outcomes.Calls(info.op);
    for (const auto& [name, count] : statistics.outcomes.ByName(info.op)) {
      outcomes += count;
    }
  }
  EXPECT_EQ(calls, statistics.steps);
  EXPECT_EQ(outcomes, statistics.steps);
  EXPECT_THAT(statistics.outcomes.ByName(Op::kMlock), Contains(Key("OK")));
  EXPECT_THAT(statistics.outcomes.ByName(Op::kMlock), Contains(Key("ENOMEM")));
}

TEST(HuntTest, CountsHitsByProperty) {
  const HuntStatistics statistics =
      MustHunt(WithDefects({Defect::kMclOnfaultAlone}, 5000)).statistics;
  uint64_t hits = 0;
  for (const auto& [property, count] : statistics.hits) hits += count;
  EXPECT_EQ(hits, statistics.violations);
  EXPECT_THAT(statistics.hits, Contains(Key("mlockall-errno")));
}

// An engine that is not there.
class AbsentEngine : public Engine {
 public:
  absl::string_view name() const override { return "absent"; }
  absl::Status Reset(const Config&) override {
    return absl::UnavailableError("no such machine");
  }
  Outcome Run(const Step&) override { return Outcome::Unsupported(); }
  void Observe(int, TaskState*) const override {}
  uint32_t ChangedTasks() const override { return 0; }
  PageState ObservePage(int, Vpn) const override { return {}; }
  bool AllPresent(int, Vpn, Vpn) const override { return false; }
  ShmState ObserveShm(int) const override { return {}; }
  Pages LockedShm(int) const override { return {}; }
  uint64_t FileSize(int) const override { return 0; }
  StepEvents Events() const override { return {}; }
  absl::Status Counter(absl::string_view, int64_t*) const override {
    return absl::UnavailableError("no such machine");
  }
};

TEST(HuntTest, SaysWhyWhenTheEngineRefusesEveryProgram) {
  HuntOptions options = WithDefects({}, 100);
  options.make_engine = [] { return std::make_unique<AbsentEngine>(); };
  EXPECT_EQ(Hunt(options).status(), absl::UnavailableError("no such machine"));
}

TEST(HuntTest, NeedsAJob) {
  HuntOptions options = WithDefects({}, 1);
  options.jobs = 0;
  EXPECT_TRUE(absl::IsInvalidArgument(Hunt(options).status()));
}

}  // namespace
}  // namespace lockstep
