// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The program's first instruction, and the five functions that compilers call
// by themselves. There is no libc: its start-up would make mappings and system
// calls of its own after every exec, and its size is part of every mlockall.

#include <cstddef>
#include <cstdint>

#include "engine/linux/executor/main.h"

// The kernel's stack begins with argc, then argv (System V ABI, 3.4.1). What
// runs has a stack in the image: a VMA less in every process (LearnLayout).
asm(".globl _start\n"
    ".type _start, @function\n"
    "_start:\n\t"
    "xor %ebp, %ebp\n\t"
    "mov %rsp, %rdi\n\t"
    "lea lockstep_stack_end(%rip), %rsp\n\t"
    "call lockstep_start\n\t"
    "ud2\n"
    ".local lockstep_stack\n"
    ".comm lockstep_stack, 65536, 64\n"
    ".set lockstep_stack_end, lockstep_stack + 65536\n");

extern "C" {

// Constructors of static objects, by the linker's names.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern void (*__init_array_start[])();
extern void (*__init_array_end[])();
// NOLINTEND(bugprone-reserved-identifier)

[[noreturn, gnu::used]] void lockstep_start(uint64_t* stack) {
  for (auto* constructor = __init_array_start; constructor != __init_array_end;
       ++constructor) {
    (*constructor)();
  }
  lockstep::executor::Main(static_cast<int>(stack[0]),
                           reinterpret_cast<char**>(stack + 1));
}

void* memcpy(void* to, const void* from, size_t bytes) {
  void* next = to;
  asm volatile("rep movsb" : "+D"(next), "+S"(from), "+c"(bytes) : : "memory");
  return to;
}

void* memmove(void* to, const void* from, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(to) - reinterpret_cast<uintptr_t>(from) >=
      bytes) {
    return memcpy(to, from, bytes);
  }
  auto* target = static_cast<unsigned char*>(to);
  auto* source = static_cast<const unsigned char*>(from);
  while (bytes-- > 0) target[bytes] = source[bytes];
  return to;
}

void* memset(void* to, int value, size_t bytes) {
  void* next = to;
  asm volatile("rep stosb" : "+D"(next), "+c"(bytes) : "a"(value) : "memory");
  return to;
}

int memcmp(const void* a, const void* b, size_t bytes) {
  auto* left = static_cast<const unsigned char*>(a);
  auto* right = static_cast<const unsigned char*>(b);
  for (size_t i = 0; i < bytes; ++i) {
    if (left[i] != right[i]) return left[i] < right[i] ? -1 : 1;
  }
  return 0;
}

size_t strlen(const char* text) {
  size_t length = 0;
  while (text[length] != '\0') ++length;
  return length;
}

}  // extern "C"
