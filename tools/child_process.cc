// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/child_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace lockstep {
namespace {

absl::Status SystemError(absl::string_view what, int error) {
  return absl::UnavailableError(absl::StrCat(what, ": ", std::strerror(error)));
}

// What the child does between fork and exec. Allocates nothing.
[[noreturn]] void Become(int output, pid_t parent, char* const* arguments,
                         char* const* environment) {
  // In a process group of its own: the terminal's SIGINT is for us.
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);
  for (int signal = 1; signal < NSIG; ++signal) std::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  execve(arguments[0], arguments, environment);
  constexpr char kMessage[] = "it cannot be started\n";
  [[maybe_unused]] const ssize_t ignored =
      write(STDERR_FILENO, kMessage, sizeof kMessage - 1);
  _exit(127);
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> EnvironmentWith(
    const ChildProcess::Environment& additions) {
  std::vector<std::string> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const bool replaced = std::any_of(
        additions.begin(), additions.end(), [&](const auto& addition) {
          return absl::StartsWith(*variable, absl::StrCat(addition.first, "="));
        });
    if (!replaced) environment.emplace_back(*variable);
  }
  for (const auto& [name, value] : additions) {
    environment.push_back(absl::StrCat(name, "=", value));
  }
  return environment;
}

}  // namespace

absl::Status ChildProcess::Start(std::vector<std::string> arguments,
                                 const Environment& additions,
                                 const std::string& output) {
  std::vector<std::string> environment = EnvironmentWith(additions);
  const std::vector<char*> argument_pointers = Pointers(arguments);
  const std::vector<char*> environment_pointers = Pointers(environment);
  const int file =
      open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) return SystemError(output, errno);
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) {
    Become(file, parent, argument_pointers.data(), environment_pointers.data());
  }
  const int fork_error = errno;
  close(file);
  return pid_ < 0 ? SystemError("fork", fork_error) : absl::OkStatus();
}

bool ChildProcess::Running() {
  if (pid_ >= 0 && waitpid(pid_, &wait_status_, WNOHANG) == pid_) pid_ = -1;
  return pid_ >= 0;
}

void ChildProcess::Signal(int signal) {
  if (pid_ >= 0) kill(pid_, signal);
}

void ChildProcess::Kill() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, &wait_status_, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

std::string ChildProcess::HowItEnded() const {
  if (WIFSIGNALED(wait_status_)) {
    const int signal = WTERMSIG(wait_status_);
    return absl::StrCat("killed by signal ", signal, " (", strsignal(signal),
                        ")");
  }
  return absl::StrCat("exit status ", WEXITSTATUS(wait_status_));
}

}  // namespace lockstep
