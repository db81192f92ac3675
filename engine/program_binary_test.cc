// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <string>

#include "absl/strings/string_view.h"
#include "engine/program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string ErrorOf(absl::string_view bytes) {
  absl::StatusOr<Program> program = ParseProgramBinary(bytes, "test.binpb");
  EXPECT_TRUE(absl::IsInvalidArgument(program.status())) << program.status();
  const std::string error(program.status().message());
  EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 0) << error;
  return error;
}

Program Example() {
  auto program = ParseProgramText(
      "config { kernel: \"v3.12\" } steps { mlock { length: 4096 } expect { "
      "outcome: \"OK\" locked_vm: 1 } } steps { mmap { flags: [SHARED, FIXED] "
      "} }",
      "example");
  EXPECT_TRUE(program.ok()) << program.status();
  return *program;
}

// A field of the wire format: number, wire type 2, contents.
std::string Delimited(int number, const std::string& contents) {
  return std::string(1, static_cast<char>(number << 3 | 2)) +
         std::string(1, static_cast<char>(contents.size())) + contents;
}

TEST(ProgramBinaryTest, ReadsWhatItWrote) {
  const auto program =
      ParseProgramBinary(FormatProgramBinary(Example()), "test.binpb");
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_EQ(*program, Example());
}

TEST(ProgramBinaryTest, TheDefaultProgramIsNotEmpty) {
  const auto program =
      ParseProgramBinary(FormatProgramBinary(Program()), "test.binpb");
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_EQ(*program, Program());
}

TEST(ProgramBinaryTest, FlagsMayBePackedOrNot) {
  const std::string packed = Delimited(4, "\x01\x10");
  const std::string unpacked = "\x20\x01\x20\x10";
  for (const std::string& flags : {packed, unpacked}) {
    const auto program =
        ParseProgramBinary(Delimited(2, Delimited(10, flags)), "test.binpb");
    ASSERT_TRUE(program.ok()) << program.status();
    EXPECT_EQ(program->steps.at(0).flags, 0x11u);
  }
}

TEST(ProgramBinaryTest, NoBytesAreNoProgram) {
  EXPECT_EQ(ErrorOf(""), "test.binpb: not a program: empty");
}

TEST(ProgramBinaryTest, AnUnknownFieldIsAnError) {
  EXPECT_EQ(ErrorOf("\x7f"
                    "ELF"),
            "test.binpb: not a program: byte 0: expected a field of Program, "
            "found number 15");
  EXPECT_EQ(ErrorOf(Delimited(2, "\x10\x01")),
            "test.binpb: not a program: byte 2: wrong wire type 0 for the "
            "field lockstep.proto.Step.during");
  EXPECT_EQ(ErrorOf(Delimited(2, "\x20\x01")),
            "test.binpb: not a program: byte 2: expected a field of Step, "
            "found number 4");
}

TEST(ProgramBinaryTest, AWrongWireTypeIsAnError) {
  EXPECT_THAT(ErrorOf("\x08\x01"), HasSubstr("wrong wire type 0 for the field "
                                             "lockstep.proto.Program.config"));
  EXPECT_THAT(ErrorOf(Delimited(1, Delimited(3, ""))),
              HasSubstr("wrong wire type 2 for the field "
                        "lockstep.proto.Config.arena_pages"));
  // Groups, which could nest without end.
  EXPECT_THAT(ErrorOf(std::string(100000, '\x0b')),
              HasSubstr("byte 0: wrong wire type 3"));
}

TEST(ProgramBinaryTest, EveryTruncationIsAnErrorOrAShorterProgram) {
  const std::string bytes = FormatProgramBinary(Example());
  int errors = 0;
  for (size_t size = 1; size < bytes.size(); ++size) {
    const auto program =
        ParseProgramBinary(bytes.substr(0, size), "test.binpb");
    if (program.ok()) {
      EXPECT_LT(program->steps.size(), Example().steps.size());
    } else {
      EXPECT_THAT(std::string(program.status().message()),
                  HasSubstr("truncated"));
      ++errors;
    }
  }
  EXPECT_GT(errors, static_cast<int>(bytes.size()) / 2);
}

TEST(ProgramBinaryTest, TextThatIsNotUtf8IsAnError) {
  EXPECT_EQ(ErrorOf(Delimited(3, "\xff")),
            "test.binpb: not a program: byte 0: expected UTF-8 in "
            "lockstep.proto.Program.description");
}

TEST(ProgramBinaryTest, UnknownNamesAreErrorsWithTheirPath) {
  EXPECT_EQ(ErrorOf(Delimited(1, Delimited(1, "v9"))),
            "test.binpb: config.kernel: unknown kernel \"v9\", expected one "
            "of: v3.12, v4.9, v6.1, v6.12, v6.18");
  EXPECT_THAT(ErrorOf(Delimited(2, Delimited(3, Delimited(2, "EFOO")))),
              StartsWith("test.binpb: steps[0].expect[0].outcome: unknown "
                         "outcome \"EFOO\""));
}

}  // namespace
}  // namespace lockstep
