// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Runs batches of programs (wire.h) in processes that may hang, crash and be
// killed, and loses nothing but the step that did it.

#ifndef LOCKSTEP_ENGINE_LINUX_EXECUTOR_SUPERVISOR_H_
#define LOCKSTEP_ENGINE_LINUX_EXECUTOR_SUPERVISOR_H_

#include <cstddef>
#include <cstdint>

namespace lockstep::executor {

// Runs every program of the batch and writes the result. Returns its bytes, or
// a negative errno: EINVAL, the batch is not what EncodeBatch makes; ENOSPC,
// the result has no room for its header; otherwise no process could be made.
//
// Both buffers are aligned for uint64_t and begin and end at page boundaries of
// mappings of their own: the processes that run programs do not inherit them.
int64_t RunBatch(const char* batch, size_t batch_bytes, char* result,
                 size_t result_bytes);

// What the supervisor of a host is told besides; a guest's does without.
struct SupervisorOptions {
  // PID and IPC namespace are ours alone.
  bool own_namespaces = false;
  // Called some times a second while a batch runs. True: whoever wants the
  // results is gone. All processes and segments are removed, and this process
  // exits.
  bool (*interrupted)() = nullptr;
};
void SetSupervisorOptions(const SupervisorOptions& options);

// Makes what the first batch would make. 0 or an errno.
int StartProcesses();
// The errno with which the kernel refused the seccomp filter; 0.
int SandboxError();
// Ends all processes and removes what they left.
void StopProcesses();

}  // namespace lockstep::executor

#endif  // LOCKSTEP_ENGINE_LINUX_EXECUTOR_SUPERVISOR_H_
