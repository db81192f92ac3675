// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/try_repro.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/program.h"

namespace lockstep {
namespace {

constexpr int kCannotExec = 127;
constexpr size_t kMostOutput = 4096;

// How a command ended: its wait status, or what went wrong.
struct Ended {
  std::string problem;
  int status = 0;
};

// Runs a command in a process group of its own, output to a file; kills the
// group when the time is over.
Ended RunCommand(std::vector<std::string> args, const std::string& output,
                 absl::Duration limit) {
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  const pid_t child = fork();
  if (child < 0) return {absl::StrCat("fork: ", std::strerror(errno)), 0};
  if (child == 0) {
    setpgid(0, 0);
    const int out = open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const int in = open("/dev/null", O_RDONLY);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execvp(argv[0], argv.data());
    _exit(kCannotExec);
  }
  setpgid(child, child);
  const absl::Time end = absl::Now() + limit;
  Ended ended;
  while (waitpid(child, &ended.status, WNOHANG) == 0) {
    if (absl::Now() >= end) {
      kill(-child, SIGKILL);
      waitpid(child, &ended.status, 0);
      ended.problem = absl::StrCat("took longer than ",
                                   absl::FormatDuration(limit), ", killed");
      break;
    }
    absl::SleepFor(absl::Milliseconds(2));
  }
  // Whatever it has left running.
  kill(-child, SIGKILL);
  return ended;
}

std::string FirstBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str().substr(0, kMostOutput);
}

// The exit statuses of kselftest, which reproducers keep to.
absl::string_view MeaningOf(int status) {
  switch (status) {
    case 0:
      return "this kernel behaves as documented";
    case 1:
      return "the deviation from the documented behaviour is there";
    case 4:
      return "it cannot run here";
    default:
      return "an exit status that no reproducer has";
  }
}

}  // namespace

ReproResult TryRepro(absl::string_view source, const std::string& compiler,
                     absl::Duration limit) {
  ReproResult result;
  std::error_code error;
  std::string directory =
      (std::filesystem::temp_directory_path(error) / "lockstep-repro-XXXXXX")
          .string();
  if (error || mkdtemp(directory.data()) == nullptr) {
    result.summary =
        absl::StrCat("no temporary directory: ",
                     error ? error.message() : std::strerror(errno));
    return result;
  }
  const absl::Cleanup remove = [&directory] {
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
  };
  const std::string c_file = directory + "/repro.c";
  const std::string binary = directory + "/repro";
  const std::string output = directory + "/output";
  if (absl::Status status = WriteFileAtomically(c_file, source); !status.ok()) {
    result.summary = std::string(status.message());
    return result;
  }
  Ended ended = RunCommand({compiler, "-o", binary, c_file}, output, limit);
  if (!ended.problem.empty() || !WIFEXITED(ended.status) ||
      WEXITSTATUS(ended.status) != 0) {
    const bool missing = ended.problem.empty() && WIFEXITED(ended.status) &&
                         WEXITSTATUS(ended.status) == kCannotExec;
    result.output = FirstBytes(output);
    result.summary =
        missing
            ? absl::StrCat("not compiled: no ", compiler, " here")
            : absl::StrCat("does not compile with ", compiler,
                           ended.problem.empty() ? "" : ": ", ended.problem);
    return result;
  }
  result.compiled = true;
  ended = RunCommand({binary}, output, limit);
  result.output = FirstBytes(output);
  if (!ended.problem.empty()) {
    result.summary = absl::StrCat("compiled; ", ended.problem);
  } else if (WIFSIGNALED(ended.status)) {
    result.ran = true;
    result.summary = absl::StrCat("compiled and run: died of signal ",
                                  WTERMSIG(ended.status));
  } else {
    result.ran = true;
    result.status = WEXITSTATUS(ended.status);
    result.summary =
        absl::StrCat("compiled and run: exit status ", result.status, ", ",
                     MeaningOf(result.status));
  }
  return result;
}

}  // namespace lockstep
