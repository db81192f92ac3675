// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/executor/bounds.h"

#include <cstdint>

#include "engine/linux/wire.h"
#include "engine/uapi.h"
#include "engine/units.h"

namespace lockstep::executor {
namespace {

constexpr uint64_t kBudgetBytes = wire::kPopulateBudgetPages << kPageShift;
// madvise: take the frame itself out of use, for every process.
constexpr uint32_t kMadvHwpoison = 100;
constexpr uint32_t kMadvSoftOffline = 101;
// shmctl commands besides those of program.proto that a kernel knows.
constexpr uint32_t kShmctlIpcSet = 1, kShmctlIpcInfo = 3;
constexpr uint32_t kShmctlShmStat = 13, kShmctlShmStatAny = 15;

// The pages that a call with this address and length is about, in model
// addresses. `wraps`: past 2^64, which every call refuses.
struct CallRange {
  Span span;
  bool wraps;
  bool empty() const { return span.start == span.end; }
};
CallRange RangeOfCall(uint64_t address, uint64_t length) {
  uint64_t start = address & kPageMask;
  uint64_t end = start + PageAlign(length + OffsetInPage(address));
  return {{start, end}, end < start};
}

// Wholly in the arena or in the heap.
bool Fits(const Bounds& bounds, uint64_t start, uint64_t bytes) {
  if (bytes > kBudgetBytes || start + bytes < start) return false;
  Span span{start, start + bytes};
  return Arena(bounds.arena_pages).Covers(span) || ModelHeap().Covers(span);
}

// Nothing of the image is there, nor the heap at its real place.
bool Clear(const Bounds& bounds, Span model) {
  const Layout& layout = *bounds.layout;
  if (ModelHeapReach().Covers(model)) {
    uint64_t start = ToReal(layout, model.start);
    return !layout.InImage({start, start + (model.end - model.start)});
  }
  // Part heap, part not: not one range in this process.
  if (ModelHeapReach().Intersects(model)) return false;
  return !layout.InImage(model) && !layout.RealHeap().Intersects(model);
}

bool Always(const Step&, const Bounds&) { return true; }
bool Never(const Step&, const Bounds&) { return false; }

// Calls that stop at the first hole: there is one behind the arena and behind
// the heap, since nothing is placed there.
bool StopsAtHole(const Step& step, const Bounds& bounds) {
  CallRange range = RangeOfCall(step.addr.Resolve(), step.length);
  if (range.wraps || range.empty()) return true;
  if (Arena(bounds.arena_pages).Covers(range.span.start)) return true;
  if (ModelHeap().Covers(range.span.start)) return true;
  return Clear(bounds, range.span);
}

// Calls that go on behind a hole. Whether the kernel refuses a range that wraps
// hangs on the real address: a heap's is lower than the model's.
bool PassesHoles(const Step& step, const Bounds& bounds) {
  uint64_t address = step.addr.Resolve();
  uint64_t real = ToReal(*bounds.layout, address);
  if (RangeOfCall(real, step.length).wraps) return true;
  CallRange range = RangeOfCall(address, step.length);
  if (range.wraps) return false;
  return range.empty() || Clear(bounds, range.span);
}

bool Munmap(const Step& step, const Bounds& bounds) {
  uint64_t address = step.addr.Resolve();
  // EINVAL before anything else.
  if (OffsetInPage(address) != 0) return true;
  uint64_t real = ToReal(*bounds.layout, address);
  if (real > kTaskSize || step.length > kTaskSize - real) return true;
  return PassesHoles(step, bounds);
}

bool Madvise(const Step& step, const Bounds& bounds) {
  if (step.flags == kMadvHwpoison || step.flags == kMadvSoftOffline) {
    return false;
  }
  if (OffsetInPage(step.addr.Resolve()) != 0) return true;  // EINVAL
  return PassesHoles(step, bounds);
}

// A place for `bytes` that the kernel chooses.
bool MayPlace(const Bounds& bounds, uint64_t bytes) {
  return bytes <= kBudgetBytes &&
         bounds.placed_pages + PagesOf(bytes).n <= kPlacedBudgetPages;
}

bool Mmap(const Step& step, const Bounds& bounds) {
  bool anonymous = (step.flags & uapi::kMapAnonymous) != 0;
  bool huge = anonymous && (step.flags & uapi::kMapHugetlb) != 0;
  if (huge && !bounds.hugetlb_pool) return false;
  auto source = static_cast<MmapSource>(step.value);
  if (!anonymous && (source == MmapSource::kDevicePfnmap ||
                     source == MmapSource::kDeviceMixedmap)) {
    return false;
  }
  // mmap(2) takes the offset in bytes.
  if (step.length2 >= uint64_t{1} << (64 - kPageShift)) return false;
  uint64_t bytes = PageAlign(step.length);
  uint64_t address = step.addr.Resolve();
  // EINVAL or ENOMEM before a place is looked for.
  if (bytes == 0 || bytes > kTaskSize) return true;
  bool fixed = (step.flags & (uapi::kMapFixed | uapi::kMapFixedNoreplace)) != 0;
  if (!fixed) {
    address &= kPageMask;
    if (address == 0) return MayPlace(bounds, bytes);
    return Fits(bounds, address, bytes) && MayPlace(bounds, bytes);
  }
  if (OffsetInPage(address) != 0) return true;  // EINVAL
  uint64_t real = ToReal(*bounds.layout, address);
  if (real > kTaskSize - bytes) return true;  // ENOMEM
  // EPERM without CAP_SYS_RAWIO, which no step has. vm.mmap_min_addr differs
  // between machines; the first page is below it.
  if (address == 0 && bytes == kPageSize) return true;
  return Fits(bounds, address, bytes);
}

bool Mremap(const Step& step, const Bounds& bounds) {
  constexpr uint32_t kKnown =
      uapi::kMremapMaymove | uapi::kMremapFixed | uapi::kMremapDontunmap;
  uint64_t address = step.addr.Resolve();
  uint64_t old_bytes = PageAlign(step.length);
  uint64_t new_bytes = PageAlign(step.length2);
  // EINVAL before anything else.
  if ((step.flags & ~kKnown) != 0 || OffsetInPage(address) != 0 ||
      new_bytes == 0) {
    return true;
  }
  uint64_t bytes = old_bytes > new_bytes ? old_bytes : new_bytes;
  if (bytes > kBudgetBytes || address + bytes < address) return false;
  Span span{address, address + bytes};
  bool inside = Fits(bounds, address, bytes);
  // In another place there is what the kernel placed, or nothing.
  bool outside = Clear(bounds, span) &&
                 !Arena(bounds.arena_pages).Intersects(span) &&
                 !ModelHeapReach().Intersects(span);
  if (!inside && !(outside && MayPlace(bounds, new_bytes))) return false;
  uint64_t target = step.new_addr.Resolve();
  if ((step.flags & uapi::kMremapFixed) != 0) {
    return OffsetInPage(target) != 0 || Fits(bounds, target, new_bytes);
  }
  if ((step.flags & uapi::kMremapDontunmap) != 0 && target != 0 &&
      OffsetInPage(target) == 0 && !Fits(bounds, target, new_bytes)) {
    return false;
  }
  return MayPlace(bounds, new_bytes);
}

// Below the heap the break stays where it is. The real heap's own addresses
// mean something only here.
bool Brk(const Step& step, const Bounds& bounds) {
  uint64_t address = step.addr.Resolve();
  if (ModelHeapReach().Covers(address)) return address <= ModelHeap().end;
  return address < bounds.layout->heap_base || address >= kTaskSize;
}

bool Shmget(const Step& step, const Bounds& bounds) {
  if (step.value != 0 && !bounds.hugetlb_pool) return false;
  return step.length <= kBudgetBytes;
}

bool Shmat(const Step& step, const Bounds& bounds) {
  if ((step.flags & ~(uapi::kShmRdonly | uapi::kShmRemap)) != 0) return false;
  uint64_t address = step.addr.Resolve();
  uint64_t bytes = PageAlign(bounds.segment_bytes);
  if (OffsetInPage(address) != 0) return true;  // EINVAL
  if (address == 0) return MayPlace(bounds, bytes);
  return Fits(bounds, address, bytes);
}

bool Shmctl(const Step& step, const Bounds&) {
  bool others =
      (step.flags >= kShmctlIpcSet && step.flags <= kShmctlIpcInfo) ||
      (step.flags >= kShmctlShmStat && step.flags <= kShmctlShmStatAny);
  return !others;
}

// Sizes over LONG_MAX are EINVAL.
bool FileSize(const Step& step, const Bounds&) {
  return step.length <= kBudgetBytes ||
         step.length > static_cast<uint64_t>(INT64_MAX);
}

bool Setrlimit(const Step& step, const Bounds& bounds) {
  return step.length <= bounds.hard_memlock_limit;
}

bool Touch(const Step& step, const Bounds& bounds) {
  uint64_t address = step.addr.Resolve();
  uint64_t start = address & kPageMask;
  // The last page of all ends at 2^64: the kernel's, in any case.
  if (start + kPageSize < start) return true;
  return Clear(bounds, {start, start + kPageSize});
}

struct Row {
  Op op;
  bool (*may_run)(const Step& step, const Bounds& bounds);
};
constexpr Row kRows[] = {
    {Op::kNone, Always},
    {Op::kMmap, Mmap},
    {Op::kMunmap, Munmap},
    {Op::kMprotect, StopsAtHole},
    {Op::kMremap, Mremap},
    {Op::kBrk, Brk},
    {Op::kMadvise, Madvise},
    {Op::kMsync, PassesHoles},
    {Op::kMincore, StopsAtHole},
    {Op::kMlock, StopsAtHole},
    {Op::kMlock2, StopsAtHole},
    {Op::kMunlock, StopsAtHole},
    {Op::kMlockall, Always},
    {Op::kMunlockall, Always},
    {Op::kFork, Never},
    {Op::kExec, Never},
    {Op::kExit, Never},
    {Op::kSetrlimit, Setrlimit},
    {Op::kSetcap, Always},
    {Op::kSetuid, Always},
    {Op::kShmget, Shmget},
    {Op::kShmat, Shmat},
    // Only attachments of segments are found, and these are the program's.
    {Op::kShmdt, Always},
    {Op::kShmctl, Shmctl},
    {Op::kMemfdSecret, FileSize},
    {Op::kFtruncate, FileSize},
    {Op::kTouch, Touch},
    {Op::kSetCpu, Never},
    {Op::kDrain, Never},
    {Op::kReclaim, Never},
    {Op::kIsolate, Never},
    {Op::kPutback, Never},
    {Op::kMigrate, Never},
    {Op::kCollapse, Never},
    {Op::kSplit, Never},
    {Op::kFailAllocation, Never},
    {Op::kFatalSignal, Never},
    {Op::kHoldMmapLock, Never},
    {Op::kSetAllocationZone, Never},
};
constexpr bool RowsAreInOrder() {
  int next = 0;
  for (const Row& row : kRows) {
    if (static_cast<int>(row.op) != next++) return false;
  }
  return next == kOpCount;
}
static_assert(RowsAreInOrder());

}  // namespace

bool MayRun(const Step& step, const Bounds& bounds) {
  auto op = static_cast<int>(step.op);
  if (op >= kOpCount || step.during_count != 0) return false;
  return kRows[op].may_run(step, bounds);
}

}  // namespace lockstep::executor
