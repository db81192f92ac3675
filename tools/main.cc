// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tools/command.h"

int main(int argc, char** argv) {
  // A closed pipe is an error like a full disk: said, not died of.
  std::signal(SIGPIPE, SIG_IGN);
  lockstep::ExitStatus status = lockstep::RunCommandLine(
      std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
  if (absl::Status flushed = lockstep::FlushOutput(); !flushed.ok()) {
    std::fputs(absl::StrCat("lockstep: ", flushed.message(), "\n").c_str(),
               stderr);
    status = lockstep::kExitUsage;
  }
  return status;
}
