// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/finding_log.h"

#include <filesystem>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "props/shrink.h"
#include "tools/session.h"
#include "tools/testing.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

HuntFinding FindingOf(const char* text, uint64_t index) {
  HuntFinding finding;
  finding.program = *ParseProgramText(text, "program");
  absl::StatusOr<std::optional<Violation>> violation = Judge(finding.program);
  EXPECT_TRUE(violation.ok() && violation->has_value()) << text;
  finding.violation = violation->value_or(Violation());
  finding.fingerprint = Fingerprint(finding.program);
  finding.index = index;
  finding.hits = 2;
  return finding;
}

// MCL_ONFAULT alone (D6), in two programs.
constexpr char kShort[] = "steps { mlockall { flags: ONFAULT } }";
constexpr char kLong[] =
    "steps { munlockall {} } steps { mlockall { flags: ONFAULT } }";

size_t Entries(const std::string& directory) {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(directory)) {
    ++count;
  }
  return count;
}

TEST(FindingLog, KeepsTheSimplestProgramOfADefect) {
  const TemporaryDirectory directory;
  FindingLog log(directory.path(), "by hand");
  const HuntFinding longer = FindingOf(kLong, 3);
  const HuntFinding shorter = FindingOf(kShort, 5);
  EXPECT_THAT(log.Add(longer), StartsWith("found " + directory.path()));
  EXPECT_THAT(log.Add(shorter), StartsWith("simpler " + directory.path()));
  EXPECT_EQ(log.Add(longer), "");
  EXPECT_EQ(log.size(), 1u);
  EXPECT_EQ(Entries(directory.path()), 1u);
  const std::vector<LoggedFinding> result = log.Result({longer, shorter});
  ASSERT_EQ(result.size(), 1u);
  EXPECT_EQ(result[0].program, shorter.program);
  EXPECT_EQ(result[0].hits, 4u);
  EXPECT_THAT(result[0].explained_by, ElementsAre(Defect::kMclOnfaultAlone));
  EXPECT_THAT(ReadAll(result[0].path + "/report.md"),
              HasSubstr("* Found: by hand, program 5\n"));
  EXPECT_TRUE(log.status().ok());
}

TEST(FindingLog, TellsDefectsApart) {
  const TemporaryDirectory directory;
  FindingLog log(directory.path(), "by hand");
  log.Add(FindingOf(kShort, 1));
  // The false refusal of v3.12 (D3).
  log.Add(FindingOf(
      "config { kernel: \"v3.12\" memlock_limit: 8192 }"
      "steps { mmap { addr { page: 0 } length: 8192 prot: READ"
      "               flags: PRIVATE flags: ANONYMOUS flags: FIXED } }"
      "steps { mlock { addr { page: 0 } length: 8192 } }"
      "steps { mlock { addr { page: 0 } length: 8192 } }",
      2));
  EXPECT_EQ(log.size(), 2u);
  EXPECT_EQ(Entries(directory.path()), 2u);
}

TEST(FindingLog, KeepsTheErrorOfWriting) {
  const TemporaryDirectory directory;
  FindingLog log(directory.Write("file", ""), "by hand");
  log.Add(FindingOf(kShort, 1));
  EXPECT_FALSE(log.status().ok());
  EXPECT_EQ(log.size(), 1u);
}

}  // namespace
}  // namespace lockstep
