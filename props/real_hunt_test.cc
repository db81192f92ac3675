// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/real_hunt.h"

#include <cerrno>
#include <set>

#include "engine/linux/trace_testing.h"
#include "engine/reference/reference_engine.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "props/comparison.h"
#include "props/shrink.h"

namespace lockstep {
namespace {

using ::testing::Contains;
using ::testing::Key;

// A kernel that is the model, with an error of its own.
class ModelKernel : public Kernel {
 public:
  enum class Error {
    kNone,
    kMunlockSaysEagain,  // of more than two pages
    kOnlyInBatches,      // the same, but not for a program by itself
    kRefusesAll,
    kGone,
  };
  explicit ModelKernel(Error error) : error_(error) {}

  absl::string_view name() const override { return "host"; }
  absl::string_view release() const override { return "4.9.337"; }
  absl::Span<const std::string> limitations() const override { return {}; }
  Times times() const override { return {}; }
  absl::StatusOr<std::vector<Trace>> Run(
      absl::Span<const Program> programs) override {
    ++runs;
    if (error_ == Error::kGone && runs > 1) {
      return absl::UnavailableError("the kernel is gone");
    }
    std::vector<Trace> traces;
    for (const Program& program : programs) {
      Trace image;
      image.image_lockable = Pages{7};
      image.image_other = Pages{1};
      Program traced = program;
      traced.config = AsTraced(program.config, image);
      traces.push_back(RecordTrace(traced, &engine_));
      Trace& trace = traces.back();
      if (error_ == Error::kRefusesAll) {
        trace = Trace();
        trace.end = wire::End::kRefused;
      }
      const bool wrong =
          error_ == Error::kMunlockSaysEagain ||
          (error_ == Error::kOnlyInBatches && programs.size() > 1);
      for (size_t i = 0; wrong && i < trace.steps.size(); ++i) {
        if (program.steps[i].op == Op::kMunlock &&
            program.steps[i].length > 2 * kPageSize &&
            trace.steps[i].outcome.ok()) {
          trace.steps[i].outcome = Outcome::Errno(EAGAIN);
        }
      }
    }
    return traces;
  }

  int runs = 0;

 private:
  const Error error_;
  reference::ReferenceEngine engine_;
};

RealHuntOptions Options(Kernel* kernel, uint64_t programs) {
  RealHuntOptions options;
  options.kernel = kernel;
  options.confirm = kernel;
  options.max_programs = programs;
  options.seed = 5;
  return options;
}

TEST(RealHuntTest, AKernelThatAgreesHasNoFindings) {
  ModelKernel kernel(ModelKernel::Error::kNone);
  RealHuntOptions options = Options(&kernel, 1500);
  options.vocabulary.defects = {};
  const RealHuntResult result = RealHunt(options);
  EXPECT_TRUE(result.status.ok()) << result.status;
  for (const RealFinding& finding : result.findings) {
    ADD_FAILURE() << finding.violation.property << ": "
                  << finding.violation.expected << " / "
                  << finding.violation.seen << "\n"
                  << FormatProgramText(finding.program);
  }
  EXPECT_EQ(result.statistics.programs, 1500u);
  EXPECT_GT(result.statistics.steps, 20000u);
  EXPECT_EQ(kernel.runs, 6);  // batches of 256
  EXPECT_GT(result.statistics.outcomes.Calls(Op::kMlock), 500u);
}

TEST(RealHuntTest, AnErrorIsShrunkOnTheKernel) {
  ModelKernel kernel(ModelKernel::Error::kMunlockSaysEagain);
  RealHuntOptions options = Options(&kernel, 512);
  options.vocabulary.defects = {};
  int told = 0;
  options.on_finding = [&](const RealFinding&) { ++told; };
  const RealHuntResult result = RealHunt(options);
  ASSERT_FALSE(result.findings.empty());
  EXPECT_EQ(told, static_cast<int>(result.findings.size()));
  const RealFinding& finding = result.findings.front();
  EXPECT_EQ(finding.violation.property, "munlock-errno");
  EXPECT_EQ(finding.violation.seen, "EAGAIN");
  // mmap and munlock of three pages.
  EXPECT_EQ(finding.program.steps.size(), 2u);
  EXPECT_EQ(finding.trace.steps.size(), 2u);
  EXPECT_EQ(finding.trace.steps[1].outcome, Outcome::Errno(EAGAIN));
  EXPECT_EQ(finding.fingerprint, Fingerprint(finding.program));
  std::set<uint64_t> fingerprints;
  for (const RealFinding& each : result.findings) {
    EXPECT_TRUE(fingerprints.insert(each.fingerprint).second);
  }
  EXPECT_THAT(result.statistics.hits, Contains(Key("munlock-errno")));
}

TEST(RealHuntTest, TheSameSeedFindsTheSame) {
  std::vector<uint64_t> fingerprints[2];
  for (auto& run : fingerprints) {
    ModelKernel kernel(ModelKernel::Error::kMunlockSaysEagain);
    for (const RealFinding& finding :
         RealHunt(Options(&kernel, 256)).findings) {
      run.push_back(finding.fingerprint);
    }
  }
  EXPECT_FALSE(fingerprints[0].empty());
  EXPECT_EQ(fingerprints[0], fingerprints[1]);
}

TEST(RealHuntTest, WhatDoesNotShowAgainIsCountedNotReported) {
  ModelKernel kernel(ModelKernel::Error::kOnlyInBatches);
  RealHuntOptions options = Options(&kernel, 256);
  options.vocabulary.defects = {};
  const RealHuntResult result = RealHunt(options);
  EXPECT_TRUE(result.findings.empty());
  EXPECT_FALSE(result.unconfirmed.empty());
}

TEST(RealHuntTest, WhatIsJudgedIsCountedByName) {
  ModelKernel kernel(ModelKernel::Error::kMunlockSaysEagain);
  RealHuntOptions options = Options(&kernel, 512);
  options.vocabulary.defects = {};
  Judged row;
  row.name = "munlock-is-tired";
  row.engines = {"host"};
  row.property = "munlock-errno";
  row.call = "munlock";
  row.seen = "EAGAIN";
  options.judged = {row};
  const RealHuntResult result = RealHunt(options);
  EXPECT_TRUE(result.findings.empty());
  EXPECT_EQ(result.judged.at("munlock-is-tired"),
            result.statistics.hits.at("munlock-errno"));
}

TEST(RealHuntTest, WhatAShippedDefectExplainsIsCountedByItsName) {
  ModelKernel kernel(ModelKernel::Error::kNone);
  RealHuntOptions options = Options(&kernel, 1500);
  options.vocabulary.profile = *FindProfile("v6.18");
  options.vocabulary.defects = options.vocabulary.profile->shipped;
  const RealHuntResult result = RealHunt(options);
  for (const RealFinding& finding : result.findings) {
    ADD_FAILURE() << finding.violation.property << ": "
                  << finding.violation.expected << " / "
                  << finding.violation.seen << "\n"
                  << FormatProgramText(finding.program);
  }
  EXPECT_THAT(result.explained, Contains(Key("dontunmap-double-charge")));
}

TEST(RealHuntTest, AKernelThatIsGoneEndsTheHuntWithWhatWasFound) {
  ModelKernel kernel(ModelKernel::Error::kGone);
  const RealHuntResult result = RealHunt(Options(&kernel, 1000));
  EXPECT_EQ(result.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(result.statistics.programs, 256u);
}

TEST(RealHuntTest, RefusedProgramsAreCounted) {
  ModelKernel kernel(ModelKernel::Error::kRefusesAll);
  const RealHuntResult result = RealHunt(Options(&kernel, 300));
  EXPECT_EQ(result.statistics.refused, 300u);
  EXPECT_EQ(result.statistics.steps, 0u);
}

TEST(RealHuntTest, StopsWhenAsked) {
  ModelKernel kernel(ModelKernel::Error::kNone);
  std::atomic<bool> stop{true};
  RealHuntOptions options = Options(&kernel, 1000);
  options.stop = &stop;
  EXPECT_EQ(RealHunt(options).statistics.programs, 0u);
  EXPECT_EQ(kernel.runs, 0);
}

}  // namespace
}  // namespace lockstep
