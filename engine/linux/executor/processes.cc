// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/executor/processes.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <ctime>

#include "engine/linux/executor/control.h"
#include "engine/linux/executor/guest_actions.h"
#include "engine/linux/executor/raw_syscall.h"
#include "engine/linux/executor/task.h"

// touch.cc
extern "C" void lockstep_sigreturn();

namespace lockstep::executor {
namespace {

constexpr uint64_t kMillisecond = 1'000'000;
// Milliseconds that a step may take if nobody has set a limit.
constexpr uint64_t kUsualStepLimit = 2'000;
// How long killed processes are waited for. They may be deep in a system call.
constexpr uint64_t kReapLimit = 10'000 * kMillisecond;
constexpr uint64_t kInterruptPeriod = 50 * kMillisecond;

uint64_t Now() {
  timespec now = {};
  RawSyscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<uint64_t>(now.tv_nsec);
}

uint64_t Nanoseconds(const timeval& time) {
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 +
         static_cast<uint64_t>(time.tv_usec) * 1'000;
}

void OnChildsDeath(int) { TheControl()->event.fetch_add(1); }

// Not SA_RESTART: a wait for an event ends.
void CatchChildsDeath() {
  constexpr uint64_t kSaRestorer = 0x04000000;
  // As rt_sigaction takes it.
  const struct {
    void (*handler)(int);
    uint64_t flags;
    void (*restorer)();
    uint64_t mask;
  } action = {OnChildsDeath, kSaRestorer, lockstep_sigreturn, 0};
  RawSyscall(SYS_rt_sigaction, SIGCHLD, &action, nullptr, sizeof action.mask);
}

int MapControl() {
  int64_t fd = RawSyscall(SYS_memfd_create, "lockstep control", 0);
  if (fd < 0) return static_cast<int>(-fd);
  if (int64_t error = RawSyscall(SYS_ftruncate, fd, sizeof(Control));
      error < 0) {
    return static_cast<int>(-error);
  }
  if (fd != kControlFd) {
    if (int64_t error = RawSyscall(SYS_dup3, fd, kControlFd, 0); error < 0) {
      return static_cast<int>(-error);
    }
    RawSyscall(SYS_close, fd);
  }
  const int64_t address = RawSyscall(
      SYS_mmap, kControlAddress, sizeof(Control), PROT_READ | PROT_WRITE,
      MAP_SHARED | MAP_FIXED_NOREPLACE, kControlFd, 0);
  return IsError(address) ? static_cast<int>(-address) : 0;
}

}  // namespace

int Processes::Start() {
  if (!mapped_) {
    if (int error = MapControl(); error != 0) return error;
    CatchChildsDeath();
    mapped_ = true;
    TheControl()->in_guest = guest_actions != nullptr ? 1 : 0;
    ForgetProgram();
    // What only the supervisor may open is inherited from here.
    AdoptProcess();
  }
  if (spawner_ != 0) return 0;
  answers_seen_ = TheControl()->answers.load();
  died_ = false;
  const int64_t pid =
      RawSyscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (pid < 0) return static_cast<int>(-pid);
  if (pid == 0) {
    RawSyscall(SYS_setpgid, 0, 0);
    // The host's channel and buffers.
    for (int fd = 3; fd < kControlFd; ++fd) RawSyscall(SYS_close, fd);
    RunSpawner();
  }
  // Here too: whichever is first.
  RawSyscall(SYS_setpgid, pid, pid);
  spawner_ = static_cast<pid_t>(pid);
  if (Await(0) != Waited::kAnswer) {
    KillAll();
    return ECHILD;
  }
  sandbox_error_ = TheControl()->spawn_error;
  return 0;
}

void Processes::Reap(pid_t leaver) {
  if (spawner_ == 0) return;
  while (true) {
    int status = 0;
    const int64_t pid =
        RawSyscall(SYS_wait4, -spawner_, &status, WNOHANG, nullptr);
    if (pid <= 0) return;
    if (pid == leaver && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
      left_ = true;
      continue;
    }
    if (!died_) status_ = status;
    died_ = true;
  }
}

Waited Processes::Await(pid_t leaver) {
  Control* control = TheControl();
  const uint64_t limit =
      (step_limit_ms_ != 0 ? step_limit_ms_ : kUsualStepLimit) * kMillisecond;
  const uint64_t period = std::clamp(limit / 4, kMillisecond, kInterruptPeriod);
  const timespec tick = {0, static_cast<long>(period)};
  uint32_t beats = control->beats.load();
  uint64_t last_beat = Now();
  uint64_t last_look = last_beat;
  left_ = false;
  while (true) {
    const uint32_t event = control->event.load();
    if (leaver == 0 && control->answers.load() != answers_seen_) {
      answers_seen_ = control->answers.load();
      return Waited::kAnswer;
    }
    Reap(leaver);
    if (died_) return Waited::kDeath;
    if (left_) return Waited::kAnswer;
    const uint64_t now = Now();
    if (interrupted_ != nullptr && now - last_look >= kInterruptPeriod) {
      last_look = now;
      if (interrupted_()) {
        KillAll();
        RemoveSegments();
        RawSyscall(SYS_exit_group, 1);
      }
    }
    if (const uint32_t beat = control->beats.load(); beat != beats) {
      beats = beat;
      last_beat = now;
    } else if (now - last_beat >= limit) {
      return Waited::kTimeout;
    }
    FutexWait(&control->event, event, &tick);
  }
}

void Processes::ForgetProgram() {
  SharedState* shared = &TheControl()->shared;
  std::memset(shared, 0, sizeof *shared);
  for (SharedState::ShmSlot& slot : shared->shm) slot.id = -1;
}

Waited Processes::Make(Spawn what) {
  Control* control = TheControl();
  if (what != Spawn::kUsage) ForgetProgram();
  control->spawn = what;
  control->spawn_error = 0;
  answers_seen_ = control->answers.load();
  control->spawn_go.fetch_add(1);
  FutexWake(&control->spawn_go);
  return Await(0);
}

Waited Processes::Ask(int slot, Command command) {
  Control* control = TheControl();
  control->command = command;
  answers_seen_ = control->answers.load();
  control->go[slot].fetch_add(1);
  FutexWake(&control->go[slot]);
  return Await(0);
}

Waited Processes::AskToExit(int slot, Command command) {
  Control* control = TheControl();
  control->command = command;
  control->go[slot].fetch_add(1);
  FutexWake(&control->go[slot]);
  return Await(control->pids[slot]);
}

Fate Processes::BringDown(Waited why) {
  const int status = status_;
  KillAll();
  RemoveSegments();
  if (why == Waited::kTimeout) return {wire::End::kTimedOut, SIGKILL};
  if (WIFSIGNALED(status)) return {wire::End::kKilled, WTERMSIG(status)};
  const int code = WEXITSTATUS(status);
  return {wire::End::kBroken, code != 0 ? code : ECHILD};
}

void Processes::Kill(int slot) {
  const pid_t pid = TheControl()->pids[slot];
  // The mapping is not trusted: only a child of ours is killed.
  int status = 0;
  if (pid <= 0 || pid == spawner_ ||
      RawSyscall(SYS_wait4, pid, &status, WNOHANG, nullptr) != 0) {
    return;
  }
  RawSyscall(SYS_kill, pid, SIGKILL);
  while (RawSyscall(SYS_wait4, pid, &status, 0, nullptr) == -EINTR) {
  }
}

void Processes::KillAll() {
  if (spawner_ == 0) return;
  // None of them can leave the group: setpgid and setsid are not allowed.
  RawSyscall(SYS_kill, -spawner_, SIGKILL);
  const uint64_t start = Now();
  while (true) {
    int status = 0;
    const int64_t pid =
        RawSyscall(SYS_wait4, -spawner_, &status, WNOHANG, nullptr);
    if (pid == -ECHILD || Now() - start >= kReapLimit) break;
    if (pid == 0) {
      const timespec pause = {0, static_cast<long>(kMillisecond / 4)};
      RawSyscall(SYS_nanosleep, &pause, nullptr);
    }
  }
  spawner_ = 0;
  died_ = false;
}

void Processes::RemoveSegments() {
  Control* control = TheControl();
  if (!mapped_) return;
  // Ids first, then those that were made and not yet written down.
  for (SharedState::ShmSlot& slot : control->shared.shm) {
    if (slot.id >= 0) RawSyscall(SYS_shmctl, slot.id, IPC_RMID, nullptr);
    slot.id = -1;
  }
  shm_info info = {};
  const int64_t last = RawSyscall(SYS_shmctl, 0, SHM_INFO, &info);
  for (int64_t i = 0; i <= last; ++i) {
    shmid_ds segment = {};
    const int64_t id = RawSyscall(SYS_shmctl, i, SHM_STAT, &segment);
    if (id < 0) continue;
    const bool ours =
        own_namespaces_ ||
        std::find(std::begin(control->pids), std::end(control->pids),
                  segment.shm_cpid) != std::end(control->pids);
    if (ours) RawSyscall(SYS_shmctl, id, IPC_RMID, nullptr);
  }
}

void Processes::AddUsage(uint64_t* user_ns, uint64_t* system_ns) {
  for (int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage usage = {};
    RawSyscall(SYS_getrusage, who, &usage);
    *user_ns += Nanoseconds(usage.ru_utime);
    *system_ns += Nanoseconds(usage.ru_stime);
  }
  if (spawner_ != 0 && Make(Spawn::kUsage) == Waited::kAnswer) {
    *user_ns += TheControl()->spawner_user_ns;
    *system_ns += TheControl()->spawner_system_ns;
  }
}

}  // namespace lockstep::executor
