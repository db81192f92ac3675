// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// A program that the guest's init runs by itself, outside every sandbox: a
// reproducer. The guest is of no use for anything else afterwards.

#ifndef LOCKSTEP_ENGINE_LINUX_EXECUTOR_GUEST_PROGRAM_H_
#define LOCKSTEP_ENGINE_LINUX_EXECUTOR_GUEST_PROGRAM_H_

#include <cstdint>

namespace lockstep::executor {

struct GuestProgramEnd {
  bool ended;             // within its limit
  int wait_status;        // of wait4(2), if it has ended
  uint64_t output_bytes;  // what there is of its output
};

// Writes the static executable to /tmp and runs it as root. `output` has the
// first `output_bytes` of what it wrote to its standard output and error. One
// that has not ended after `limit_ms` runs on. 0, or a negative errno if there
// can be no such process.
int64_t RunGuestProgram(const char* executable, uint64_t bytes,
                        uint64_t limit_ms, char* output, uint64_t output_bytes,
                        GuestProgramEnd* end);

}  // namespace lockstep::executor

#endif  // LOCKSTEP_ENGINE_LINUX_EXECUTOR_GUEST_PROGRAM_H_
