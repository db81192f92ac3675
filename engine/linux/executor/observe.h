// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The parts of ObserveSelf.

#ifndef LOCKSTEP_ENGINE_LINUX_EXECUTOR_OBSERVE_H_
#define LOCKSTEP_ENGINE_LINUX_EXECUTOR_OBSERVE_H_

#include <cstdint>

#include "engine/linux/executor/session.h"
#include "engine/linux/executor/vmas.h"
#include "engine/linux/wire.h"

namespace lockstep::executor {

// The program's ranges of this process: each is a VMA, or what of one is not
// the image's. Where mremap may cross is told by these bounds only.
struct RangeList {
  int count;
  wire::RangeRecord ranges[kMaxRanges];
  uint64_t pages;         // of all ranges
  uint64_t locked_pages;  // VM_LOCKED among them
  uint64_t image_locked;  // pages of the image that are VM_LOCKED
};

// Where a look stops.
enum class Until {
  kEnd,
  // When it has seen as many pages as the program has by VmSize.
  kAllSeen,
};
// `as_quick`, if not null, gets what the quick look would show. image_locked is
// found by a look at smaps to the end alone.
void ObserveRanges(Source source, Until until, uint64_t total_vm,
                   const SharedState& shared, RangeList* list,
                   RangeList* as_quick);
// Pages of the image that are VM_LOCKED: mlockall locks it too.
uint64_t ImageLocked();
bool SameRanges(const RangeList& a, const RangeList& b);

// pagemap tells guard pages. Maps a page for a moment.
bool GuardsAreShown();

// Appends the bitmaps of `pages` pages from the model's page `start`,
// where `list` has mappings.
void ObservePages(uint64_t start, uint64_t pages, const RangeList& list,
                  Writer* writer);

}  // namespace lockstep::executor

#endif  // LOCKSTEP_ENGINE_LINUX_EXECUTOR_OBSERVE_H_
