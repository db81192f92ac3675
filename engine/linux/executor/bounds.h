// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// What a step may touch. A program may come from a stranger: its steps act on
// the arena, the heap and what the kernel placed for it, or are refused by the
// kernel before they act, or they are not run at all.

#ifndef LOCKSTEP_ENGINE_LINUX_EXECUTOR_BOUNDS_H_
#define LOCKSTEP_ENGINE_LINUX_EXECUTOR_BOUNDS_H_

#include <cstdint>

#include "engine/linux/executor/layout.h"
#include "engine/step.h"

namespace lockstep::executor {

// The address space that a step is held against.
struct Bounds {
  const Layout* layout;
  uint64_t arena_pages;
  // Pages that steps have had the kernel place outside arena and heap.
  uint64_t placed_pages = 0;
  uint64_t segment_bytes = 0;       // of the segment that the step names
  uint64_t hard_memlock_limit = 0;  // bytes
  bool hugetlb_pool = false;        // the program has a pool of huge pages
};

// Whether the step may be run. Fork, exec, exit and environment actions are not
// calls of this process: false.
bool MayRun(const Step& step, const Bounds& bounds);

// Outside arena and heap no more than this is placed in one process.
inline constexpr uint64_t kPlacedBudgetPages = wire::kPopulateBudgetPages;

}  // namespace lockstep::executor

#endif  // LOCKSTEP_ENGINE_LINUX_EXECUTOR_BOUNDS_H_
