// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/findings.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/report.h"
#include "tools/session.h"
#include "tools/testing.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const FindingFiles kFiles = {{{"program.txtpb", "p"}, {"repro.c", "c"}}};

std::vector<std::string> Names(const std::string& directory) {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// MCL_ONFAULT alone is taken by v4.9: D6.
Program MclOnfaultAlone() {
  absl::StatusOr<Program> program =
      ParseProgramText("steps { mlockall { flags: ONFAULT } }", "program");
  return *program;
}

Violation ViolationOf(const Program& program) {
  absl::StatusOr<std::optional<Violation>> violation = Judge(program);
  EXPECT_TRUE(violation.ok() && violation->has_value());
  return violation.ok() ? violation->value_or(Violation()) : Violation();
}

TEST(SaveFinding, WritesTheWholeDirectoryAndNothingBesides) {
  const TemporaryDirectory directory;
  const absl::StatusOr<std::string> path =
      SaveFinding(directory.path(), "rule-1", kFiles);
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_EQ(*path, directory.path("rule-1"));
  EXPECT_THAT(Names(directory.path()), ElementsAre("rule-1"));
  EXPECT_THAT(Names(*path), ElementsAre("program.txtpb", "repro.c"));
  EXPECT_EQ(ReadAll(*path + "/repro.c"), "c");
}

TEST(SaveFinding, LeavesAFindingThatIsAlreadyThere) {
  const TemporaryDirectory directory;
  ASSERT_TRUE(SaveFinding(directory.path(), "rule-1", kFiles).ok());
  const FindingFiles other = {{{"program.txtpb", "another"}}};
  ASSERT_TRUE(SaveFinding(directory.path(), "rule-1", other).ok());
  EXPECT_THAT(Names(directory.path()), ElementsAre("rule-1"));
  EXPECT_EQ(ReadAll(directory.path("rule-1/program.txtpb")), "p");
}

TEST(SaveFinding, SurvivesManyWritersOfTheSameFinding) {
  const TemporaryDirectory directory;
  std::vector<std::thread> writers;
  for (int i = 0; i < 8; ++i) {
    writers.emplace_back([&] {
      const FindingFiles files = kFiles;
      EXPECT_TRUE(SaveFinding(directory.path(), "rule-1", files).ok());
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_THAT(Names(directory.path()), ElementsAre("rule-1"));
  EXPECT_THAT(Names(directory.path("rule-1")),
              ElementsAre("program.txtpb", "repro.c"));
}

TEST(SaveFinding, LeavesNothingBehindIfAFileCannotBeWritten) {
  const TemporaryDirectory directory;
  const FindingFiles files = {{{"program.txtpb", "p"}, {"no/such/file", "x"}}};
  EXPECT_FALSE(SaveFinding(directory.path(), "rule-1", files).ok());
  EXPECT_THAT(Names(directory.path()), IsEmpty());
}

TEST(PrepareFindings, MakesTheDirectoryAndNamesWhatIsInTheWay) {
  const TemporaryDirectory directory;
  EXPECT_TRUE(PrepareFindings(directory.path("a/b")).ok());
  EXPECT_TRUE(fs::is_directory(directory.path("a/b")));
  const std::string file = directory.Write("file", "x");
  EXPECT_THAT(std::string(PrepareFindings(file).message()),
              HasSubstr(absl::StrCat(file, ": cannot write")));
  EXPECT_FALSE(PrepareFindings(file + "/below").ok());
}

TEST(RenderFinding, HoldsTheProgramAReproducerAndAReport) {
  const Program program = MclOnfaultAlone();
  const Violation violation = ViolationOf(program);
  const absl::StatusOr<FindingFiles> files =
      RenderFinding(program, violation, "by hand");
  ASSERT_TRUE(files.ok()) << files.status();
  ASSERT_EQ(files->files.size(), 3u);
  EXPECT_EQ(files->files[0].first, "program.txtpb");
  EXPECT_EQ(*ParseProgramText(files->files[0].second, "again"), program);
  EXPECT_EQ(files->files[1].first, "repro.c");
  EXPECT_THAT(files->files[1].second, HasSubstr("MCL_ONFAULT"));
  EXPECT_EQ(files->files[2].first, "report.md");
}

TEST(Report, SaysWhatWhereAndWhy) {
  const Program program = MclOnfaultAlone();
  const Violation violation = ViolationOf(program);
  const absl::StatusOr<std::string> report =
      WriteReport(program, violation, "by hand");
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(*report, HasSubstr(absl::StrCat("# ", violation.property, "\n")));
  EXPECT_THAT(*report, HasSubstr("* Kernel: v4.9"));
  EXPECT_THAT(*report, HasSubstr("* Step: 0, `"));
  EXPECT_THAT(*report, HasSubstr("* Expected: " + violation.expected));
  EXPECT_THAT(*report, HasSubstr("* Seen: " + violation.seen));
  EXPECT_THAT(*report, HasSubstr("* Found: by hand\n"));
  EXPECT_THAT(*report, HasSubstr("lockstep run --trace program.txtpb"));
  EXPECT_THAT(*report, HasSubstr("Without **mcl-onfault-alone** (D6)"));
  EXPECT_THAT(*report, HasSubstr("## Before the step"));
  EXPECT_THAT(*report, HasSubstr("task 0: uid 0"));
  EXPECT_THAT(*report, HasSubstr("zone 0: nr_mlock 0"));
}

TEST(Report, RefusesAViolationThatIsNotThere) {
  Program program = MclOnfaultAlone();
  const Violation violation = ViolationOf(program);
  program.config.defects = DefectSet();
  EXPECT_FALSE(WriteReport(program, violation, "").ok());
}

TEST(ExplainingDefects, NamesTheOneThatMatters) {
  const Program program = MclOnfaultAlone();
  const absl::StatusOr<std::vector<Defect>> defects =
      ExplainingDefects(program, ViolationOf(program));
  ASSERT_TRUE(defects.ok()) << defects.status();
  EXPECT_THAT(*defects, ElementsAre(Defect::kMclOnfaultAlone));
}

}  // namespace
}  // namespace lockstep
