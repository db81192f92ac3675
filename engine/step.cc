// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/step.h"

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <optional>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace lockstep {
namespace {

constexpr uint8_t Fields(std::initializer_list<Field> fields) {
  uint8_t bits = 0;
  for (Field field : fields) bits |= static_cast<uint8_t>(field);
  return bits;
}

constexpr uint8_t kNothing = 0;
constexpr uint8_t kPageOnly = Fields({Field::kAddr});
constexpr uint8_t kSlotOnly = Fields({Field::kSlot});
constexpr uint8_t kFlagsOnly = Fields({Field::kFlags});
constexpr uint8_t kValueOnly = Fields({Field::kValue});
constexpr uint8_t kRange = Fields({Field::kAddr, Field::kLength});
constexpr uint8_t kRangeFlags =
    Fields({Field::kAddr, Field::kLength, Field::kFlags});
constexpr uint8_t kPageValue = Fields({Field::kAddr, Field::kValue});

constexpr OpInfo kOps[] = {
    {Op::kNone, "none", kNothing},
    {Op::kMmap, "mmap",
     Fields({Field::kAddr, Field::kLength, Field::kProt, Field::kFlags,
             Field::kSlot, Field::kLength2, Field::kValue})},
    {Op::kMunmap, "munmap", kRange},
    {Op::kMprotect, "mprotect",
     Fields({Field::kAddr, Field::kLength, Field::kProt})},
    {Op::kMremap, "mremap",
     Fields({Field::kAddr, Field::kLength, Field::kLength2, Field::kFlags,
             Field::kNewAddr})},
    {Op::kBrk, "brk", kPageOnly},
    {Op::kMadvise, "madvise", kRangeFlags},
    {Op::kMsync, "msync", kRangeFlags},
    {Op::kMincore, "mincore", kRange},
    {Op::kMlock, "mlock", kRange},
    {Op::kMlock2, "mlock2", kRangeFlags},
    {Op::kMunlock, "munlock", kRange},
    {Op::kMlockall, "mlockall", kFlagsOnly},
    {Op::kMunlockall, "munlockall", kNothing},
    {Op::kFork, "fork", Fields({Field::kSlot, Field::kValue})},
    {Op::kExec, "exec", kNothing},
    {Op::kExit, "exit", kNothing},
    {Op::kSetrlimit, "setrlimit", Fields({Field::kLength})},
    {Op::kSetcap, "setcap", kValueOnly},
    {Op::kSetuid, "setuid", kSlotOnly},
    {Op::kShmget, "shmget",
     Fields({Field::kSlot, Field::kLength, Field::kValue})},
    {Op::kShmat, "shmat", Fields({Field::kSlot, Field::kAddr, Field::kFlags})},
    {Op::kShmdt, "shmdt", kPageOnly},
    {Op::kShmctl, "shmctl", Fields({Field::kSlot, Field::kFlags})},
    {Op::kMemfdSecret, "memfd_secret", Fields({Field::kSlot, Field::kLength})},
    {Op::kFtruncate, "ftruncate", Fields({Field::kSlot, Field::kLength})},
    {Op::kTouch, "touch", kPageValue},
    {Op::kSetCpu, "set_cpu", kSlotOnly},
    {Op::kDrain, "drain", kNothing},
    {Op::kReclaim, "reclaim", kPageValue},
    {Op::kIsolate, "isolate", kPageOnly},
    {Op::kPutback, "putback", kPageOnly},
    {Op::kMigrate, "migrate", kPageOnly},
    {Op::kCollapse, "collapse", kPageOnly},
    {Op::kSplit, "split", kPageValue},
    {Op::kFailAllocation, "fail_allocation", kValueOnly},
    {Op::kFatalSignal, "fatal_signal", kNothing},
    {Op::kHoldMmapLock, "hold_mmap_lock", kNothing},
    {Op::kSetAllocationZone, "set_allocation_zone", kSlotOnly},
};
static_assert(std::size(kOps) == kOpCount);

constexpr PointInfo kPoints[] = {
    {Point::kNone, "none", "no point: never reached"},
    {Point::kMlockMarked, "mlock:marked",
     "the VMAs are marked and mmap_sem is dropped, populate comes next"},
    {Point::kPopulatePage, "populate:page",
     "mmap_sem is held for read, the next page comes"},
    {Point::kMlockPageMarked, "mlock_vma_page:marked",
     "PG_mlocked is set, the page is not yet isolated"},
    {Point::kMunlockBeforeIsolation, "munlock_vma_pages_range:pinned",
     "pages are pinned in the pagevec, no lock is held"},
    {Point::kMunlockIsolated, "munlock_pagevec:isolated",
     "phase 1 of __munlock_pagevec is over, lru_lock is dropped"},
    {Point::kMunlockThpCleared, "munlock_vma_page:thp_cleared",
     "the flag of a huge page is cleared, its size not yet read (to 3.13)"},
    {Point::kMunlockNextBatch, "munlock_vma_pages_range:next_batch",
     "between two batches of pages"},
    {Point::kClearMlockBeforeIsolation, "clear_page_mlock:cleared",
     "the flag is cleared, the page is not yet isolated"},
    {Point::kStackChargeRead, "expand_stack:locked_vm_read",
     "acct_stack_growth has read locked_vm, not yet written it (to 4.3)"},
};
static_assert(std::size(kPoints) == kPointCount);

}  // namespace

const OpInfo& InfoOf(Op op) { return kOps[static_cast<int>(op)]; }

absl::Span<const OpInfo> AllOps() { return kOps; }

const PointInfo& InfoOf(Point point) {
  return kPoints[static_cast<int>(point)];
}

absl::Span<const PointInfo> AllPoints() { return kPoints; }

uint64_t NumberIn(const Step& step, Field field) {
  switch (field) {
    case Field::kLength:
      return step.length;
    case Field::kLength2:
      return step.length2;
    case Field::kProt:
      return step.prot;
    case Field::kFlags:
      return step.flags;
    case Field::kSlot:
      return step.slot;
    case Field::kValue:
      return step.value;
    case Field::kAddr:
    case Field::kNewAddr:
      break;
  }
  return 0;
}

Step AsStep(const During& action) {
  Step step;
  step.op = action.op;
  step.task = action.task;
  step.slot = action.slot;
  step.addr = action.addr;
  step.value = action.value;
  return step;
}

During AsAction(const Step& step) {
  During action;
  action.op = step.op;
  action.task = step.task;
  action.slot = step.slot;
  action.addr = step.addr;
  action.value = static_cast<uint16_t>(
      std::min<uint32_t>(step.value, std::numeric_limits<uint16_t>::max()));
  return action;
}

std::optional<Point> PointFromName(absl::string_view name) {
  for (const PointInfo& info : kPoints) {
    if (info.point != Point::kNone && info.name == name) return info.point;
  }
  return std::nullopt;
}

}  // namespace lockstep
