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
#include <iterator>
#include <sstream>
#include <system_error>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "engine/linux/guest_kernel.h"
#include "engine/program.h"

namespace lockstep {
namespace {

constexpr int kCannotExec = 127;
constexpr size_t kMostOutput = 4096;
constexpr absl::Duration kCompilerLimit = absl::Minutes(1);

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

// A directory with a reproducer and what becomes of it, gone afterwards.
class Workshop {
 public:
  Workshop() = default;
  ~Workshop() {
    std::error_code ignored;
    if (!directory_.empty()) std::filesystem::remove_all(directory_, ignored);
  }
  Workshop(const Workshop&) = delete;
  Workshop& operator=(const Workshop&) = delete;

  // False, with the reason in the result's summary, if there can be none.
  bool Open(absl::string_view source, ReproResult* result) {
    std::error_code error;
    std::string path =
        (std::filesystem::temp_directory_path(error) / "lockstep-repro-XXXXXX")
            .string();
    if (error || mkdtemp(path.data()) == nullptr) {
      result->summary =
          absl::StrCat("no temporary directory: ",
                       error ? error.message() : std::strerror(errno));
      return false;
    }
    directory_ = path;
    const absl::Status status = WriteFileAtomically(source_file(), source);
    if (!status.ok()) result->summary = std::string(status.message());
    return status.ok();
  }

  std::string source_file() const { return directory_ + "/repro.c"; }
  std::string program() const { return directory_ + "/repro"; }
  std::string output() const { return directory_ + "/output"; }

 private:
  std::string directory_;
};

// False if it does not compile; the result says why.
bool Compile(const Workshop& workshop, const std::string& compiler,
             const std::vector<std::string>& flags, ReproResult* result) {
  std::vector<std::string> command = {compiler};
  command.insert(command.end(), flags.begin(), flags.end());
  const std::string as_said = absl::StrJoin(command, " ");
  command.insert(command.end(),
                 {"-o", workshop.program(), workshop.source_file()});
  const Ended ended = RunCommand(command, workshop.output(), kCompilerLimit);
  const bool exited = ended.problem.empty() && WIFEXITED(ended.status);
  result->compiled = exited && WEXITSTATUS(ended.status) == 0;
  if (result->compiled) return true;
  result->output = FirstBytes(workshop.output());
  result->summary =
      exited && WEXITSTATUS(ended.status) == kCannotExec
          ? absl::StrCat("not compiled: no ", compiler, " here")
          : absl::StrCat("does not compile with ", as_said,
                         ended.problem.empty() ? "" : ": ", ended.problem);
  return false;
}

// `where`: empty or " in guest:6.12".
void TellEnd(int wait_status, absl::string_view where, ReproResult* result) {
  result->ran = true;
  if (WIFSIGNALED(wait_status)) {
    result->summary = absl::StrCat("compiled and run", where,
                                   ": died of signal ", WTERMSIG(wait_status));
    return;
  }
  result->status = WEXITSTATUS(wait_status);
  result->summary =
      absl::StrCat("compiled and run", where, ": exit status ", result->status,
                   ", ", MeaningOf(result->status));
}

absl::string_view FirstLine(absl::string_view text) {
  return text.substr(0, text.find('\n'));
}

}  // namespace

ReproResult TryRepro(absl::string_view source, const std::string& compiler,
                     absl::Duration limit) {
  ReproResult result;
  Workshop workshop;
  if (!workshop.Open(source, &result) ||
      !Compile(workshop, compiler, {}, &result)) {
    return result;
  }
  const Ended ended =
      RunCommand({workshop.program()}, workshop.output(), limit);
  result.output = FirstBytes(workshop.output());
  if (!ended.problem.empty()) {
    result.summary = absl::StrCat("compiled; ", ended.problem);
  } else {
    TellEnd(ended.status, "", &result);
  }
  return result;
}

ReproResult TryReproInGuest(absl::string_view source,
                            const std::string& compiler,
                            absl::string_view which, absl::Duration limit,
                            const GuestOptions& options) {
  ReproResult result;
  Workshop workshop;
  if (!workshop.Open(source, &result)) return result;
  // Without what only a debugger wants: it travels to the guest.
  if (!Compile(workshop, compiler, {"-static", "-s"}, &result)) {
    ReproResult otherwise;
    if (Compile(workshop, compiler, {}, &otherwise)) {
      absl::StrAppend(
          &result.summary,
          ", but without: a guest needs a static C library (libc.a)");
    }
    return result;
  }
  std::ifstream file(workshop.program(), std::ios::binary);
  const std::string executable{std::istreambuf_iterator<char>(file),
                               std::istreambuf_iterator<char>()};
  const std::string guest = absl::StrCat("guest:", which);
  absl::StatusOr<GuestRun> run = RunInGuest(which, executable, limit, options);
  if (!run.ok()) {
    result.summary = absl::StrCat("compiled; cannot be run in ", guest, ": ",
                                  run.status().message());
  } else if (!run->console.empty()) {
    result.output = run->console;
    result.summary = absl::StrCat("compiled and run in ", guest, ": ",
                                  FirstLine(run->console));
  } else {
    result.output = run->output.substr(0, kMostOutput);
    if (run->wait_status.has_value()) {
      TellEnd(*run->wait_status, absl::StrCat(" in ", guest), &result);
    } else {
      result.summary = absl::StrCat("compiled; took longer than ",
                                    absl::FormatDuration(limit), " in ", guest);
    }
  }
  return result;
}

ReproResult TryReproOn(absl::string_view engine, absl::string_view source) {
  if (absl::ConsumePrefix(&engine, "guest:")) {
    return TryReproInGuest(source, "cc", engine);
  }
  return TryRepro(source, "cc");
}

}  // namespace lockstep
