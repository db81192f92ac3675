// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/executor/bounds.h"

#include <cstdint>
#include <set>
#include <string>

#include "engine/linux/executor/layout.h"
#include "engine/linux/wire.h"
#include "engine/step.h"
#include "engine/uapi.h"
#include "engine/units.h"
#include "gtest/gtest.h"

namespace lockstep::executor {
namespace {

constexpr uint64_t kImage = 0x400000;   // text
constexpr uint64_t kHeapAt = 0x600000;  // where the heap really is
constexpr uint64_t kShared = 0x300000000000;
constexpr uint64_t kStack = 0x7ffffffde000;
constexpr uint64_t kBudget = wire::kPopulateBudgetPages * kPageSize;

Layout TestLayout() {
  Layout layout{};
  layout.heap_base = kHeapAt;
  for (Span span :
       {Span{kImage, kHeapAt}, Span{kShared, kShared + 0x1000},
        Span{0x7ffff7ff7000, 0x7ffff7fff000}, Span{kStack, 0x7ffffffff000}}) {
    layout.image[layout.image_count++] = {span, false};
  }
  return layout;
}

struct Fields {
  Address addr = Address::Arena(Vpn{0});
  uint64_t length = kPageSize;
  uint32_t flags = 0;
  uint64_t length2 = 0;
  Address new_addr = Address::Arena(Vpn{0});
  uint32_t value = 0;
};

struct Case {
  const char* name;
  Op op;
  Fields fields;
  bool may_run;
};

constexpr uint32_t kPrivate = uapi::kMapPrivate | uapi::kMapAnonymous;
constexpr uint32_t kFixed = kPrivate | uapi::kMapFixed;
constexpr Address Page(uint64_t page) { return Address::Arena(Vpn{page}); }
constexpr Address HeapPage(uint64_t page) { return Address::Heap(Vpn{page}); }
constexpr uint64_t kHuge = uint64_t{1} << 45;  // from the arena over kShared

const Case kCases[] = {
    {"Nothing", Op::kNone, {}, true},
    // mmap
    {"InTheArena", Op::kMmap, {Page(3), kPageSize, kFixed}, true},
    {"InTheHeap", Op::kMmap, {HeapPage(3), kPageSize, kFixed}, true},
    {"OutOfTheArena", Op::kMmap, {Page(63), 2 * kPageSize, kFixed}, false},
    {"BelowTheArena",
     Op::kMmap,
     {Address::Raw(kArenaBase - kPageSize), kPageSize, kFixed},
     false},
    {"OverTheImage",
     Op::kMmap,
     {Address::Raw(kImage), kPageSize, kFixed},
     false},
    {"OverTheStack",
     Op::kMmap,
     {Address::Raw(kStack), kPageSize, kFixed},
     false},
    {"OverTheRealHeap",
     Op::kMmap,
     {Address::Raw(kHeapAt), kPageSize, kFixed},
     false},
    {"WhereTheKernelLikes",
     Op::kMmap,
     {Address::Raw(0), kBudget, kPrivate},
     true},
    {"OverTheBudget",
     Op::kMmap,
     {Address::Raw(0), kBudget + 1, kPrivate},
     false},
    {"AHintElsewhere",
     Op::kMmap,
     {Address::Raw(uint64_t{1} << 42), kPageSize, kPrivate},
     false},
    {"AHintThatIsRoundedToNone",
     Op::kMmap,
     {Address::Raw(1), kPageSize, kPrivate},
     true},
    {"NoreplaceIsFixed",
     Op::kMmap,
     {Page(64), kPageSize, kPrivate | uapi::kMapFixedNoreplace},
     false},
    {"RefusedLengthZero", Op::kMmap, {Page(0), 0, kFixed}, true},
    {"RefusedLengthWraps", Op::kMmap, {Page(0), ~uint64_t{0}, kFixed}, true},
    {"RefusedMisaligned",
     Op::kMmap,
     {Address::Raw(kImage + 1), kPageSize, kFixed},
     true},
    {"RefusedBelowMinimum",
     Op::kMmap,
     {Address::Raw(0), kPageSize, kFixed},
     true},
    {"PerhapsBelowMinimum",
     Op::kMmap,
     {Address::Raw(kPageSize), kPageSize, kFixed},
     false},
    {"RefusedKernelAddress",
     Op::kMmap,
     {Address::Raw(uint64_t{0xffff} << 48), kPageSize, kFixed},
     true},
    {"ADevice",
     Op::kMmap,
     {.flags = uapi::kMapShared | uapi::kMapFixed,
      .value = static_cast<uint32_t>(MmapSource::kDevicePfnmap)},
     false},
    {"HugePagesThatAreNotThere",
     Op::kMmap,
     {.flags = kFixed | uapi::kMapHugetlb},
     false},
    {"AnOffsetOver64Bits",
     Op::kMmap,
     {.flags = kFixed, .length2 = uint64_t{1} << 52},
     false},
    // munmap
    {"InTheArena", Op::kMunmap, {}, true},
    {"PastTheArenaIntoNothing", Op::kMunmap, {Page(60), kBudget}, true},
    {"PastTheArenaIntoTheImage", Op::kMunmap, {Page(60), kHuge}, false},
    {"OfTheImage", Op::kMunmap, {Address::Raw(kImage), kPageSize}, false},
    {"OfTheRealHeap", Op::kMunmap, {Address::Raw(kHeapAt), kPageSize}, false},
    {"IntoTheHeapFromBelow",
     Op::kMunmap,
     {Address::Raw(kHeapBase - kPageSize), 2 * kPageSize},
     false},
    {"BelowTheHeapIsNotTheImage",
     Op::kMunmap,
     {Address::Heap(Vpn{0}, ~kPageSize + 1), kPageSize},
     true},
    {"RefusedTooLong", Op::kMunmap, {Page(0), uint64_t{1} << 47}, true},
    {"RefusedMisaligned",
     Op::kMunmap,
     {Address::Raw(kImage + 1), kPageSize},
     true},
    // calls that stop at the first hole
    {"InTheArena", Op::kMlock, {}, true},
    {"PastTheArena", Op::kMlock, {Page(60), kHuge}, true},
    {"PastTheHeap", Op::kMlock, {HeapPage(60), kHuge}, true},
    {"OfTheImage", Op::kMlock, {Address::Raw(kImage + 17), 1}, false},
    {"UpToTheImage",
     Op::kMlock,
     {Address::Raw(kImage - kPageSize), 2 * kPageSize},
     false},
    {"KernelAddress",
     Op::kMlock,
     {Address::Raw(uint64_t{0xffff} << 48), kPageSize},
     true},
    {"FarPastTheImage",
     Op::kMlock,
     {Address::Raw(kImage), ~kPageMask << 40},
     false},
    {"WrappingPast2To64",
     Op::kMlock,
     {Address::Raw(kImage), ~uint64_t{0} - 2 * kPageSize},
     true},
    {"OfTheImage", Op::kMlock2, {Address::Raw(kImage), kPageSize}, false},
    {"InTheArena", Op::kMlock2, {}, true},
    {"OfTheImage", Op::kMunlock, {Address::Raw(kImage), kPageSize}, false},
    {"InTheArena", Op::kMunlock, {}, true},
    {"OfTheImage", Op::kMprotect, {Address::Raw(kImage), kPageSize}, false},
    {"OfTheStack", Op::kMprotect, {Address::Raw(kStack), kPageSize}, false},
    {"InTheArena", Op::kMprotect, {}, true},
    {"OfTheImage", Op::kMincore, {Address::Raw(kImage), kPageSize}, false},
    {"InTheArena", Op::kMincore, {}, true},
    // calls that go on behind holes
    {"InTheArena", Op::kMadvise, {}, true},
    {"PastTheArenaIntoTheImage", Op::kMadvise, {Page(0), kHuge}, false},
    {"Hwpoison", Op::kMadvise, {.flags = 100}, false},
    {"SoftOffline", Op::kMadvise, {.flags = 101}, false},
    {"OfTheImage", Op::kMsync, {Address::Raw(kImage), kPageSize}, false},
    {"InTheArena", Op::kMsync, {}, true},
    // mremap
    {"InTheArena", Op::kMremap, {.length2 = 2 * kPageSize}, true},
    {"GrowsOutOfTheArena",
     Op::kMremap,
     {.addr = Page(63), .length2 = 2 * kPageSize},
     false},
    {"OfTheImage",
     Op::kMremap,
     {.addr = Address::Raw(kImage), .length2 = 2 * kPageSize},
     false},
    {"ToTheImage",
     Op::kMremap,
     {.flags = uapi::kMremapMaymove | uapi::kMremapFixed,
      .length2 = kPageSize,
      .new_addr = Address::Raw(kImage)},
     false},
    {"ToTheArena",
     Op::kMremap,
     {.flags = uapi::kMremapMaymove | uapi::kMremapFixed,
      .length2 = kPageSize,
      .new_addr = Page(9)},
     true},
    {"AHintElsewhere",
     Op::kMremap,
     {.flags = uapi::kMremapMaymove | uapi::kMremapDontunmap,
      .length2 = kPageSize,
      .new_addr = Address::Raw(uint64_t{1} << 42)},
     false},
    {"OverTheBudget",
     Op::kMremap,
     {.flags = uapi::kMremapMaymove, .length2 = kBudget + 1},
     false},
    {"RefusedUnknownFlag",
     Op::kMremap,
     {.addr = Address::Raw(kImage), .flags = 64, .length2 = kPageSize},
     true},
    // brk
    {"InTheHeap", Op::kBrk, {.addr = HeapPage(9)}, true},
    {"BelowTheBase", Op::kBrk, {.addr = Address::Raw(1)}, true},
    {"OverTheBudget", Op::kBrk, {.addr = HeapPage(4097)}, false},
    {"RefusedKernelAddress",
     Op::kBrk,
     {.addr = Address::Raw(~uint64_t{0})},
     true},
    {"IntoTheArena", Op::kBrk, {.addr = Page(0)}, false},
    // no addresses
    {"Any", Op::kMlockall, {}, true},
    {"Any", Op::kMunlockall, {}, true},
    {"UpToTheHardLimit", Op::kSetrlimit, {.length = 1 << 20}, true},
    {"OverTheHardLimit", Op::kSetrlimit, {.length = (1 << 20) + 1}, false},
    {"Any", Op::kSetcap, {}, true},
    {"Any", Op::kSetuid, {}, true},
    // segments and files
    {"InTheBudget", Op::kShmget, {.length = kBudget}, true},
    {"OverTheBudget", Op::kShmget, {.length = kBudget + 1}, false},
    {"HugePagesThatAreNotThere", Op::kShmget, {.value = 1}, false},
    {"InTheArena", Op::kShmat, {.addr = Page(60)}, true},
    {"OutOfTheArena", Op::kShmat, {.addr = Page(61)}, false},
    {"OverTheImage",
     Op::kShmat,
     {.addr = Address::Raw(kImage), .flags = uapi::kShmRemap},
     false},
    {"WhereTheKernelLikes", Op::kShmat, {.addr = Address::Raw(0)}, true},
    {"AFlagThatRounds", Op::kShmat, {.flags = 020000}, false},
    {"OfTheImage", Op::kShmdt, {.addr = Address::Raw(kImage)}, true},
    {"Remove", Op::kShmctl, {.flags = uapi::kIpcRmid}, true},
    {"Stat", Op::kShmctl, {.flags = 2}, false},
    {"Set", Op::kShmctl, {.flags = 1}, false},
    {"RefusedUnknown", Op::kShmctl, {.flags = 99}, true},
    {"InTheBudget", Op::kMemfdSecret, {.length = kBudget}, true},
    {"OverTheBudget", Op::kMemfdSecret, {.length = kBudget + 1}, false},
    {"InTheBudget", Op::kFtruncate, {.length = kBudget}, true},
    {"OverTheBudget", Op::kFtruncate, {.length = kBudget + 1}, false},
    {"RefusedNegative", Op::kFtruncate, {.length = ~uint64_t{0}}, true},
    // touch
    {"InTheArena", Op::kTouch, {}, true},
    {"Nowhere", Op::kTouch, {.addr = Address::Raw(uint64_t{1} << 43)}, true},
    {"KernelAddress", Op::kTouch, {.addr = Address::Raw(~uint64_t{0})}, true},
    {"TheImage", Op::kTouch, {.addr = Address::Raw(kImage + 5)}, false},
    {"TheStack", Op::kTouch, {.addr = Address::Raw(kStack + 5)}, false},
    {"TheRealHeap", Op::kTouch, {.addr = Address::Raw(kHeapAt)}, false},
    // the conductor's, and the rest of the machine's
    {"Any", Op::kFork, {}, false},
    {"Any", Op::kExec, {}, false},
    {"Any", Op::kExit, {}, false},
    {"Any", Op::kSetCpu, {}, false},
    {"Any", Op::kDrain, {}, false},
    {"Any", Op::kReclaim, {}, false},
    {"Any", Op::kIsolate, {}, false},
    {"Any", Op::kPutback, {}, false},
    {"Any", Op::kMigrate, {}, false},
    {"Any", Op::kCollapse, {}, false},
    {"Any", Op::kSplit, {}, false},
    {"Any", Op::kFailAllocation, {}, false},
    {"Any", Op::kFatalSignal, {}, false},
    {"Any", Op::kHoldMmapLock, {}, false},
    {"Any", Op::kSetAllocationZone, {}, false},
};

Step StepOf(const Case& test) {
  Step step;
  step.op = test.op;
  step.addr = test.fields.addr;
  step.length = test.fields.length;
  step.flags = test.fields.flags;
  step.length2 = test.fields.length2;
  step.new_addr = test.fields.new_addr;
  step.value = test.fields.value;
  return step;
}

class BoundsTest : public ::testing::TestWithParam<Case> {};

TEST_P(BoundsTest, AStepMayRunOrNot) {
  const Layout layout = TestLayout();
  const Bounds bounds{.layout = &layout,
                      .arena_pages = 64,
                      .segment_bytes = 4 * kPageSize,
                      .hard_memlock_limit = 1 << 20};
  EXPECT_EQ(MayRun(StepOf(GetParam()), bounds), GetParam().may_run);
}

INSTANTIATE_TEST_SUITE_P(Rows, BoundsTest, ::testing::ValuesIn(kCases),
                         [](const ::testing::TestParamInfo<Case>& info) {
                           return std::string(InfoOf(info.param.op).name) +
                                  "_" + info.param.name;
                         });

TEST(BoundsTest, EveryOpHasACase) {
  std::set<Op> ops;
  for (const Case& test : kCases) ops.insert(test.op);
  EXPECT_EQ(ops.size(), static_cast<size_t>(kOpCount));
}

TEST(BoundsTest, WhatTheKernelPlacesHasABudgetForTheWholeProgram) {
  const Layout layout = TestLayout();
  Bounds bounds{.layout = &layout, .arena_pages = 64};
  Step step =
      StepOf({"", Op::kMmap, {Address::Raw(0), kPageSize, kPrivate}, true});
  bounds.placed_pages = kPlacedBudgetPages - 1;
  EXPECT_TRUE(MayRun(step, bounds));
  bounds.placed_pages = kPlacedBudgetPages;
  EXPECT_FALSE(MayRun(step, bounds));
}

TEST(BoundsTest, HugePagesAreMappedWhereThereAreSome) {
  const Layout layout = TestLayout();
  Bounds bounds{.layout = &layout, .arena_pages = 64, .hugetlb_pool = true};
  Step step =
      StepOf({"", Op::kMmap, {.flags = kFixed | uapi::kMapHugetlb}, true});
  EXPECT_TRUE(MayRun(step, bounds));
}

TEST(BoundsTest, AnActionInsideACallIsNotForRealKernels) {
  const Layout layout = TestLayout();
  Bounds bounds{.layout = &layout, .arena_pages = 64};
  Step step = StepOf({"", Op::kMlock, {}, true});
  step.Add({.addr = {}, .op = Op::kDrain});
  EXPECT_FALSE(MayRun(step, bounds));
}

}  // namespace
}  // namespace lockstep::executor
