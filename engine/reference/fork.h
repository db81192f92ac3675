// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// fork, exec, exit (kernel/fork.c, fs/exec.c).

#ifndef LOCKSTEP_ENGINE_REFERENCE_FORK_H_
#define LOCKSTEP_ENGINE_REFERENCE_FORK_H_

#include "engine/outcome.h"
#include "engine/reference/machine.h"

namespace lockstep::reference {

// The child slot must be free. share_vm is CLONE_VM.
Outcome SysFork(Machine& machine, int child, bool share_vm);
Outcome SysExec(Machine& machine);
// The task of this slot is gone after it.
void ExitTask(Machine& machine, int task);

// The address space of a fresh image: image_pages, which no list of VMAs shows,
// and image_lockable_pages, one private anonymous VMA at kImageBase.
void InitMm(Machine& machine, int mm);

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_FORK_H_
