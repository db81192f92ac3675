// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The slots that a program's tasks share: files, secrets, SysV segments.

#ifndef LOCKSTEP_ENGINE_LINUX_EXECUTOR_SLOTS_H_
#define LOCKSTEP_ENGINE_LINUX_EXECUTOR_SLOTS_H_

#include <cstdint>

#include "engine/linux/executor/session.h"
#include "engine/linux/wire.h"
#include "engine/outcome.h"
#include "engine/step.h"

namespace lockstep::executor {

// Files of `file_size` bytes without contents and empty secrets in all slots.
// Secrets have their descriptors before any task uses one: tasks share no
// descriptor table. 0 or an errno.
int OpenSlots(uint64_t file_size, SharedState* shared);
// Files as OpenSlots leaves them, used secrets replaced by new ones, segments
// removed. False if something could not be.
bool ResetSlots(SharedState* shared);

Outcome Shmget(const Step& step, int task, SharedState* shared);
// The address or -errno.
int64_t Shmat(const Step& step, uint64_t address, const SharedState& shared);
Outcome Shmctl(const Step& step, SharedState* shared);
Outcome MemfdSecret(const Step& step, SharedState* shared);
Outcome FtruncateFile(const Step& step, SharedState* shared);

// IPC_STAT of the segment. False if it has gone (IPC_RMID, and the last
// attachment too).
bool StatSegment(const SharedState& shared, int slot, wire::ShmRecord* record);
// Empties the slot if its segment has gone.
void ForgetDestroyedSegment(int slot, SharedState* shared);

}  // namespace lockstep::executor

#endif  // LOCKSTEP_ENGINE_LINUX_EXECUTOR_SLOTS_H_
