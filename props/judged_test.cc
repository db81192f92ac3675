// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/judged.h"

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/linux/kernel.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "props/trace_judge.h"

namespace lockstep {
namespace {

Judged Row() {
  Judged row;
  row.name = "a";
  row.engines = {"guest"};
  row.kernels = {"v4.9"};
  row.property = "agree-outcome";
  row.call = "mlock";
  row.expected = "OK";
  row.seen = "EAG";
  return row;
}

struct Example {
  std::string engine = "guest:6.1";
  std::string kernel = "v4.9";
  Program program;
  Violation violation{"agree-outcome", 0, "OK", "EAGAIN"};

  Example() {
    program.steps.resize(1);
    program.steps[0].op = Op::kMlock;
  }
  bool Matches(const Judged& row) const {
    const std::vector<Judged> rows = {row};
    return FindJudged(rows, {engine, kernel, program, violation}) == &rows[0];
  }
};

TEST(FindJudgedTest, AllThatIsGivenMustHold) {
  EXPECT_TRUE(Example().Matches(Row()));
  Example other;
  other.engine = "host";
  EXPECT_FALSE(other.Matches(Row()));
  other = Example();
  other.kernel = "v3.12";
  EXPECT_FALSE(other.Matches(Row()));
  other = Example();
  other.program.steps[0].op = Op::kMunlock;
  EXPECT_FALSE(other.Matches(Row()));
  other = Example();
  other.violation.property = "agree-locked";
  EXPECT_FALSE(other.Matches(Row()));
  other = Example();
  other.violation.expected = "ENOMEM";
  EXPECT_FALSE(other.Matches(Row()));
  other = Example();
  other.violation.seen = "EPERM";
  EXPECT_FALSE(other.Matches(Row()));
}

TEST(FindJudgedTest, WhatIsLeftOutMayBeAnything) {
  Judged row;
  row.property = "agree-outcome";
  EXPECT_TRUE(Example().Matches(row));
  row = Row();
  row.engines = {"host", "guest:6.1"};
  EXPECT_TRUE(Example().Matches(row));
  row.engines = {"host", "guest:6.12"};
  EXPECT_FALSE(Example().Matches(row));
}

TEST(LoadJudgedTest, AFileThatIsNotThereIsAnError) {
  EXPECT_EQ(LoadJudged("/no/such/file").status().code(),
            absl::StatusCode::kNotFound);
}

std::vector<std::string> NamesOf(const std::vector<Judged>& rows) {
  std::vector<std::string> names;
  names.reserve(rows.size());
  for (const Judged& row : rows) names.push_back(row.name);
  return names;
}

// Also when it has no rows.
TEST(JudgedTest, TheBuiltInRowsAreThoseOfTheFile) {
  const auto built_in = LoadJudged("");
  ASSERT_TRUE(built_in.ok()) << built_in.status();
  const auto file = LoadJudged(LOCKSTEP_SOURCE_DIR "/corpus/judged.txtpb");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(NamesOf(*built_in), NamesOf(*file));
}

TEST(JudgedTest, TheBuiltInRowsNameKnownProperties) {
  const auto rows = LoadJudged("");
  ASSERT_TRUE(rows.ok()) << rows.status();
  if (rows->empty()) GTEST_SKIP() << "corpus/judged.txtpb has no rows";
  std::set<std::string> names;
  for (const PropertyInfo& property : AllProperties()) {
    names.insert(std::string(property.name));
  }
  for (const Judged& row : *rows) {
    EXPECT_EQ(names.count(row.property), 1u) << row.name;
    const auto witness =
        LoadProgram(LOCKSTEP_SOURCE_DIR "/corpus/" + row.witness);
    EXPECT_TRUE(witness.ok()) << row.name << ": " << witness.status();
  }
}

// The witness of each row, on each engine that the row names and this machine
// has, with each kernel it names, is judged as that row.
TEST(JudgedTest, EachRowIsShownByItsWitness) {
  const auto rows = LoadJudged("");
  ASSERT_TRUE(rows.ok()) << rows.status();
  if (rows->empty()) GTEST_SKIP() << "corpus/judged.txtpb has no rows";
  std::map<std::string, std::unique_ptr<Kernel>> kernels;
  std::string missing;
  for (const Judged& row : *rows) {
    for (const std::string& engine : row.engines) {
      auto [entry, fresh] = kernels.try_emplace(engine);
      if (fresh) {
        auto kernel = MakeKernel(engine, {});
        if (kernel.ok()) {
          entry->second = *std::move(kernel);
        } else {
          missing +=
              engine + ": " + std::string(kernel.status().message()) + "\n";
        }
      }
      if (entry->second == nullptr) continue;
      Kernel& kernel = *entry->second;
      const Profile& profile = *ProfileFor(kernel.release()).profile;
      auto witness = LoadProgram(LOCKSTEP_SOURCE_DIR "/corpus/" + row.witness);
      ASSERT_TRUE(witness.ok()) << witness.status();
      witness->config.SetProfile(profile);
      const auto traces = kernel.Run({&*witness, 1});
      ASSERT_TRUE(traces.ok()) << traces.status();
      TraceJudge judge(engine);
      const auto violation = judge.Judge(*witness, traces->front());
      ASSERT_TRUE(violation.ok()) << violation.status();
      ASSERT_TRUE(violation->has_value())
          << row.name << ": " << engine << " agrees on " << row.witness;
      const Judged* judged = FindJudged(*rows, {.engine = kernel.name(),
                                                .kernel = profile.name,
                                                .program = *witness,
                                                .violation = **violation});
      ASSERT_NE(judged, nullptr)
          << row.name << ": " << (*violation)->property << ", "
          << (*violation)->expected << ", " << (*violation)->seen;
      EXPECT_EQ(judged->name, row.name);
    }
  }
  if (!missing.empty()) GTEST_SKIP() << "not all engines are here: " << missing;
}

}  // namespace
}  // namespace lockstep
