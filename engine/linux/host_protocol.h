// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// How a host process and the executor that it starts talk: batch and result in
// two memory files that both map, and messages on a SOCK_SEQPACKET socket. The
// executor says hello, then answers every Go with a Done; it ends when the
// socket is closed.

#ifndef LOCKSTEP_ENGINE_LINUX_HOST_PROTOCOL_H_
#define LOCKSTEP_ENGINE_LINUX_HOST_PROTOCOL_H_

#include <cstdint>

namespace lockstep::host_protocol {

// Descriptors of the executor at its start.
inline constexpr int kSocketFd = 3;
inline constexpr int kBatchFd = 4;
inline constexpr int kResultFd = 5;

// The argument that makes it wait for batches.
inline constexpr char kServeArgument[] = "--serve";

struct Hello {
  uint32_t magic;  // wire::kMagic
  // An errno each; 0: done.
  int32_t start_error;      // no process can be made: nothing else counts
  int32_t sandbox_error;    // seccomp
  int32_t namespace_error;  // IPC and PID namespaces
  int32_t affinity_error;   // one CPU
  uint32_t randomized;    // address space randomisation cannot be switched off
  uint32_t sees;          // bits of wire::Sees
  uint32_t has_ipc_lock;  // CAP_IPC_LOCK is permitted
  uint32_t has_setuid;    // CAP_SETUID is permitted
  uint32_t has_procmap_query;   // PROCMAP_QUERY, 6.11
  uint64_t hard_memlock_limit;  // bytes
};

struct Go {
  uint64_t batch_bytes;
  // Of the files: the executor maps them again when they have grown.
  uint64_t batch_capacity, result_capacity;
};

struct Done {
  int64_t result_bytes;  // or a negative errno of RunBatch
};

}  // namespace lockstep::host_protocol

#endif  // LOCKSTEP_ENGINE_LINUX_HOST_PROTOCOL_H_
