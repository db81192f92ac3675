// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// A running lockstep_executor and the buffers that it shares with us.

#ifndef LOCKSTEP_ENGINE_LINUX_EXECUTOR_PROCESS_H_
#define LOCKSTEP_ENGINE_LINUX_EXECUTOR_PROCESS_H_

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/linux/host_protocol.h"

namespace lockstep {

class ExecutorProcess {
 public:
  // Starts the program. Unavailable, with what failed.
  static absl::StatusOr<std::unique_ptr<ExecutorProcess>> Start(
      const std::string& path);
  // Ends it: when this returns it is gone, and what it made with it.
  ~ExecutorProcess();
  ExecutorProcess(const ExecutorProcess&) = delete;
  ExecutorProcess& operator=(const ExecutorProcess&) = delete;

  const host_protocol::Hello& hello() const { return hello_; }
  // The process that was started; the supervisor is its child.
  pid_t pid() const { return pid_; }

  // Runs the batch. The bytes are those of a ResultHeader and what follows it,
  // valid until the next Run.
  //   Unavailable        the executor has died: start another one
  //   InvalidArgument    the batch is corrupt; nothing was run
  //   ResourceExhausted  the result of its first program has no room; it has
  //                      twice as much from now on
  //   Internal           no process can be made
  absl::StatusOr<absl::string_view> Run(absl::string_view batch);

 private:
  // A memory file that both sides map.
  struct Buffer {
    int fd = -1;
    char* data = nullptr;
    size_t capacity = 0;
    absl::Status Grow(size_t bytes);
    ~Buffer();
  };

  ExecutorProcess() = default;

  Buffer batch_, result_;
  int socket_ = -1;
  pid_t pid_ = -1;
  host_protocol::Hello hello_ = {};
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_LINUX_EXECUTOR_PROCESS_H_
