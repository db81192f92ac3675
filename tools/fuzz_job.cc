// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/fuzz_job.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

constexpr off_t kLogTail = 64 << 10;

bool IsProgram(const std::string& path) {
  std::error_code error;
  return fs::is_regular_file(path, error) && access(path.c_str(), X_OK) == 0;
}

// What the program prints when it is asked for help.
std::string HelpOf(const std::string& path) {
  std::FILE* pipe =
      popen(absl::StrCat("'", path, "' -help=1 </dev/null 2>&1").c_str(), "r");
  if (pipe == nullptr) return "";
  std::string text;
  char buffer[4096];
  size_t got;
  while ((got = fread(buffer, 1, sizeof buffer, pipe)) > 0) {
    text.append(buffer, got);
  }
  pclose(pipe);
  return text;
}

}  // namespace

absl::StatusOr<std::string> FindFuzzTarget(absl::string_view name,
                                           const std::string& directory) {
  std::vector<fs::path> places;
  if (!directory.empty()) {
    places.emplace_back(directory);
  } else {
    std::error_code error;
    const fs::path self = fs::read_symlink("/proc/self/exe", error);
    places = {self.parent_path().parent_path() / "fuzzers", self.parent_path()};
  }
  constexpr absl::string_view kHowToBuild =
      "; clang builds it with cmake -DLOCKSTEP_FUZZERS=ON";
  for (const fs::path& place : places) {
    const std::string path = place / std::string(name);
    if (!IsProgram(path)) continue;
    if (!absl::StrContains(HelpOf(path), "-artifact_prefix")) {
      return absl::UnavailableError(absl::StrCat(
          path, ": built without libFuzzer, it only replays", kHowToBuild));
    }
    return path;
  }
  return absl::UnavailableError(
      absl::StrCat("no ", name, " in ", places.front().string(), kHowToBuild));
}

void FuzzerOutput::Read(absl::string_view text) {
  for (absl::string_view piece : absl::StrSplit(text, '\n')) {
    // All but the last piece end where a line ends.
    absl::StrAppend(&partial_, piece);
    if (piece.data() + piece.size() == text.data() + text.size()) break;
    ReadLine(partial_);
    partial_.clear();
  }
}

void FuzzerOutput::ReadLine(absl::string_view line) {
  if (!line.empty()) last_line_ = std::string(line);
  // "#1234	NEW    cov: 85 ft: 86 corp: 7/96b lim: 17 exec/s: 0 rss: 30Mb",
  // "stat::number_of_executed_units: 1234".
  absl::string_view rest = line;
  if (absl::ConsumePrefix(&rest, "stat::number_of_executed_units:")) {
    uint64_t runs;
    if (absl::SimpleAtoi(rest, &runs)) runs_ = runs;
    return;
  }
  if (!absl::ConsumePrefix(&rest, "#")) return;
  const std::vector<absl::string_view> words =
      absl::StrSplit(rest, absl::ByAnyChar("\t "), absl::SkipEmpty());
  uint64_t runs;
  if (words.empty() || !absl::SimpleAtoi(words[0], &runs)) return;
  runs_ = std::max(runs_, runs);
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i] != "corp:") continue;
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(words[i + 1], absl::MaxSplits('/', 1));
    uint64_t inputs;
    if (absl::SimpleAtoi(parts.first, &inputs)) corpus_ = inputs;
  }
}

FuzzJob::FuzzJob(std::string directory) : directory_(std::move(directory)) {}

absl::Status FuzzJob::Start(const Options& options) {
  std::error_code error;
  fs::create_directories(ArtifactDirectory(), error);
  if (error) {
    return absl::PermissionDeniedError(
        absl::StrCat(ArtifactDirectory(), ": cannot write: ", error.message()));
  }
  output_ = FuzzerOutput();
  read_ = 0;

  std::vector<std::string> arguments = {
      options.target,
      absl::StrCat("-artifact_prefix=", ArtifactDirectory(), "/"),
      absl::StrCat("-seed=", options.seed),
      "-print_final_stats=1",
      // A program of the model takes microseconds.
      "-timeout=20",
      // Each new function is looked up by a symbolizer.
      "-print_funcs=0",
  };
  if (options.runs) {
    arguments.push_back(absl::StrCat("-runs=", *options.runs));
  }
  arguments.push_back(options.corpus);
  return process_.Start(std::move(arguments), options.environment, LogPath());
}

void FuzzJob::ReadOutput() {
  const int log = open(LogPath().c_str(), O_RDONLY | O_CLOEXEC);
  if (log < 0) return;
  char buffer[1 << 16];
  ssize_t got;
  while ((got = pread(log, buffer, sizeof buffer, read_)) > 0) {
    output_.Read(absl::string_view(buffer, static_cast<size_t>(got)));
    read_ += got;
  }
  close(log);
}

bool FuzzJob::Running() {
  const bool running = process_.Running();
  ReadOutput();
  return running;
}

void FuzzJob::Stop() { process_.Signal(SIGUSR1); }

bool FuzzJob::EndedWell() const {
  const int status = process_.wait_status();
  // SIGUSR1 kills a target that has not come to handling it yet.
  if (WIFSIGNALED(status)) return WTERMSIG(status) == SIGUSR1;
  return WEXITSTATUS(status) == 0 && output_.runs() > 0;
}

std::string FuzzJob::Log() const {
  const int log = open(LogPath().c_str(), O_RDONLY | O_CLOEXEC);
  if (log < 0) return "";
  const off_t size = lseek(log, 0, SEEK_END);
  off_t at = std::max<off_t>(size - kLogTail, 0);
  std::string text;
  char buffer[1 << 16];
  ssize_t got;
  while ((got = pread(log, buffer, sizeof buffer, at)) > 0) {
    text.append(buffer, static_cast<size_t>(got));
    at += got;
  }
  close(log);
  return text;
}

std::vector<std::string> FuzzJob::Artifacts() const {
  std::vector<std::string> paths;
  std::error_code error;
  for (fs::directory_iterator entry(ArtifactDirectory(), error), end;
       !error && entry != end; entry.increment(error)) {
    // A slow input is no failure: whatever it shows, it shows by itself.
    const std::string name = entry->path().filename();
    if (!absl::StartsWith(name, "slow-unit-")) paths.push_back(entry->path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

}  // namespace lockstep
