// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// What a process that runs strangers' programs may still do.

#ifndef LOCKSTEP_ENGINE_LINUX_EXECUTOR_SANDBOX_H_
#define LOCKSTEP_ENGINE_LINUX_EXECUTOR_SANDBOX_H_

#include <cstdint>

namespace lockstep::executor {

// The one path that execve is allowed for, compared by address.
extern const char kSelfPath[];

// Address space of a process that runs programs. Its image and arena are less
// than a tenth of it.
inline constexpr uint64_t kAddressSpaceBytes = 192 << 20;

// IPC and PID namespaces for the children of this process to come; both or
// none. 0, or the errno that says why not (EPERM without CAP_SYS_ADMIN).
int EnterNamespaces();

// Pins the process to the CPU that it runs on. 0 or an errno.
int StayOnThisCpu();

// Limits, capabilities and the seccomp filter, for this process and all that it
// makes. 0, or the errno with which the kernel refused the filter: all else is
// in force then.
int Confine();

}  // namespace lockstep::executor

#endif  // LOCKSTEP_ENGINE_LINUX_EXECUTOR_SANDBOX_H_
