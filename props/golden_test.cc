// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// corpus/golden: programs that an earlier version wrote, with what they did.
// They load and do the same in every later one, whatever it is built with.
//
// A correction of the model may change what a program does: then its transcript
// is written again, by LOCKSTEP_WRITE_GOLDEN=1 golden_test, and the change is
// looked at line by line. The programs themselves never change.

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/program.h"
#include "engine/reference/reference_engine.h"
#include "gtest/gtest.h"
#include "props/runner.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

// The programs, binary and text, by name.
std::vector<std::string> Programs() {
  std::vector<std::string> paths;
  for (const fs::directory_entry& entry :
       fs::directory_iterator(LOCKSTEP_SOURCE_DIR "/corpus/golden")) {
    const fs::path extension = entry.path().extension();
    if (extension == ".binpb" || extension == ".txtpb") {
      paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// "12 mlock ENOMEM locked_vm 3 total_vm 9 VMAs 2 nr_mlock 3", a line a step.
std::string Transcribe(const Program& program) {
  reference::ReferenceEngine engine;
  Runner runner(&engine, Checking::kFull);
  const absl::Status started = runner.Start(program.config);
  EXPECT_TRUE(started.ok()) << started;
  std::string transcript = absl::StrCat(
      program.config.profile->name, " \"",
      FormatDefects(*program.config.profile, program.config.defects), "\"\n");
  TaskState task;
  for (size_t i = 0; i < program.steps.size() && started.ok(); ++i) {
    const Step& step = program.steps[i];
    const std::optional<Violation> violation = runner.Run(step);
    const Outcome& outcome = runner.outcome();
    engine.Observe(step.task, &task);
    int64_t nr_mlock = 0;
    EXPECT_TRUE(engine.Counter("nr_mlock", &nr_mlock).ok());
    absl::StrAppend(&transcript, i, " ", InfoOf(step.op).name, " ",
                    OutcomeName(outcome));
    if (outcome.ok() && outcome.value != 0) {
      absl::StrAppendFormat(&transcript, " 0x%x", outcome.value);
    }
    absl::StrAppend(&transcript, " locked_vm ", task.locked_vm.n, " total_vm ",
                    task.total_vm.n, " VMAs ", task.map_count, " nr_mlock ",
                    nr_mlock, "\n");
    if (!violation) continue;
    absl::StrAppend(&transcript, violation->property, ": expected ",
                    violation->expected, ", seen ", violation->seen, "\n");
    break;
  }
  return transcript;
}

class Golden : public testing::TestWithParam<std::string> {};

TEST_P(Golden, LoadsAndDoesWhatItDid) {
  const std::string path = absl::StrCat(GetParam(), ".transcript");
  const absl::StatusOr<Program> program = LoadProgram(GetParam());
  ASSERT_TRUE(program.ok()) << program.status();
  const std::string transcript = Transcribe(*program);
  if (std::getenv("LOCKSTEP_WRITE_GOLDEN") != nullptr) {
    ASSERT_TRUE(WriteFileAtomically(path, transcript).ok());
  }
  std::ifstream file(path);
  std::stringstream golden;
  golden << file.rdbuf();
  ASSERT_TRUE(file) << "no " << path;
  EXPECT_EQ(transcript, golden.str());
}

// What is written today is read as the same program, in either form.
TEST_P(Golden, SurvivesBeingWritten) {
  const absl::StatusOr<Program> program = LoadProgram(GetParam());
  ASSERT_TRUE(program.ok()) << program.status();
  const auto text = ParseProgramText(FormatProgramText(*program), "text");
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_TRUE(*text == *program);
  const auto binary =
      ParseProgramBinary(FormatProgramBinary(*program), "binary");
  ASSERT_TRUE(binary.ok()) << binary.status();
  EXPECT_TRUE(*binary == *program);
}

INSTANTIATE_TEST_SUITE_P(Corpus, Golden, testing::ValuesIn(Programs()),
                         [](const testing::TestParamInfo<std::string>& info) {
                           std::string name = fs::path(info.param).filename();
                           for (char& c : name) {
                             if (!std::isalnum(static_cast<unsigned char>(c)))
                               c = '_';
                           }
                           return name;
                         });

// So that none is lost without anybody seeing it.
TEST(GoldenTest, HoldsBothFormsAndEveryKernel) {
  size_t binary = 0, text = 0;
  std::vector<const Profile*> kernels;
  uint64_t calls = 0;
  for (const std::string& path : Programs()) {
    (fs::path(path).extension() == ".binpb" ? binary : text) += 1;
    const absl::StatusOr<Program> program = LoadProgram(path);
    ASSERT_TRUE(program.ok()) << program.status();
    kernels.push_back(program->config.profile);
    for (const Step& step : program->steps) {
      calls |= uint64_t{1} << static_cast<int>(step.op);
    }
  }
  EXPECT_GE(binary, 5u);
  EXPECT_GE(text, 5u);
  for (const Profile& profile : AllProfiles()) {
    EXPECT_NE(std::find(kernels.begin(), kernels.end(), &profile),
              kernels.end())
        << profile.name;
  }
  for (const OpInfo& info : AllOps()) {
    if (info.op == Op::kNone) continue;
    EXPECT_TRUE((calls >> static_cast<int>(info.op) & 1) != 0) << info.name;
  }
}

}  // namespace
}  // namespace lockstep
