// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// A program that runs beside this one and never outlives it.

#ifndef LOCKSTEP_TOOLS_CHILD_PROCESS_H_
#define LOCKSTEP_TOOLS_CHILD_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace lockstep {

class ChildProcess {
 public:
  using Environment = std::vector<std::pair<std::string, std::string>>;

  ChildProcess() = default;
  // Kills it if it runs.
  ~ChildProcess() { Kill(); }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // Starts arguments[0], a path, with standard output and standard error into
  // the file `output`, which is emptied, and with `additions` to the
  // environment. It is killed when this process ends, however it ends.
  // REQUIRES: none runs; called by the thread that lives longest.
  absl::Status Start(std::vector<std::string> arguments,
                     const Environment& additions, const std::string& output);
  // Does it run?
  bool Running();
  void Signal(int signal);
  // Returns when it is gone.
  void Kill();

  // After the end: as of wait(2), and in words: "exit status 77", "killed by
  // signal 9 (Killed)".
  int wait_status() const { return wait_status_; }
  std::string HowItEnded() const;

 private:
  pid_t pid_ = -1;
  int wait_status_ = 0;
};

}  // namespace lockstep

#endif  // LOCKSTEP_TOOLS_CHILD_PROCESS_H_
