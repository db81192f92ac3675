// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/executor/touch.h"

#include <ucontext.h>

#include <csignal>
#include <cstddef>
#include <cstdint>

#include "engine/linux/executor/syscalls.h"
#include "engine/step.h"

// The only instructions that may fault, and where to go on when they do. In
// assembly, so that their addresses are known.
asm(R"(
  .text
  .globl lockstep_touch
  .hidden lockstep_touch
  .type lockstep_touch, @function
lockstep_touch:
  xorl %eax, %eax
  testl %esi, %esi
  jnz lockstep_touch_write
  .globl lockstep_touch_read
  .hidden lockstep_touch_read
lockstep_touch_read:
  movb (%rdi), %cl
  ret
  .globl lockstep_touch_write
  .hidden lockstep_touch_write
lockstep_touch_write:
  movb $1, (%rdi)
  .globl lockstep_touch_end
  .hidden lockstep_touch_end
lockstep_touch_end:
  ret
  .size lockstep_touch, . - lockstep_touch

  .globl lockstep_sigreturn
  .hidden lockstep_sigreturn
  .type lockstep_sigreturn, @function
lockstep_sigreturn:
  movl $15, %eax
  syscall
  .size lockstep_sigreturn, . - lockstep_sigreturn
)");

extern "C" {
__attribute__((visibility("hidden"))) int lockstep_touch(uint64_t address,
                                                         int write);
__attribute__((visibility("hidden"))) void lockstep_touch_read();
__attribute__((visibility("hidden"))) void lockstep_touch_write();
__attribute__((visibility("hidden"))) void lockstep_touch_end();
__attribute__((visibility("hidden"))) void lockstep_sigreturn();
}

namespace lockstep::executor {
namespace {

// As rt_sigaction takes it; libc's struct is another.
struct KernelSigaction {
  uint64_t handler;
  uint64_t flags;
  uint64_t restorer;
  uint64_t mask;
};
constexpr uint64_t kSaRestorer = 0x04000000;
constexpr size_t kMaskBytes = 8;
constexpr size_t kFaultStackBytes = 16384;

alignas(16) char fault_stacks[kTaskSlots][kFaultStackBytes];

int64_t SetAction(int signal, const KernelSigaction& action) {
  return RawSyscall(SYS_rt_sigaction, static_cast<uint64_t>(signal),
                    AddressOf(&action), 0, kMaskBytes);
}

uint64_t CodeAddress(void (*code)()) {
  return reinterpret_cast<uint64_t>(code);
}

void OnFault(int signal, siginfo_t*, void* context) {
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  auto at = static_cast<uint64_t>(registers[REG_RIP]);
  if (at == CodeAddress(lockstep_touch_read) ||
      at == CodeAddress(lockstep_touch_write)) {
    registers[REG_RAX] = signal;
    registers[REG_RIP] = static_cast<greg_t>(CodeAddress(lockstep_touch_end));
    return;
  }
  // A bug of the executor: the same fault again, and the process ends.
  KernelSigaction action{};
  SetAction(signal, action);
}

}  // namespace

int CatchFaults(int slot) {
  stack_t stack{};
  stack.ss_sp = fault_stacks[slot];
  stack.ss_size = kFaultStackBytes;
  int64_t error = RawSyscall(SYS_sigaltstack, AddressOf(&stack), 0);
  if (error != 0) return static_cast<int>(-error);
  KernelSigaction action{};
  action.handler = reinterpret_cast<uint64_t>(&OnFault);
  action.flags = kSaRestorer | SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  action.restorer = CodeAddress(lockstep_sigreturn);
  for (int signal : {SIGSEGV, SIGBUS}) {
    error = SetAction(signal, action);
    if (error != 0) return static_cast<int>(-error);
  }
  return 0;
}

int TouchByte(uint64_t address, bool write) {
  return lockstep_touch(address, write ? 1 : 0);
}

}  // namespace lockstep::executor
