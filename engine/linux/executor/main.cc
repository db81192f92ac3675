// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// lockstep_executor: runs batches of programs for the process that started it,
// or, as the first process of a guest, for the machine outside.
//
// On a host there are two processes above those that run programs: this one,
// and below it, where it may, the first of a PID and an IPC namespace. Killing
// either ends all of them, and the kernel takes the segments with it.

#include "engine/linux/executor/main.h"

#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstdint>

#include "engine/linux/executor/control.h"
#include "engine/linux/executor/guest_init.h"
#include "engine/linux/executor/process.h"
#include "engine/linux/executor/raw_syscall.h"
#include "engine/linux/executor/sandbox.h"
#include "engine/linux/executor/session.h"
#include "engine/linux/executor/supervisor.h"
#include "engine/linux/executor/task.h"
#include "engine/linux/host_protocol.h"
#include "engine/linux/wire.h"

namespace lockstep::executor {
namespace {

// Says that the image was started again without randomisation, or that this
// cannot be had. As long as the other arguments: the stack is part of what is
// measured.
constexpr char kPlacedArgument[] = "--fixed";
constexpr char kGuestPath[] = "/init";

bool Same(const char* a, const char* b) {
  while (*a != '\0' && *a == *b) ++a, ++b;
  return *a == *b;
}

bool IsRandomized() {
  const int64_t now = RawSyscall(SYS_personality, 0xffffffff);
  return now < 0 || (now & ADDR_NO_RANDOMIZE) == 0;
}

// The place of the mappings hangs on the stack's limit.
void FixStackLimit() {
  constexpr uint64_t kStackLimit = 8 << 20;
  rlimit limit = {};
  if (RawSyscall(SYS_prlimit64, 0, RLIMIT_STACK, nullptr, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max < kStackLimit ? limit.rlim_max : kStackLimit;
  RawSyscall(SYS_prlimit64, 0, RLIMIT_STACK, &limit, nullptr);
}

// Every process of the executor has the same image at the same place: this
// program again, without randomisation. Returns if that is impossible.
void StartAgain(const char* path, const char* name, const char* argument) {
  FixStackLimit();
  const int64_t persona = RawSyscall(SYS_personality, 0xffffffff);
  if (persona < 0 ||
      RawSyscall(SYS_personality, persona | ADDR_NO_RANDOMIZE) < 0) {
    return;
  }
  const char* const arguments[] = {name, argument, nullptr};
  const char* const environment[] = {nullptr};
  RawSyscall(SYS_execve, path, arguments, environment);
}

// ---- Serving a host. ----

bool HostIsGone() {
  char byte;
  const int64_t got =
      RawSyscall(SYS_recvfrom, host_protocol::kSocketFd, &byte, sizeof byte,
                 MSG_PEEK | MSG_DONTWAIT, nullptr, nullptr);
  return got == 0 || (got < 0 && got != -EAGAIN && got != -EINTR);
}

bool Send(const void* message, size_t bytes) {
  while (true) {
    const int64_t sent = RawSyscall(SYS_sendto, host_protocol::kSocketFd,
                                    message, bytes, MSG_NOSIGNAL, nullptr, 0);
    if (sent != -EINTR) return sent == static_cast<int64_t>(bytes);
  }
}

bool Receive(void* message, size_t bytes) {
  while (true) {
    const int64_t got = RawSyscall(SYS_recvfrom, host_protocol::kSocketFd,
                                   message, bytes, 0, nullptr, nullptr);
    if (got != -EINTR) return got == static_cast<int64_t>(bytes);
  }
}

// One of the two memory files.
struct Buffer {
  int fd;
  int protection;
  char* data = nullptr;
  uint64_t capacity = 0;

  // Maps the file again if it has grown. 0 or an errno.
  int Map(uint64_t bytes) {
    if (bytes == capacity) return 0;
    if (data != nullptr) RawSyscall(SYS_munmap, data, capacity);
    const int64_t address =
        RawSyscall(SYS_mmap, nullptr, bytes, protection, MAP_SHARED, fd, 0);
    data = nullptr;
    capacity = 0;
    if (IsError(address)) return static_cast<int>(-address);
    data = reinterpret_cast<char*>(address);
    capacity = bytes;
    // All of it, and not only what a batch uses: a spawner that is started
    // later maps no more than the first.
    RawSyscall(SYS_madvise, data, capacity, MADV_DONTFORK);
    return 0;
  }
};

bool IsPermitted(int capability) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  RawSyscall(SYS_capget, &header, data);
  return (data[capability / 32].permitted >> capability % 32 & 1) != 0;
}

int64_t RunGo(const host_protocol::Go& go, Buffer* batch, Buffer* result) {
  if (int error = batch->Map(go.batch_capacity); error != 0) return -error;
  if (int error = result->Map(go.result_capacity); error != 0) return -error;
  if (go.batch_bytes > batch->capacity) return -EINVAL;
  return RunBatch(batch->data, go.batch_bytes, result->data, result->capacity);
}

// In the process that has the namespaces, if there are any.
[[noreturn]] void Supervise(host_protocol::Hello hello) {
  SupervisorOptions options;
  options.own_namespaces = hello.namespace_error == 0;
  options.interrupted = HostIsGone;
  SetSupervisorOptions(options);
  hello.affinity_error = StayOnThisCpu();
  hello.start_error = StartProcesses();
  hello.sandbox_error = SandboxError();
  hello.sees = WhatIsSeen();
  hello.has_procmap_query = process.has_procmap ? 1 : 0;
  hello.has_ipc_lock = IsPermitted(CAP_IPC_LOCK) ? 1 : 0;
  hello.has_setuid = IsPermitted(CAP_SETUID) ? 1 : 0;
  rlimit limit = {};
  RawSyscall(SYS_prlimit64, 0, RLIMIT_MEMLOCK, nullptr, &limit);
  hello.hard_memlock_limit = limit.rlim_max;
  Send(&hello, sizeof hello);

  Buffer batch = {host_protocol::kBatchFd, PROT_READ};
  Buffer result = {host_protocol::kResultFd, PROT_READ | PROT_WRITE};
  host_protocol::Go go;
  while (Receive(&go, sizeof go)) {
    const host_protocol::Done done = {RunGo(go, &batch, &result)};
    if (!Send(&done, sizeof done)) break;
  }
  StopProcesses();
  RawSyscall(SYS_exit_group, 0);
  __builtin_unreachable();
}

[[noreturn]] void Serve(bool randomized) {
  host_protocol::Hello hello = {};
  hello.magic = wire::kMagic;
  hello.randomized = randomized ? 1 : 0;
  hello.namespace_error = EnterNamespaces();
  const int64_t pid =
      RawSyscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (pid == 0) {
    // Of its own accord the supervisor ends when the socket is closed; with a
    // namespace around it nothing is left to clear up.
    if (hello.namespace_error == 0) {
      RawSyscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    }
    Supervise(hello);
  }
  for (int fd = host_protocol::kSocketFd; fd <= host_protocol::kResultFd;
       ++fd) {
    RawSyscall(SYS_close, fd);
  }
  int status = 1;
  while (RawSyscall(SYS_wait4, pid, &status, 0, nullptr) == -EINTR) {
  }
  RawSyscall(SYS_exit_group, status == 0 ? 0 : 1);
  __builtin_unreachable();
}

[[noreturn]] void Usage() {
  constexpr char kText[] =
      "lockstep_executor runs programs for lockstep, which starts it; there is "
      "nothing to start by hand\n";
  RawSyscall(SYS_write, 2, kText, sizeof kText - 1);
  RawSyscall(SYS_exit_group, 2);
  __builtin_unreachable();
}

}  // namespace

void Main(int argc, char** argv) {
  process.whole_image = true;
  process.kernel_stack = AddressOf(argv);
  if (argc >= 1 && IsGuestInit(argv[0])) {
    if (IsRandomized()) StartAgain(kGuestPath, kGuestPath, kPlacedArgument);
    RunGuest();
  }
  if (argc != 2) Usage();
  if (Same(argv[1], kTaskArgument)) ResumeAfterExec();
  if (Same(argv[1], host_protocol::kServeArgument)) {
    StartAgain(kSelfPath, "lockstep_executor", kPlacedArgument);
    Serve(IsRandomized());
  }
  if (Same(argv[1], kPlacedArgument)) Serve(IsRandomized());
  Usage();
}

}  // namespace lockstep::executor
