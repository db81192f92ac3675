// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Runs every program of corpus/: spec/ (one per rule), regress/ (every bug we
// had) and defects/ (the smallest witness of each defect).

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <optional>
#include <ostream>
#include <set>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "engine/defect.h"
#include "engine/profile.h"
#include "engine/program.h"
#include "engine/reference/reference_engine.h"
#include "gtest/gtest.h"
#include "props/property.h"
#include "props/runner.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

std::string CorpusPath(absl::string_view name) {
  return absl::StrCat(LOCKSTEP_SOURCE_DIR, "/corpus/", name);
}

// The programs of one folder of the corpus, by name.
std::vector<std::string> ProgramsIn(absl::string_view folder) {
  std::vector<std::string> paths;
  std::error_code error;
  for (const fs::directory_entry& entry :
       fs::directory_iterator(CorpusPath(folder), error)) {
    if (entry.path().extension() == ".txtpb") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// Property and values of the first thing that went wrong, or "none".
std::string Describe(const Program& program,
                     const std::optional<Violation>& violation) {
  if (!violation.has_value()) return "none";
  return absl::StrCat(violation->property, " after step ", violation->step,
                      ", ", DebugString(program.steps[violation->step]),
                      ": expected ", violation->expected, ", seen ",
                      violation->seen);
}

struct Violations {
  std::optional<Violation> property;     // the first of a property
  std::optional<Violation> expectation;  // the first of what the file says
};

// Runs to the end or to the first violated property, checking everything.
Violations RunChecked(const Program& program) {
  reference::ReferenceEngine engine;
  Runner runner(&engine, Checking::kFull);
  Violations violations;
  const absl::Status started = runner.Start(program.config);
  EXPECT_TRUE(started.ok()) << started.ToString();
  if (!started.ok()) return violations;
  for (size_t i = 0; i < program.steps.size(); ++i) {
    violations.property = runner.Run(program.steps[i]);
    if (!violations.expectation.has_value()) {
      violations.expectation =
          CheckExpectations(program, i, runner.outcome(), engine);
    }
    if (violations.property.has_value()) break;
  }
  return violations;
}

// One program on one profile.
struct Case {
  std::string path;
  const Profile* profile;
};
void PrintTo(const Case& test_case, std::ostream* os) {
  *os << test_case.path << " on " << test_case.profile->name;
}

// The profiles that the program's expectations name; all if they name none. A
// program that does not load is a case of its own, so that a test fails.
std::vector<Case> CasesIn(absl::string_view folder) {
  std::vector<Case> cases;
  for (const std::string& path : ProgramsIn(folder)) {
    std::set<std::string> kernels;
    absl::StatusOr<Program> program = LoadProgram(path);
    if (program.ok()) {
      for (const Expectation& expectation : program->expectations) {
        kernels.insert(expectation.kernels.begin(), expectation.kernels.end());
      }
    }
    for (const Profile& profile : AllProfiles()) {
      if (kernels.empty() || kernels.contains(std::string(profile.name))) {
        cases.push_back({path, &profile});
      }
    }
  }
  return cases;
}

std::string CaseName(const testing::TestParamInfo<Case>& info) {
  std::string name = absl::StrCat(fs::path(info.param.path).stem().string(),
                                  "_on_", info.param.profile->name);
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

class Spec : public testing::TestWithParam<Case> {};
class Regress : public testing::TestWithParam<Case> {};

// Loads the program for the profile, every defect off.
absl::StatusOr<Program> LoadWithoutDefects(const Case& test_case) {
  absl::StatusOr<Program> program = LoadProgram(test_case.path);
  if (program.ok()) {
    program->config.SetProfile(*test_case.profile);
    program->config.defects = DefectSet();
  }
  return program;
}

void ExpectHolds(const Program& program) {
  const Violations violations = RunChecked(program);
  EXPECT_EQ(Describe(program, violations.property), "none");
  EXPECT_EQ(Describe(program, violations.expectation), "none");
}

TEST_P(Spec, HoldsOnAKernelWithoutDefects) {
  absl::StatusOr<Program> program = LoadWithoutDefects(GetParam());
  ASSERT_TRUE(program.ok()) << program.status().ToString();
  ASSERT_FALSE(program->expectations.empty()) << "the program expects nothing";
  ExpectHolds(*program);
}
INSTANTIATE_TEST_SUITE_P(Corpus, Spec, testing::ValuesIn(CasesIn("spec")),
                         CaseName);

TEST_P(Regress, HoldsOnAKernelWithoutDefects) {
  absl::StatusOr<Program> program = LoadWithoutDefects(GetParam());
  ASSERT_TRUE(program.ok()) << program.status().ToString();
  ExpectHolds(*program);
}
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Regress);
INSTANTIATE_TEST_SUITE_P(Corpus, Regress, testing::ValuesIn(CasesIn("regress")),
                         CaseName);

// By name: a row of the catalogue would be printed as bytes.
class DefectWitness : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    absl::StatusOr<Program> program = LoadProgram(
        CorpusPath(absl::StrCat("defects/", info().name, ".txtpb")));
    ASSERT_TRUE(program.ok()) << program.status().ToString();
    program_ = *std::move(program);
  }
  const DefectInfo& info() const { return *FindDefect(GetParam()); }
  Program program_;
};

TEST_P(DefectWitness, FailsThePropertyThatTheCatalogueNames) {
  ASSERT_EQ(program_.config.defects, DefectSet({info().defect}));
  const Violations violations = RunChecked(program_);
  ASSERT_TRUE(violations.property.has_value()) << "no property fails";
  EXPECT_EQ(violations.property->property, info().property)
      << Describe(program_, violations.property);
  EXPECT_EQ(violations.property->step, program_.steps.size() - 1)
      << "steps behind the violation are not needed";
  EXPECT_EQ(Describe(program_, violations.expectation), "none");
}

TEST_P(DefectWitness, FailsNothingWithoutTheDefect) {
  program_.config.defects.Remove(info().defect);
  const Violations violations = RunChecked(program_);
  EXPECT_EQ(Describe(program_, violations.property), "none");
}

TEST_P(DefectWitness, NeedsEachOfItsSteps) {
  for (size_t i = 0; i < program_.steps.size(); ++i) {
    Program shorter = program_;
    shorter.expectations.clear();
    shorter.steps.erase(shorter.steps.begin() + i);
    const Violations violations = RunChecked(shorter);
    EXPECT_EQ(Describe(shorter, violations.property), "none")
        << "without step " << i;
  }
}

std::vector<std::string> DefectNames() {
  std::vector<std::string> names;
  for (const DefectInfo& info : AllDefects()) names.emplace_back(info.name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Corpus, DefectWitness,
                         testing::ValuesIn(DefectNames()),
                         [](const testing::TestParamInfo<std::string>& info) {
                           return std::string(FindDefect(info.param)->number);
                         });

std::set<std::string> NamesOf(absl::string_view folder) {
  std::set<std::string> names;
  for (const std::string& path : ProgramsIn(folder)) {
    names.insert(fs::path(path).stem());
  }
  return names;
}

TEST(Corpus, HasAWitnessOfEachDefectAndNoOther) {
  const std::vector<std::string> list = DefectNames();
  const std::set<std::string> names(list.begin(), list.end());
  EXPECT_EQ(NamesOf("defects"), names);
}

// corpus/spec/README.md says which programs cover which row.
TEST(Corpus, ReadmeListsEachProgramOfSpecAndNoOther) {
  std::ifstream file(CorpusPath("spec/README.md"));
  std::stringstream text;
  text << file.rdbuf();
  const std::string readme = text.str();
  // Every second piece is between backquotes; names start with a section.
  std::set<std::string> listed;
  bool quoted = false;
  for (absl::string_view piece : absl::StrSplit(readme, '`')) {
    if (quoted && absl::ascii_isdigit(piece.empty() ? ' ' : piece[0])) {
      listed.insert(std::string(piece));
    }
    quoted = !quoted;
  }
  EXPECT_EQ(NamesOf("spec"), listed);
}

// A program in another folder, or under another name, would be run by nothing.
TEST(Corpus, HasNoFileThatNoTestReads) {
  const std::set<std::string> programs = {"defects", "regress", "spec"};
  const std::set<std::string> others = {"CMakeLists.txt", "README.md",
                                        "judged.txtpb"};
  for (const fs::directory_entry& entry :
       fs::recursive_directory_iterator(CorpusPath(""))) {
    const fs::path path = fs::relative(entry.path(), CorpusPath(""));
    const std::string folder = path.parent_path().string();
    // golden/ has a test of its own.
    if (entry.is_directory() || folder == "golden" ||
        others.contains(path.filename().string())) {
      continue;
    }
    EXPECT_TRUE(programs.contains(folder)) << path;
    EXPECT_EQ(path.extension(), ".txtpb") << path;
  }
}

// Seeds are the binary form.
TEST(Corpus, ProgramsAreTheSameInBothFormats) {
  for (const char* folder : {"defects", "regress", "spec"}) {
    for (const std::string& path : ProgramsIn(folder)) {
      absl::StatusOr<Program> program = LoadProgram(path);
      ASSERT_TRUE(program.ok()) << program.status().ToString();
      absl::StatusOr<Program> binary =
          ParseProgramBinary(FormatProgramBinary(*program), path);
      ASSERT_TRUE(binary.ok()) << binary.status().ToString();
      EXPECT_TRUE(*binary == *program) << path;
      absl::StatusOr<Program> text =
          ParseProgramText(FormatProgramText(*program), path);
      ASSERT_TRUE(text.ok()) << text.status().ToString();
      EXPECT_TRUE(*text == *program) << path;
    }
  }
}

// For a program to replay by hand as the test runs it.
TEST(Corpus, SpecProgramsSwitchDefectsOffThemselves) {
  for (const std::string& path : ProgramsIn("spec")) {
    absl::StatusOr<Program> program = LoadProgram(path);
    ASSERT_TRUE(program.ok()) << program.status().ToString();
    EXPECT_TRUE(program->config.defects.empty()) << path;
  }
}

}  // namespace
}  // namespace lockstep
