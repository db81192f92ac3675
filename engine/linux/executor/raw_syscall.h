// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// System calls without errno: it is thread-local storage, and tasks made by
// CLONE_VM share all of that.

#ifndef LOCKSTEP_ENGINE_LINUX_EXECUTOR_RAW_SYSCALL_H_
#define LOCKSTEP_ENGINE_LINUX_EXECUTOR_RAW_SYSCALL_H_

#include <linux/futex.h>
#include <sys/syscall.h>

#include <atomic>
#include <cstdint>
#include <ctime>
#include <type_traits>

namespace lockstep::executor {

// An argument of a system call: a number or a pointer.
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

// The kernel's return value: -errno for an error.
template <typename A = int, typename B = int, typename C = int,
          typename D = int, typename E = int, typename F = int>
int64_t RawSyscall(int64_t number, A a = 0, B b = 0, C c = 0, D d = 0, E e = 0,
                   F f = 0) {
  int64_t result;
  register uint64_t r10 asm("r10") = Argument(d);
  register uint64_t r8 asm("r8") = Argument(e);
  register uint64_t r9 asm("r9") = Argument(f);
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(Argument(a)), "S"(Argument(b)),
                 "d"(Argument(c)), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
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
