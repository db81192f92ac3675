// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The processes that run steps. Each waits for its word in Control, does what
// the supervisor says, answers, and waits again; none returns.

#ifndef LOCKSTEP_ENGINE_LINUX_EXECUTOR_TASK_H_
#define LOCKSTEP_ENGINE_LINUX_EXECUTOR_TASK_H_

namespace lockstep::executor {

// The argument with which exec starts this program again.
inline constexpr char kTaskArgument[] = "--task";

// Confines itself, then makes the others as the supervisor asks. They are the
// supervisor's children, not its own: CLONE_PARENT.
[[noreturn]] void RunSpawner();

// After exec: maps Control again and goes on as the task that called it.
[[noreturn]] void ResumeAfterExec();

}  // namespace lockstep::executor

#endif  // LOCKSTEP_ENGINE_LINUX_EXECUTOR_TASK_H_
