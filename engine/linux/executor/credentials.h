// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The capability and the user that a step runs with. Permitted capabilities are
// kept; effective is CAP_IPC_LOCK, if the task has it, and nothing else.

#ifndef LOCKSTEP_ENGINE_LINUX_EXECUTOR_CREDENTIALS_H_
#define LOCKSTEP_ENGINE_LINUX_EXECUTOR_CREDENTIALS_H_

#include <cstdint>

namespace lockstep::executor {

// Sets of this task.
uint64_t PermittedCapabilities();
uint64_t EffectiveCapabilities();
bool HasIpcLock();  // effective

// All of the permitted set effective; 0 or an errno.
int RaiseCapabilities();
int SetEffectiveCapabilities(uint64_t set);
// CAP_IPC_LOCK alone, or nothing, effective; 0 or an errno: EPERM if it is not
// permitted.
int LimitCapabilities(bool ipc_lock);

// All three user ids, with the permitted capabilities kept and
// effective as `ipc_lock` says, after exec too. 0 or an errno.
int BecomeUser(uint32_t uid, bool ipc_lock);

}  // namespace lockstep::executor

#endif  // LOCKSTEP_ENGINE_LINUX_EXECUTOR_CREDENTIALS_H_
