// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/fuzz_job.h"

#include "gtest/gtest.h"

namespace lockstep {
namespace {

// As LLVM 14 prints it.
constexpr char kOutput[] =
    "INFO: Running with entropic power schedule (0xFF, 100).\n"
    "#2\tINITED cov: 311 ft: 312 corp: 1/1b exec/s: 0 rss: 38Mb\n"
    "#17\tNEW    cov: 420 ft: 533 corp: 2/20b lim: 4 exec/s: 0 rss: 39Mb L: "
    "19/19 MS: 1 Custom-\n"
    "#4096\tpulse  cov: 811 ft: 1433 corp: 112/4051b lim: 80 exec/s: 2048 rss: "
    "41Mb\n";

TEST(FuzzerOutput, CountsRunsAndInputs) {
  FuzzerOutput output;
  output.Read(kOutput);
  EXPECT_EQ(output.runs(), 4096u);
  EXPECT_EQ(output.corpus(), 112u);
}

TEST(FuzzerOutput, DoesNotMindWhereItIsCut) {
  FuzzerOutput output;
  for (char c : std::string(kOutput)) output.Read(std::string(1, c));
  EXPECT_EQ(output.runs(), 4096u);
  EXPECT_EQ(output.corpus(), 112u);
}

TEST(FuzzerOutput, TakesTheFinalCount) {
  FuzzerOutput output;
  output.Read(kOutput);
  output.Read("stat::number_of_executed_units: 5000\n");
  EXPECT_EQ(output.runs(), 5000u);
}

TEST(FuzzerOutput, KeepsTheLastLine) {
  FuzzerOutput output;
  output.Read("error while loading shared libraries\n\nand then some");
  EXPECT_EQ(output.last_line(), "error while loading shared libraries");
}

}  // namespace
}  // namespace lockstep
