// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// RawSyscall of syscalls.h with pointers as arguments, and futexes.

#ifndef LOCKSTEP_ENGINE_LINUX_EXECUTOR_RAW_SYSCALL_H_
#define LOCKSTEP_ENGINE_LINUX_EXECUTOR_RAW_SYSCALL_H_

#include <linux/futex.h>

#include <atomic>
#include <cstdint>
#include <ctime>
#include <type_traits>

#include "engine/linux/executor/syscalls.h"

namespace lockstep::executor {

// An argument of a system call as its register holds it.
template <typename T>
uint64_t Argument(T value) {
  if constexpr (std::is_pointer_v<T>) {
    return reinterpret_cast<uint64_t>(value);
  } else if constexpr (std::is_null_pointer_v<T>) {
    return 0;
  } else {
    return static_cast<uint64_t>(value);
  }
}

template <typename... T>
int64_t RawSyscall(int64_t number, T... arguments) {
  return RawSyscall(number, Argument(arguments)...);
}

// futex(2) between processes. `timeout` null: no limit.
inline int64_t FutexWait(const std::atomic<uint32_t>* word, uint32_t expected,
                         const timespec* timeout) {
  return RawSyscall(SYS_futex, word, FUTEX_WAIT, expected, timeout);
}
inline void FutexWake(const std::atomic<uint32_t>* word) {
  RawSyscall(SYS_futex, word, FUTEX_WAKE, 1);
}

}  // namespace lockstep::executor

#endif  // LOCKSTEP_ENGINE_LINUX_EXECUTOR_RAW_SYSCALL_H_
