// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// For tests that run targets as an infrastructure does: processes that are
// given files. The build says where targets and command are.

#ifndef LOCKSTEP_FUZZERS_TARGETS_TESTING_H_
#define LOCKSTEP_FUZZERS_TARGETS_TESTING_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "engine/program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/testing.h"

namespace lockstep {

inline std::string Target(absl::string_view name) {
  return absl::StrCat(LOCKSTEP_FUZZERS_DIR, "/lockstep_", name, "_fuzzer");
}
inline std::string Corpus(absl::string_view name) {
  return absl::StrCat(LOCKSTEP_SOURCE_DIR, "/corpus/", name);
}

// The shell's word for a process that aborted, with and without a handler.
inline auto Aborted() { return ::testing::AnyOf(128 + 6, 77, 1); }

// The command behind "Replay: ", with the program of this build.
inline std::string ReplayOf(const std::string& output) {
  for (const absl::string_view line : absl::StrSplit(output, '\n')) {
    if (!absl::StartsWith(line, "Replay: lockstep ")) continue;
    return absl::StrReplaceAll(
        line, {{"Replay: lockstep ", absl::StrCat(LOCKSTEP_BINARY, " ")}});
  }
  ADD_FAILURE() << "no line begins with \"Replay: lockstep \" in\n" << output;
  return "false";
}

// A witness as the bytes that a fuzzing engine would keep.
inline std::string Artifact(const TemporaryDirectory& directory,
                            absl::string_view defect) {
  absl::StatusOr<Program> program =
      LoadProgram(Corpus(absl::StrCat("defects/", defect, ".txtpb")));
  EXPECT_TRUE(program.ok()) << program.status();
  return directory.Write(absl::StrCat("crash-", defect),
                         FormatProgramBinary(*program));
}

}  // namespace lockstep

#endif  // LOCKSTEP_FUZZERS_TARGETS_TESTING_H_
