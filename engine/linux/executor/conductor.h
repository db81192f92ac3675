// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Programs of several tasks: every task is a process, and the conductor, in the
// supervisor, has them take turns. fork, exec and exit are real.

#ifndef LOCKSTEP_ENGINE_LINUX_EXECUTOR_CONDUCTOR_H_
#define LOCKSTEP_ENGINE_LINUX_EXECUTOR_CONDUCTOR_H_

#include <cstdint>

#include "engine/linux/executor/processes.h"
#include "engine/linux/executor/result_buffer.h"
#include "engine/linux/wire.h"
#include "engine/step.h"

namespace lockstep::executor {

// Runs the program in new processes, one a task, and writes its result, unless
// that is full. No process of it and nothing it made is left. Of `steps` no
// more is believed than that they are there.
void Conduct(const wire::ProgramHeader& header, const Step* steps,
             uint32_t index, wire::Look look, Processes* processes,
             ResultBuffer* result);

}  // namespace lockstep::executor

#endif  // LOCKSTEP_ENGINE_LINUX_EXECUTOR_CONDUCTOR_H_
