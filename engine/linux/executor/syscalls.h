// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// System calls without libc: no errno, no thread-local storage, so that tasks
// which share an address space (CLONE_VM) can make them. Results are the
// kernel's own: an error is -errno.

#ifndef LOCKSTEP_ENGINE_LINUX_EXECUTOR_SYSCALLS_H_
#define LOCKSTEP_ENGINE_LINUX_EXECUTOR_SYSCALLS_H_

#include <sys/syscall.h>

#include <cstddef>
#include <cstdint>

#if !defined(__x86_64__)
#error "the executor knows the x86-64 system call interface only"
#endif

namespace lockstep::executor {

// Arguments as the registers hold them.
inline int64_t RawSyscall(int64_t number, uint64_t a = 0, uint64_t b = 0,
                          uint64_t c = 0, uint64_t d = 0, uint64_t e = 0,
                          uint64_t f = 0) {
  int64_t result;
  register uint64_t r10 asm("r10") = d;
  register uint64_t r8 asm("r8") = e;
  register uint64_t r9 asm("r9") = f;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}

inline uint64_t AddressOf(const void* pointer) {
  return reinterpret_cast<uint64_t>(pointer);
}

constexpr bool IsError(int64_t result) { return result < 0 && result >= -4095; }

inline int Open(const char* path, int flags) {
  constexpr uint64_t kAtFdcwd = static_cast<uint64_t>(-100);
  return static_cast<int>(RawSyscall(SYS_openat, kAtFdcwd, AddressOf(path),
                                     static_cast<uint64_t>(flags)));
}
inline int64_t Close(int fd) {
  return RawSyscall(SYS_close, static_cast<uint64_t>(fd));
}
inline int64_t Pread(int fd, void* buffer, size_t bytes, uint64_t offset) {
  return RawSyscall(SYS_pread64, static_cast<uint64_t>(fd), AddressOf(buffer),
                    bytes, offset);
}
inline int64_t Ftruncate(int fd, uint64_t bytes) {
  return RawSyscall(SYS_ftruncate, static_cast<uint64_t>(fd), bytes);
}
// Moves `fd` to the number `to`.
inline int MoveFd(int fd, int to) {
  if (fd < 0 || fd == to) return fd;
  int64_t result = RawSyscall(SYS_dup3, static_cast<uint64_t>(fd),
                              static_cast<uint64_t>(to), 0);
  Close(fd);
  return static_cast<int>(result);
}

// Ends the process at once; the conductor sees a program that broke, with this
// errno. For what cannot be told in any other way.
[[noreturn]] inline void Fatal(int error) {
  while (true) {
    RawSyscall(SYS_exit_group, static_cast<uint64_t>(error));
  }
}

}  // namespace lockstep::executor

#endif  // LOCKSTEP_ENGINE_LINUX_EXECUTOR_SYSCALLS_H_
