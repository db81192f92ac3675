// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// One process of a libFuzzer target: what it is started with, what it says of
// itself, what it leaves behind.

#ifndef LOCKSTEP_TOOLS_FUZZ_JOB_H_
#define LOCKSTEP_TOOLS_FUZZ_JOB_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/child_process.h"

namespace lockstep {

// The executable `name` in `directory`; if that is empty, in the build's
// fuzzers/ beside this program's own directory, or beside this program.
// Unavailable, with the option of CMake that builds it, if it is not there or
// is the build without libFuzzer, which only replays.
absl::StatusOr<std::string> FindFuzzTarget(absl::string_view name,
                                           const std::string& directory);

// What libFuzzer's output has said so far. Its count of the runs is exact at
// the end and lags behind before.
class FuzzerOutput {
 public:
  void Read(absl::string_view text);

  uint64_t runs() const { return runs_; }
  uint64_t corpus() const { return corpus_; }  // inputs
  const std::string& last_line() const { return last_line_; }

 private:
  void ReadLine(absl::string_view line);

  std::string partial_;  // a line whose end is not read yet
  std::string last_line_;
  uint64_t runs_ = 0;
  uint64_t corpus_ = 0;
};

class FuzzJob {
 public:
  struct Options {
    std::string target;
    std::string corpus;  // is read, and grows
    uint32_t seed = 1;
    std::optional<uint64_t> runs;
    ChildProcess::Environment environment;
  };

  // The job's own directory: its output and its artifacts, which outlive it.
  explicit FuzzJob(std::string directory);

  // Starts a process. REQUIRES: none runs.
  absl::Status Start(const Options& options);
  // Does it run? Reads its output on the way.
  bool Running();
  // It ends after the input that it runs, so that no file is cut off.
  void Stop();
  void Kill() { process_.Kill(); }

  // After the end.
  std::string HowItEnded() const { return process_.HowItEnded(); }
  // It ended by itself because there was nothing left to do, or was told to.
  bool EndedWell() const;
  // Of the process that runs or ran last.
  const FuzzerOutput& output() const { return output_; }
  // The end of its output, at most 64 KiB.
  std::string Log() const;
  // Files that were written when something failed, in the order of names.
  std::vector<std::string> Artifacts() const;

 private:
  void ReadOutput();
  std::string LogPath() const { return directory_ + "/log"; }
  std::string ArtifactDirectory() const { return directory_ + "/artifacts"; }

  const std::string directory_;
  ChildProcess process_;
  off_t read_ = 0;  // of the log
  FuzzerOutput output_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_TOOLS_FUZZ_JOB_H_
