// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The executor as the first process of a guest: it makes the machine ready and
// runs the batches that come.
//
// The guest's NVMe drives are told apart by their serial numbers
// (guest_protocol.h). Control is lines on ttyS1:
//   to us     run BYTES      a batch of BYTES is on the batch drive
//             exec BYTES MS  a static executable of BYTES is there, which is to
//                            run at most so long (guest_program.h)
//   from us   hello RELEASE  we run
//             lacks TEXT     what this guest cannot do, a line each
//             ready          batches may come
//             alive STEPS    every second while something runs: steps begun
//             done BYTES     a result of BYTES is on the result drive
//             ended BYTES STATUS  what was executed has ended with this wait
//                            status, its output is on the result drive
//             overtime BYTES and this is the output of one that has not ended
//             failed WHAT    and the guest is of no use any more
//
// For tests, the kernel's command line can say "lockstep.panic_on=N" or
// "lockstep.hang_on=N": a batch that has a program with an arena of N pages
// makes the kernel panic, or is never answered.

#ifndef LOCKSTEP_ENGINE_LINUX_EXECUTOR_GUEST_INIT_H_
#define LOCKSTEP_ENGINE_LINUX_EXECUTOR_GUEST_INIT_H_

namespace lockstep::executor {

// The program was started by a kernel as its first process: the name is that
// of the initramfs and the process number is 1.
bool IsGuestInit(const char* program_name);

// Never returns: the kernel panics when its first process ends.
[[noreturn]] void RunGuest();

}  // namespace lockstep::executor

#endif  // LOCKSTEP_ENGINE_LINUX_EXECUTOR_GUEST_INIT_H_
