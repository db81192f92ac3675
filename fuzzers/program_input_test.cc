// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "fuzzers/program_input.h"

#include <string>
#include <vector>

#include "fuzzers/mutator.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "props/random.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

Program Draw(uint64_t seed) {
  Random random(seed);
  Program program;
  Mutator(MutatorOptions()).Mutate(random, &program);
  return program;
}

const uint8_t* Data(const std::string& bytes) {
  return reinterpret_cast<const uint8_t*>(bytes.data());
}

TEST(ProgramInputTest, WhatWasWrittenIsNotParsed) {
  ProgramInput input;
  const Program program = Draw(1);
  std::vector<uint8_t> buffer(4096);
  const size_t size = input.Write(program, buffer.data(), buffer.size());
  ASSERT_GT(size, 0u);
  for (int i = 0; i < 3; ++i) {
    const auto parsed = input.Parse(buffer.data(), size);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(**parsed, program);
  }
  EXPECT_EQ(input.parsed(), 0u);
}

TEST(ProgramInputTest, WhatWasParsedIsNotParsedAgain) {
  ProgramInput input;
  const std::string bytes = FormatProgramBinary(Draw(1));
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(input.Parse(Data(bytes), bytes.size()).ok());
  }
  EXPECT_EQ(input.parsed(), 1u);
}

TEST(ProgramInputTest, OtherBytesAreAnotherProgram) {
  ProgramInput input;
  for (uint64_t i = 0; i < 3000; ++i) {
    const Program program = Draw(i % 1500);
    const std::string bytes = FormatProgramBinary(program);
    const auto parsed = input.Parse(Data(bytes), bytes.size());
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    ASSERT_EQ(**parsed, program) << i;
  }
}

TEST(ProgramInputTest, StepsAreLeftOutUntilItFits) {
  ProgramInput input;
  const Program program = Draw(1);
  std::vector<uint8_t> buffer(4096);
  const size_t whole = input.Write(program, buffer.data(), buffer.size());
  for (size_t max = 0; max <= whole; ++max) {
    const size_t size = input.Write(program, buffer.data(), max);
    ASSERT_LE(size, max);
    if (size == 0) continue;
    const auto parsed = input.Parse(buffer.data(), size);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    const Program cut = **parsed;
    ASSERT_LE(cut.steps.size(), program.steps.size());
    for (size_t i = 0; i < cut.steps.size(); ++i) {
      ASSERT_EQ(cut.steps[i], program.steps[i]);
    }
    EXPECT_EQ(*ParseProgramBinary(
                  {reinterpret_cast<const char*>(buffer.data()), size}, "cut"),
              cut);
  }
  EXPECT_EQ(input.Write(program, buffer.data(), whole), whole);
  EXPECT_EQ(input.Write(program, buffer.data(), 0), 0u);
}

TEST(ProgramInputTest, TextIsAProgramToo) {
  ProgramInput input;
  const Program program = Draw(1);
  const std::string text = FormatProgramText(program);
  const auto parsed = input.Parse(Data(text), text.size());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(**parsed, program);
}

TEST(ProgramInputTest, WhatIsNoProgramIsRefused) {
  ProgramInput input;
  for (const std::string& bytes :
       {std::string(), std::string("\n"), std::string("\xff\xff\xff"),
        std::string(1, '\0'), std::string(10000, 'a')}) {
    EXPECT_FALSE(input.Parse(Data(bytes), bytes.size()).ok());
  }
}

TEST(ProgramInputTest, MachinesAndProgramsOfAnySizeAreNotRun) {
  ProgramInput input;
  Program large = Draw(1);
  large.config.memory_pages = kMostInputMemoryPages + 1;
  Program long_one = Draw(1);
  long_one.steps.resize(kMostInputSteps + 1);
  for (const Program& program : {large, long_one}) {
    const std::string bytes = FormatProgramBinary(program);
    const auto parsed = input.Parse(Data(bytes), bytes.size());
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kOutOfRange);
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr("expected"));
  }
}

}  // namespace
}  // namespace lockstep
