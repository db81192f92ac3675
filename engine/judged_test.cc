// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/judged.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kRow[] =
    "judged { name: \"a\" engine: \"host\" engine: \"guest\" kernel: \"v4.9\""
    " property: \"agree-outcome\" call: \"mlock2\" expected: \"OK\""
    " seen: \"EINVAL\" reason: \"because\" witness: \"spec/x.txtpb\" }";

std::string Complaint(const std::string& text) {
  const auto rows = ParseJudged(text, "FILE");
  EXPECT_EQ(rows.status().code(), absl::StatusCode::kInvalidArgument) << text;
  return std::string(rows.status().message());
}

std::string Without(std::string text, const std::string& part) {
  return text.erase(text.find(part), part.size());
}

TEST(ParseJudgedTest, ReadsEveryField) {
  const auto rows = ParseJudged(kRow, "FILE");
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 1u);
  const Judged& row = rows->front();
  EXPECT_EQ(row.name, "a");
  EXPECT_THAT(row.engines, ElementsAre("host", "guest"));
  EXPECT_THAT(row.kernels, ElementsAre("v4.9"));
  EXPECT_EQ(row.property, "agree-outcome");
  EXPECT_EQ(row.call, "mlock2");
  EXPECT_EQ(row.expected, "OK");
  EXPECT_EQ(row.seen, "EINVAL");
  EXPECT_EQ(row.reason, "because");
  EXPECT_EQ(row.witness, "spec/x.txtpb");
}

TEST(ParseJudgedTest, NoRowsAreNoRows) {
  EXPECT_TRUE(ParseJudged("# nothing\n", "FILE")->empty());
}

TEST(ParseJudgedTest, SaysWhereTheTextIsMalformed) {
  EXPECT_THAT(Complaint("\n  judged { nam: \"a\" }"),
              AllOf(HasSubstr("FILE:2:"), HasSubstr("nam")));
}

TEST(ParseJudgedTest, ARowNeedsItsReasonAndItsWitness) {
  for (const char* part :
       {"name: \"a\"", "property: \"agree-outcome\"", "reason: \"because\"",
        "witness: \"spec/x.txtpb\""}) {
    const std::string field(part, std::string(part).find(':'));
    EXPECT_THAT(Complaint(Without(kRow, part)),
                HasSubstr("expected a " + field));
  }
}

TEST(ParseJudgedTest, RefusesNamesThatAreNone) {
  EXPECT_THAT(Complaint(std::string(kRow) + kRow),
              AllOf(HasSubstr("judged[1]"), HasSubstr("twice")));
  std::string text = kRow;
  text.replace(text.find("v4.9"), 4, "v4.8");
  EXPECT_THAT(Complaint(text), HasSubstr("unknown kernel \"v4.8\""));
  text = kRow;
  text.replace(text.find("mlock2"), 6, "mlock3");
  EXPECT_THAT(Complaint(text), HasSubstr("unknown call \"mlock3\""));
}

}  // namespace
}  // namespace lockstep
