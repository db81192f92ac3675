// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// mmap, munmap and brk (mm/mmap.c).

#ifndef LOCKSTEP_ENGINE_REFERENCE_MMAP_H_
#define LOCKSTEP_ENGINE_REFERENCE_MMAP_H_

#include "engine/outcome.h"
#include "engine/reference/machine.h"

namespace lockstep::reference {

// mmap of the current task. `source` and `slot` say what is mapped when
// MAP_ANONYMOUS is not among the flags.
struct MmapArguments {
  uint64_t addr;
  uint64_t length;
  uint32_t prot;
  uint32_t flags;
  MmapSource source;
  int slot;
  uint64_t offset_pages;
};
Outcome SysMmap(Machine& machine, const MmapArguments& arguments);
Outcome SysMunmap(Machine& machine, uint64_t addr, uint64_t length);
Outcome SysBrk(Machine& machine, uint64_t brk);

// do_munmap: 0 or an errno. REQUIRES: mmap_sem is held for write.
int DoMunmap(Machine& machine, int mm, uint64_t start, uint64_t length);

// get_unmapped_area without MAP_FIXED: the hint if it is free, else the highest
// free range below the mmap base. 0 if there is none.
uint64_t FindUnmappedArea(const Machine& machine, const Mm& mm, uint64_t hint,
                          uint64_t length, uint64_t alignment);

// The same for private anonymous memory, which from 6.7 on is put where huge
// pages fit if it is made of whole ones and has no hint.
uint64_t FindAnonymousArea(const Machine& machine, const Mm& mm, uint64_t hint,
                           uint64_t length);

// mmap_region for a shared mapping of a segment at a place already chosen and
// free of checks: replaces what is there. Returns an errno.
int MmapRegion(Machine& machine, int mm, const Vma& vma);

// exit_mmap: munlocks and unmaps everything.
void ExitMmap(Machine& machine, int mm);

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_MMAP_H_
