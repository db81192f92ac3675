// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// An access to one byte that may raise SIGSEGV or SIGBUS.

#ifndef LOCKSTEP_ENGINE_LINUX_EXECUTOR_TOUCH_H_
#define LOCKSTEP_ENGINE_LINUX_EXECUTOR_TOUCH_H_

#include <cstdint>

namespace lockstep::executor {

// Takes SIGSEGV and SIGBUS of this task, on a stack of its own: `slot`'s. A
// fault anywhere but in TouchByte still ends the process with the signal. 0 or
// an errno.
int CatchFaults(int slot);

// Reads or writes the byte at `address`: 0, or the signal that it raised.
// REQUIRES: CatchFaults in this task.
int TouchByte(uint64_t address, bool write);

}  // namespace lockstep::executor

#endif  // LOCKSTEP_ENGINE_LINUX_EXECUTOR_TOUCH_H_
