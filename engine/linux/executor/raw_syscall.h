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

namespace lockstep::executor {

// The kernel's return value: -errno for an error.
inline long RawSyscall(long number, uint64_t a = 0, uint64_t b = 0,
                       uint64_t c = 0, uint64_t d = 0, uint64_t e = 0,
                       uint64_t f = 0) {
  long result;
  register uint64_t r10 asm("r10") = d;
  register uint64_t r8 asm("r8") = e;
  register uint64_t r9 asm("r9") = f;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}

template <typename T>
uint64_t Word(T* pointer) {
  return reinterpret_cast<uint64_t>(pointer);
}

// futex(2) between processes. `timeout` null: no limit.
inline long FutexWait(const std::atomic<uint32_t>* word, uint32_t expected,
                      const timespec* timeout) {
  return RawSyscall(SYS_futex, Word(word), FUTEX_WAIT, expected, Word(timeout));
}
inline void FutexWake(const std::atomic<uint32_t>* word) {
  RawSyscall(SYS_futex, Word(word), FUTEX_WAKE, 1);
}

}  // namespace lockstep::executor

#endif  // LOCKSTEP_ENGINE_LINUX_EXECUTOR_RAW_SYSCALL_H_
