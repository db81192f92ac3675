// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Random programs against every property: a kernel without its defects keeps
// them all, and each defect breaks one.

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/reference/reference_engine.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "props/hunt.h"
#include "props/rapidcheck_program.h"
#include "props/runner.h"
#include "props/shrink.h"
#include "props/vocabulary.h"
#include "rapidcheck.h"
#include "rapidcheck/gtest.h"

namespace lockstep {
namespace {

using ::testing::IsEmpty;

// The same programs every time: searching anew is what `lockstep fuzz` is for.
// RC_PARAMS of the environment wins.
const int kParameters = setenv("RC_PARAMS", "max_success=20000 seed=1", 0);

std::string TestName(absl::string_view name) {
  std::string result(name);
  std::replace_if(
      result.begin(), result.end(),
      [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return result;
}

// ---- Without defects ----

class PropertiesTest : public testing::TestWithParam<const Profile*> {};

TEST_P(PropertiesTest, HoldOverRandomProgramsWithoutDefects) {
  VocabularyOptions options;
  options.profile = GetParam();
  options.defects = {};
  options.steps = 24;
  reference::ReferenceEngine engine;
  Runner runner(&engine, Checking::kFull);
  rc::check("every property holds after every step", [&] {
    const Program program = *GenProgram(options);
    const absl::StatusOr<std::optional<Violation>> violation =
        runner.Run(program);
    RC_ASSERT(violation.ok());
    if (violation->has_value()) {
      RC_LOG() << (*violation)->property << " after step " << (*violation)->step
               << ": expected " << (*violation)->expected << ", seen "
               << (*violation)->seen << "\n";
      RC_FAIL("a property does not hold");
    }
  });
}

std::vector<const Profile*> Profiles() {
  std::vector<const Profile*> profiles;
  for (const Profile& profile : AllProfiles()) profiles.push_back(&profile);
  return profiles;
}

INSTANTIATE_TEST_SUITE_P(AllProfiles, PropertiesTest,
                         testing::ValuesIn(Profiles()), [](const auto& info) {
                           return TestName(info.param->name);
                         });

// ---- The generator ----

TEST(GenProgramTest, ShrinksToTheSameProgramAsShrink) {
  const auto fails = [](const Program& program) {
    return std::any_of(
        program.steps.begin(), program.steps.end(), [](const Step& step) {
          return step.op == Op::kMunlock && step.length >= 2 * kPageSize;
        });
  };
  Program program;
  Vocabulary vocabulary({});
  for (uint64_t i = 0; !fails(program); ++i) {
    Random random(1, i);
    vocabulary.Generate(random, &program);
  }
  // As RapidCheck does: the first simpler one that fails, until there is none.
  rc::Shrinkable<Program> best = ShrinkableProgram(program);
  for (bool progress = true; progress;) {
    progress = false;
    rc::Seq<rc::Shrinkable<Program>> simpler = best.shrinks();
    while (rc::Maybe<rc::Shrinkable<Program>> candidate = simpler.next()) {
      if (!fails(candidate->value())) continue;
      best = *candidate;
      progress = true;
      break;
    }
  }
  const ShrinkResult shrunk = Shrink(program, [&](const Program& candidate) {
    return fails(candidate) ? std::optional<Violation>(Violation())
                            : std::nullopt;
  });
  EXPECT_EQ(best.value(), shrunk.program);
}

TEST(GenProgramTest, IsDeterministicForARandomState) {
  const rc::Gen<Program> gen = GenProgram({});
  const rc::Random random(99);
  EXPECT_EQ(gen(random, rc::kNominalSize).value(),
            gen(random, rc::kNominalSize).value());
}

TEST(GenProgramTest, ShowsTheProgramAsAFileThatLoads) {
  const Program program = GenProgram({})(rc::Random(5), 50).value();
  std::ostringstream shown;
  showValue(program, shown);
  const absl::StatusOr<Program> loaded = ParseProgramText(shown.str(), "shown");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->steps.size(), program.steps.size());
}

// ---- With one defect ----

struct DefectCase {
  const Profile* profile;
  const DefectInfo* defect;
};

std::vector<DefectCase> DefectCases() {
  std::vector<DefectCase> cases;
  for (const Profile& profile : AllProfiles()) {
    for (const DefectInfo& info : AllDefects()) {
      if (profile.applicable.Has(info.defect)) {
        cases.push_back({&profile, &info});
      }
    }
  }
  return cases;
}

class DefectTest : public testing::TestWithParam<DefectCase> {
 protected:
  // Hunts until there is a violation of that property, or for `programs`; of
  // any property if it is empty.
  HuntResult HuntFor(DefectSet defects, uint64_t programs,
                     absl::string_view property = "") {
    std::atomic<bool> stop = false;
    HuntOptions options;
    options.vocabulary.profile = GetParam().profile;
    options.vocabulary.defects = defects;
    options.max_programs = programs;
    options.stop = &stop;
    options.make_engine = [] {
      return std::make_unique<reference::ReferenceEngine>();
    };
    options.on_finding = [&](const HuntFinding& finding) {
      if (property.empty() || finding.violation.property == property) {
        stop = true;
      }
    };
    absl::StatusOr<HuntResult> result = Hunt(options);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *std::move(result) : HuntResult();
  }
};

TEST_P(DefectTest, IsFoundByTheCatalogsProperty) {
  constexpr uint64_t kPrograms = 2000000;
  const DefectInfo& defect = *GetParam().defect;
  const HuntResult on = HuntFor({defect.defect}, kPrograms, defect.property);
  std::set<std::string> properties;
  for (const HuntFinding& finding : on.findings) {
    properties.insert(finding.violation.property);
    std::cout << defect.number << " breaks " << finding.violation.property
              << " after " << finding.program.steps.size() << " steps (program "
              << finding.index << ")\n";
    RecordProperty("property", finding.violation.property);
  }
  EXPECT_THAT(properties, testing::Contains(std::string(defect.property)))
      << "after " << on.statistics.programs << " programs";

  // What was found is the defect's doing: the same programs without it.
  const HuntResult off = HuntFor({}, on.statistics.programs);
  EXPECT_THAT(off.statistics.hits, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(AllDefects, DefectTest,
                         testing::ValuesIn(DefectCases()),
                         [](const auto& info) {
                           return TestName(
                               absl::StrCat(info.param.profile->name, "_",
                                            info.param.defect->number, "_",
                                            info.param.defect->name));
                         });

}  // namespace
}  // namespace lockstep
