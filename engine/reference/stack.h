// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Stacks: mappings that grow down (expand_stack in mm/mmap.c).

#ifndef LOCKSTEP_ENGINE_REFERENCE_STACK_H_
#define LOCKSTEP_ENGINE_REFERENCE_STACK_H_

#include "engine/reference/machine.h"

namespace lockstep::reference {

// Grows VMA number `vma` down to include the page and charges it. False if a
// limit, or the mapping below, forbids it. REQUIRES: the VMA is VM_GROWSDOWN.
bool ExpandStack(Machine& machine, int mm, size_t vma, Vpn page);

// check_stack_guard_page, before the guard gap (4.12): a fault on the lowest
// page of a stack grows it by one, so that a guard page stays below. False if
// another mapping is there already.
bool CheckStackGuardPage(Machine& machine, int mm, size_t vma, Vpn page);

// Is the page the guard page that mlock passes over (stack_guard_page_start)?
bool IsStackGuardPage(const Machine& machine, const Mm& mm, size_t vma,
                      Vpn page);

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_STACK_H_
