// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// What happens inside a call, and where.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <iterator>

#include "props/vocabulary_composer.h"

namespace lockstep::vocabulary_internal {

// In which calls a point can be reached, and what is worth happening there.
struct Interleaving {
  Point point;
  uint64_t calls;
  uint64_t actions;
};

namespace {

constexpr uint64_t Bit(Op op) { return uint64_t{1} << static_cast<int>(op); }
template <typename... Ops>
constexpr uint64_t Bits(Ops... ops) {
  return (Bit(ops) | ...);
}

constexpr uint64_t kPopulatingCalls = Bits(
    Op::kMlock, Op::kMlock2, Op::kMlockall, Op::kMmap, Op::kMremap, Op::kBrk);
constexpr uint64_t kUnmappingCalls =
    Bits(Op::kMunmap, Op::kMmap, Op::kMremap, Op::kExec, Op::kExit, Op::kShmdt,
         Op::kBrk);
constexpr uint64_t kUnlockingCalls =
    kUnmappingCalls | Bits(Op::kMunlock, Op::kMunlockall);
constexpr uint64_t kListActions =
    Bits(Op::kIsolate, Op::kPutback, Op::kDrain, Op::kReclaim, Op::kSetCpu);
constexpr Interleaving kInterleavings[] = {
    {Point::kMlockMarked, Bits(Op::kMlock, Op::kMlock2, Op::kMlockall),
     kListActions | Bits(Op::kTouch, Op::kMigrate, Op::kCollapse, Op::kSplit,
                         Op::kFatalSignal, Op::kFailAllocation)},
    {Point::kPopulatePage, kPopulatingCalls,
     kListActions | Bits(Op::kTouch, Op::kMigrate, Op::kCollapse, Op::kSplit,
                         Op::kFatalSignal, Op::kFailAllocation,
                         Op::kSetAllocationZone)},
    {Point::kMlockPageMarked, kPopulatingCalls | Bits(Op::kTouch),
     kListActions | Bits(Op::kMigrate)},
    {Point::kMunlockBeforeIsolation, kUnlockingCalls,
     kListActions | Bits(Op::kMigrate, Op::kHoldMmapLock, Op::kTouch)},
    {Point::kMunlockIsolated, kUnlockingCalls,
     kListActions | Bits(Op::kMigrate, Op::kHoldMmapLock, Op::kTouch)},
    {Point::kMunlockThpCleared, kUnlockingCalls,
     Bits(Op::kSplit, Op::kIsolate, Op::kDrain)},
    {Point::kMunlockNextBatch, kUnlockingCalls,
     kListActions | Bits(Op::kMigrate, Op::kHoldMmapLock, Op::kSplit)},
    {Point::kClearMlockBeforeIsolation,
     kUnmappingCalls | Bits(Op::kMadvise, Op::kFtruncate, Op::kTouch),
     kListActions},
    {Point::kStackChargeRead, Bits(Op::kTouch, Op::kMlock), Bits(Op::kTouch)},
};

constexpr uint64_t RowBit(Point point) {
  uint64_t bits = 0;
  for (size_t i = 0; i < std::size(kInterleavings); ++i) {
    if (kInterleavings[i].point == point) bits |= uint64_t{1} << i;
  }
  return bits;
}
// Bit i: row i of kInterleavings can be reached in the call.
constexpr std::array<uint64_t, kOpCount> RowsByCall() {
  std::array<uint64_t, kOpCount> rows{};
  for (int op = 0; op < kOpCount; ++op) {
    for (size_t i = 0; i < std::size(kInterleavings); ++i) {
      rows[op] |= (kInterleavings[i].calls >> op & 1) << i;
    }
  }
  return rows;
}
constexpr std::array<uint64_t, kOpCount> kRowsByCall = RowsByCall();

// The position of one of the set bits. REQUIRES: bits != 0.
int PickBit(Random& random, uint64_t bits) {
  uint64_t skip = random.Below(static_cast<uint64_t>(std::popcount(bits)));
  while (skip-- > 0) bits &= bits - 1;
  return std::countr_zero(bits);
}

}  // namespace

uint64_t Composer::InterleavedOneIn(Op op) const {
  if (theme_ == Theme::kPages) return 4;
  if (theme_ == Theme::kStacks && op == Op::kTouch) return 2;
  if (theme_ == Theme::kSharing) return 8;
  return 14;
}

void Composer::DrawInterleavings(Step* step) {
  if (IsEnvironment(step->op)) return;
  if (!OneIn(InterleavedOneIn(step->op))) return;
  const int count = OneIn(4) ? 2 : 1;
  for (int i = 0; i < count; ++i) {
    uint64_t rows = kRowsByCall[static_cast<int>(step->op)];
    if (!thp()) rows &= ~RowBit(Point::kMunlockThpCleared);
    if (!memory_.knows_stacks()) rows &= ~RowBit(Point::kStackChargeRead);
    if (rows == 0) return;
    step->Add(DrawDuring(*step, kInterleavings[PickBit(random_, rows)]));
  }
}

During Composer::DrawDuring(const Step& step, const Interleaving& row) {
  During during;
  during.point = row.point;
  during.op = static_cast<Op>(PickBit(random_, row.actions));
  if (row.point == Point::kMunlockThpCleared && OneIn(2)) {
    during.op = Op::kSplit;
  }
  during.nth = static_cast<uint16_t>(OneIn(2) ? 0 : Below(6));
  // The task that is not calling, half of the time.
  during.task = step.task;
  if (memory_.knows_children() && OneIn(2)) {
    during.task = step.task == 0 ? memory_.Child(random_) : 0;
  }
  const bool has_range = InfoOf(step.op).Uses(Field::kLength) &&
                         InfoOf(step.op).Uses(Field::kAddr);
  if (during.op == Op::kTouch && row.point == Point::kStackChargeRead) {
    during.addr = DrawBelowStack();
  } else if (has_range && !OneIn(4)) {
    during.addr = step.addr;
    const uint64_t pages = std::min<uint64_t>(step.length / kPageSize, 64);
    if (pages > 1) during.addr.value += Below(pages) * kPageSize;
  } else {
    during.addr = DrawPage();
  }
  switch (during.op) {
    case Op::kTouch:
      during.value = OneIn(2);
      break;
    case Op::kSplit:
      during.value = OneIn(4);
      break;
    case Op::kReclaim:
      during.value = OneIn(2);
      break;
    case Op::kFailAllocation:
      during.value = static_cast<uint16_t>(1 + Below(3));
      break;
    case Op::kSetCpu:
      during.slot = static_cast<uint8_t>(Below(config_.cpus));
      break;
    case Op::kSetAllocationZone:
      during.slot = static_cast<uint8_t>(Below(config_.zones));
      break;
    default:
      break;
  }
  return during;
}

}  // namespace lockstep::vocabulary_internal
