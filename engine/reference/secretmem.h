// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// memfd_secret: memory that only its owner sees (mm/secretmem.c, 5.14). It is
// locked from mmap on for good; where kSecretmemPerUser holds it is not locked,
// and its pages are charged to the user who made the file.

#ifndef LOCKSTEP_ENGINE_REFERENCE_SECRETMEM_H_
#define LOCKSTEP_ENGINE_REFERENCE_SECRETMEM_H_

#include "engine/outcome.h"
#include "engine/reference/machine.h"

namespace lockstep::reference {

// A secret of this size in the slot: memfd_secret and the one ftruncate that it
// takes. Skipped if the slot is in use.
Outcome SysMemfdSecret(Machine& machine, int slot, uint64_t size);

// secretmem_mmap, called when what was mapped at the place is gone: 0 or an
// errno. `locked_vm` is what the limit is checked against.
int SecretmemMmap(const Machine& machine, Pages locked_vm, Vma* vma);

// Charges a page that the running task is about to bring in. False if the
// user's pages are at this task's RLIMIT_MEMLOCK; CAP_IPC_LOCK does not help.
// The charge stays: nothing closes the file.
bool ChargeSecretPage(Machine& machine, const Object& object);

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_SECRETMEM_H_
