// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/executor/guest_program.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <ctime>

#include "engine/linux/executor/raw_syscall.h"

namespace lockstep::executor {
namespace {

constexpr char kProgram[] = "/tmp/program";
constexpr char kOutput[] = "/tmp/output";
// As a shell has it.
constexpr int kCannotExec = 127;
// A set of signals as the kernel has it.
constexpr uint64_t kChildSignal = uint64_t{1} << (SIGCHLD - 1);

int64_t WriteExecutable(const char* executable, uint64_t bytes) {
  const int64_t fd = RawSyscall(SYS_open, kProgram,
                                O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
  if (fd < 0) return fd;
  int64_t wrote = 0;
  for (uint64_t at = 0; at < bytes; at += static_cast<uint64_t>(wrote)) {
    wrote = RawSyscall(SYS_write, fd, executable + at, bytes - at);
    if (wrote <= 0) break;
  }
  // Nothing that is open for writing can be executed.
  RawSyscall(SYS_close, fd);
  return wrote < 0 ? wrote : 0;
}

[[noreturn]] void BecomeProgram(int64_t output) {
  // Init is spared by the OOM killer and waits for its children's signals.
  const int64_t fd =
      RawSyscall(SYS_open, "/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  RawSyscall(SYS_write, fd, "0", 1);
  const uint64_t none = 0;
  RawSyscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, sizeof none);
  RawSyscall(SYS_setsid);
  RawSyscall(SYS_dup2, RawSyscall(SYS_open, "/dev/null", O_RDONLY), 0);
  RawSyscall(SYS_dup2, output, 1);
  RawSyscall(SYS_dup2, output, 2);
  RawSyscall(SYS_close_range, 3, ~0U, 0);
  const char* const arguments[] = {kProgram, nullptr};
  const char* const environment[] = {nullptr};
  RawSyscall(SYS_execve, kProgram, arguments, environment);
  constexpr char kText[] = "it cannot be executed here\n";
  RawSyscall(SYS_write, 2, kText, sizeof kText - 1);
  RawSyscall(SYS_exit_group, kCannotExec);
  __builtin_unreachable();
}

int64_t Milliseconds() {
  timespec now = {};
  RawSyscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// True once it has ended, false when the time is over.
bool Await(int64_t pid, uint64_t limit_ms, int* wait_status) {
  const int64_t deadline = Milliseconds() + static_cast<int64_t>(limit_ms);
  while (true) {
    if (RawSyscall(SYS_wait4, pid, wait_status, WNOHANG, nullptr) == pid) {
      return true;
    }
    const int64_t left = deadline - Milliseconds();
    if (left <= 0) return false;
    // SIGCHLD is blocked: one that came before this call ends it too.
    const timespec time = {left / 1000, left % 1000 * 1000000};
    RawSyscall(SYS_rt_sigtimedwait, &kChildSignal, nullptr, &time,
               sizeof kChildSignal);
  }
}

}  // namespace

int64_t RunGuestProgram(const char* executable, uint64_t bytes,
                        uint64_t limit_ms, char* output, uint64_t output_bytes,
                        GuestProgramEnd* end) {
  if (const int64_t error = WriteExecutable(executable, bytes); error < 0) {
    return error;
  }
  const int64_t file =
      RawSyscall(SYS_open, kOutput,
                 O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  if (file < 0) return file;
  RawSyscall(SYS_rt_sigprocmask, SIG_BLOCK, &kChildSignal, nullptr,
             sizeof kChildSignal);
  const int64_t pid = RawSyscall(SYS_fork);
  if (pid == 0) BecomeProgram(file);
  if (pid > 0) {
    end->ended = Await(pid, limit_ms, &end->wait_status);
    const int64_t got =
        RawSyscall(SYS_pread64, file, output, output_bytes, uint64_t{0});
    end->output_bytes = got < 0 ? 0 : static_cast<uint64_t>(got);
  }
  RawSyscall(SYS_close, file);
  return pid < 0 ? pid : 0;
}

}  // namespace lockstep::executor
