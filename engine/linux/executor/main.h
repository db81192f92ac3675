// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#ifndef LOCKSTEP_ENGINE_LINUX_EXECUTOR_MAIN_H_
#define LOCKSTEP_ENGINE_LINUX_EXECUTOR_MAIN_H_

namespace lockstep::executor {

// The program, from its arguments on. Called by _start (start.cc).
[[noreturn]] void Main(int argc, char** argv);

}  // namespace lockstep::executor

#endif  // LOCKSTEP_ENGINE_LINUX_EXECUTOR_MAIN_H_
