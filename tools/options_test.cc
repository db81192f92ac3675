// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/options.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Values {
  bool flag = false;
  std::string text;
  uint64_t count = 0;
  std::vector<Option> Rows() {
    return {SwitchOption("--flag", "a switch", &flag),
            StringOption("--text", "WORD", "a word", &text),
            CountOption("--count", "N", "a number", &count)};
  }
};

std::string ErrorOf(const std::vector<std::string>& args) {
  Values values;
  auto result = ParseOptions(values.Rows(), args);
  return std::string(result.status().message());
}

TEST(ParseOptions, SetsEveryKindAndLeavesTheRest) {
  Values values;
  auto rest = ParseOptions(
      values.Rows(),
      std::vector<std::string>{"a", "--flag", "--text=x=y", "--count", "10k",
                               "-", "--", "--flag=3"});
  ASSERT_TRUE(rest.ok()) << rest.status();
  EXPECT_THAT(*rest, ElementsAre("a", "-", "--flag=3"));
  EXPECT_TRUE(values.flag);
  EXPECT_EQ(values.text, "x=y");
  EXPECT_EQ(values.count, 10000u);
}

TEST(ParseOptions, SaysWhatWasExpected) {
  EXPECT_EQ(ErrorOf({"--flga"}),
            "--flga: unknown option, expected one of --flag, --text, --count");
  EXPECT_EQ(ErrorOf({"-x"}).substr(0, 19), "-x: unknown option,");
  EXPECT_EQ(ErrorOf({"--flag=1"}), "--flag=1: expected --flag without a value");
  EXPECT_EQ(ErrorOf({"--text"}), "--text: expected a value: --text=WORD");
  EXPECT_EQ(ErrorOf({"--text="}), "--text=: expected a value");
  EXPECT_EQ(ErrorOf({"--count=ten"}),
            "--count=ten: expected a whole number such as 250, 10k or 10M");
}

TEST(ParseCount, KnowsSuffixesAndRefusesOverflow) {
  EXPECT_EQ(*ParseCount("0"), 0u);
  EXPECT_EQ(*ParseCount("10M"), 10'000'000u);
  EXPECT_EQ(*ParseCount("18446744073709551615"), ~uint64_t{0});
  for (const char* bad : {"", "k", "-1", "+1", " 1", "1.5", "1m", "0x10",
                          "18446744073709551616", "18446744073709551615k"}) {
    EXPECT_FALSE(ParseCount(bad).ok()) << bad;
  }
}

TEST(ParseDuration, WantsAUnitAndMoreThanNothing) {
  EXPECT_EQ(*ParseDuration("500ms"), absl::Milliseconds(500));
  for (const char* bad : {"", "s", "0s", "-1s", "10"}) {
    EXPECT_FALSE(ParseDuration(bad).ok()) << bad;
  }
}

TEST(FormatOptions, AlignsTheHelp) {
  Values values;
  EXPECT_THAT(FormatOptions(values.Rows()),
              HasSubstr("  --flag              a switch\n"));
}

}  // namespace
}  // namespace lockstep
