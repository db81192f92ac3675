// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "engine/program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class ProgramFileTest : public testing::Test {
 protected:
  ProgramFileTest() {
    std::string name = testing::TempDir() + "/program_file_test-XXXXXX";
    directory_ = mkdtemp(name.data());
  }
  ~ProgramFileTest() override { std::filesystem::remove_all(directory_); }

  std::string Path(const std::string& name) const {
    return directory_ + "/" + name;
  }
  std::string Write(const std::string& name, const std::string& contents) {
    std::ofstream(Path(name), std::ios::binary) << contents;
    return Path(name);
  }
  static std::string Read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static Program Example() {
    Program program;
    program.steps.resize(2);
    program.steps[0].op = Op::kMlock;
    program.steps[0].length = 4096;
    program.steps[1].op = Op::kMunlockall;
    return program;
  }
  // How many files are in the directory.
  size_t Files() const {
    return static_cast<size_t>(
        std::distance(std::filesystem::directory_iterator(directory_),
                      std::filesystem::directory_iterator()));
  }

  std::string directory_;
};

TEST_F(ProgramFileTest, TextIsSavedAndLoaded) {
  ASSERT_TRUE(SaveProgram(Example(), Path("a.txtpb")).ok());
  EXPECT_THAT(Read(Path("a.txtpb")), StartsWith("# proto-file: "));
  EXPECT_EQ(*LoadProgram(Path("a.txtpb")), Example());
}

TEST_F(ProgramFileTest, BinaryIsSavedAndLoaded) {
  ASSERT_TRUE(SaveProgram(Example(), Path("a.binpb")).ok());
  EXPECT_EQ(Read(Path("a.binpb")), FormatProgramBinary(Example()));
  EXPECT_EQ(*LoadProgram(Path("a.binpb")), Example());
}

TEST_F(ProgramFileTest, TheFormatOfOtherNamesIsSeenFromTheContents) {
  EXPECT_EQ(*LoadProgram(Write("text", FormatProgramText(Example()))),
            Example());
  EXPECT_EQ(*LoadProgram(Write("binary", FormatProgramBinary(Example()))),
            Example());
}

TEST_F(ProgramFileTest, AMissingFileIsNotFound) {
  const absl::Status status = LoadProgram(Path("none")).status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_EQ(status.message().find(Path("none")), 0u) << status;
}

TEST_F(ProgramFileTest, AFileThatMayNotBeReadIsPermissionDenied) {
  if (geteuid() == 0) GTEST_SKIP() << "root may read everything";
  const std::string path = Write("secret", "");
  chmod(path.c_str(), 0);
  EXPECT_TRUE(absl::IsPermissionDenied(LoadProgram(path).status()));
}

TEST_F(ProgramFileTest, AnEmptyFileIsAnError) {
  const absl::Status status = LoadProgram(Write("empty", "")).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(status.message(), Path("empty") + ": is empty, expected a program");
}

TEST_F(ProgramFileTest, ADirectoryIsAnError) {
  const absl::Status status = LoadProgram(directory_).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(status.message(),
            directory_ + ": is a directory, expected a program");
}

TEST_F(ProgramFileTest, ABinaryFileThatIsNoProgramIsAnError) {
  const absl::Status status = LoadProgram("/proc/self/exe").status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("not a program"));
}

TEST_F(ProgramFileTest, AnEndlessFileIsAnError) {
  const absl::Status status = LoadProgram("/dev/zero").status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("larger than"));
}

TEST_F(ProgramFileTest, ErrorsInTextNameFileLineAndColumn) {
  const std::string path = Write("bad.txtpb", "steps {}\nsteps { task: }\n");
  EXPECT_EQ(LoadProgram(path).status().message(),
            path + ":2:15: Expected integer, got: }");
}

TEST_F(ProgramFileTest, WritingReplacesTheWholeFileAndLeavesNothingBeside) {
  const std::string path = Write("file", "something long from before");
  ASSERT_TRUE(WriteFileAtomically(path, "short").ok());
  EXPECT_EQ(Read(path), "short");
  EXPECT_EQ(Files(), 1u);
}

TEST_F(ProgramFileTest, WritingWhereNothingCanBeIsAnErrorThatNamesTheFile) {
  const absl::Status status =
      WriteFileAtomically(Path("no/such/file"), "contents");
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              StartsWith(Path("no/such/file") + ": cannot create"));
}

TEST_F(ProgramFileTest, AFailedReplacementLeavesNothingBeside) {
  std::filesystem::create_directory(Path("directory"));
  std::filesystem::create_directory(Path("directory/full"));
  EXPECT_FALSE(WriteFileAtomically(Path("directory"), "contents").ok());
  EXPECT_EQ(Files(), 1u);
}

}  // namespace
}  // namespace lockstep
