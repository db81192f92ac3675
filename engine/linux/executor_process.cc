// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/executor_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/linux/wire.h"

namespace lockstep {
namespace {

constexpr size_t kBatchBytes = 1 << 20;
// Only what has been written costs memory.
constexpr size_t kResultBytes = 64 << 20;
constexpr size_t kMaxResultBytes = size_t{4} << 30;
// For processes to be gone after the socket is closed.
constexpr absl::Duration kPatience = absl::Seconds(15);

absl::Status Failed(absl::string_view what, int error) {
  return absl::UnavailableError(
      absl::StrCat("executor: ", what, ": ", std::strerror(error)));
}

// A descriptor that is none of those the executor starts with.
absl::Status MoveUp(int* fd) {
  const int moved = fcntl(*fd, F_DUPFD_CLOEXEC, 16);
  if (moved < 0) return Failed("fcntl(F_DUPFD_CLOEXEC)", errno);
  close(std::exchange(*fd, moved));
  return absl::OkStatus();
}

template <typename Message>
bool SendMessage(int socket, const Message& message) {
  ssize_t sent;
  do {
    sent = send(socket, &message, sizeof message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == sizeof message;
}

template <typename Message>
bool ReceiveMessage(int socket, Message* message) {
  ssize_t got;
  do {
    got = recv(socket, message, sizeof *message, 0);
  } while (got < 0 && errno == EINTR);
  return got == sizeof *message;
}

// The path's program with the three descriptors as its 3, 4 and 5 and no other
// of ours but 0 to 2. In a process group of its own: the terminal's SIGINT is
// ours, and the executor ends when we do.
absl::StatusOr<pid_t> Spawn(const std::string& path, int socket, int batch,
                            int result) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  absl::Cleanup destroy_actions = [&] {
    posix_spawn_file_actions_destroy(&actions);
  };
  posix_spawn_file_actions_adddup2(&actions, socket, host_protocol::kSocketFd);
  posix_spawn_file_actions_adddup2(&actions, batch, host_protocol::kBatchFd);
  posix_spawn_file_actions_adddup2(&actions, result, host_protocol::kResultFd);
  posix_spawn_file_actions_addclosefrom_np(&actions,
                                           host_protocol::kResultFd + 1);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  absl::Cleanup destroy_attributes = [&] {
    posix_spawnattr_destroy(&attributes);
  };
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK |
                                            POSIX_SPAWN_SETSIGDEF |
                                            POSIX_SPAWN_SETPGROUP);
  std::string name = "lockstep_executor";
  std::string argument = host_protocol::kServeArgument;
  char* const arguments[] = {name.data(), argument.data(), nullptr};
  char* const environment[] = {nullptr};
  pid_t pid;
  if (int error = posix_spawn(&pid, path.c_str(), &actions, &attributes,
                              arguments, environment);
      error != 0) {
    return Failed(absl::StrCat("starting ", path), error);
  }
  return pid;
}

}  // namespace

absl::Status ExecutorProcess::Buffer::Grow(size_t bytes) {
  if (bytes <= capacity) return absl::OkStatus();
  bytes = std::bit_ceil(bytes);
  if (fd < 0) {
    fd = memfd_create("lockstep buffer", MFD_CLOEXEC);
    if (fd < 0) return Failed("memfd_create", errno);
    if (absl::Status status = MoveUp(&fd); !status.ok()) return status;
  }
  if (ftruncate(fd, static_cast<off_t>(bytes)) != 0) {
    return Failed("ftruncate", errno);
  }
  if (data != nullptr) munmap(data, capacity);
  data = nullptr;
  capacity = 0;
  void* address =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED) return Failed("mmap", errno);
  data = static_cast<char*>(address);
  capacity = bytes;
  return absl::OkStatus();
}

ExecutorProcess::Buffer::~Buffer() {
  if (data != nullptr) munmap(data, capacity);
  if (fd >= 0) close(fd);
}

absl::StatusOr<std::unique_ptr<ExecutorProcess>> ExecutorProcess::Start(
    const std::string& path) {
  auto executor = absl::WrapUnique(new ExecutorProcess());
  for (auto [buffer, bytes] : {std::pair{&executor->batch_, kBatchBytes},
                               std::pair{&executor->result_, kResultBytes}}) {
    if (absl::Status status = buffer->Grow(bytes); !status.ok()) return status;
  }
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
    return Failed("socketpair", errno);
  }
  executor->socket_ = sockets[0];
  absl::Cleanup close_theirs = [&] { close(sockets[1]); };
  for (int* socket : {&executor->socket_, &sockets[1]}) {
    if (absl::Status status = MoveUp(socket); !status.ok()) return status;
  }
  absl::StatusOr<pid_t> pid =
      Spawn(path, sockets[1], executor->batch_.fd, executor->result_.fd);
  if (!pid.ok()) return pid.status();
  executor->pid_ = *pid;
  std::move(close_theirs).Invoke();
  host_protocol::Hello& hello = executor->hello_;
  if (!ReceiveMessage(executor->socket_, &hello) ||
      hello.magic != wire::kMagic) {
    return absl::UnavailableError(absl::StrCat(
        "executor: ", path,
        " ended or said something else than an executor of this build"));
  }
  if (hello.start_error != 0) {
    return Failed("making the processes that run programs", hello.start_error);
  }
  return executor;
}

ExecutorProcess::~ExecutorProcess() {
  if (socket_ >= 0) close(socket_);
  if (pid_ < 0) return;
  const absl::Time deadline = absl::Now() + kPatience;
  absl::Duration pause = absl::Microseconds(100);
  while (waitpid(pid_, nullptr, WNOHANG) == 0) {
    if (absl::Now() > deadline) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
      return;
    }
    absl::SleepFor(pause);
    pause = std::min(2 * pause, absl::Milliseconds(10));
  }
}

absl::StatusOr<absl::string_view> ExecutorProcess::Run(
    absl::string_view batch) {
  if (absl::Status status = batch_.Grow(batch.size()); !status.ok()) {
    return status;
  }
  std::memcpy(batch_.data, batch.data(), batch.size());
  const host_protocol::Go go = {batch.size(), batch_.capacity,
                                result_.capacity};
  host_protocol::Done done;
  if (!SendMessage(socket_, go) || !ReceiveMessage(socket_, &done)) {
    return absl::UnavailableError("executor: it has died");
  }
  if (done.result_bytes >= 0) {
    if (static_cast<uint64_t>(done.result_bytes) > result_.capacity) {
      return absl::UnavailableError("executor: a result larger than its room");
    }
    return absl::string_view(result_.data,
                             static_cast<size_t>(done.result_bytes));
  }
  const int error = static_cast<int>(-done.result_bytes);
  if (error == EINVAL) {
    return absl::InvalidArgumentError(
        absl::StrCat("executor: a batch of ", batch.size(),
                     " bytes is not one of this build: nothing was run"));
  }
  if (error == ENOSPC && result_.capacity < kMaxResultBytes) {
    if (absl::Status status = result_.Grow(2 * result_.capacity);
        !status.ok()) {
      return status;
    }
    return absl::ResourceExhaustedError("executor: the result has no room");
  }
  return absl::InternalError(absl::StrCat("executor: no process for programs: ",
                                          std::strerror(error)));
}

}  // namespace lockstep
