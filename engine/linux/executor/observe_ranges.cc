// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// VMAs, as ranges of the model's address space.

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "engine/linux/executor/observe.h"
#include "engine/linux/executor/process.h"
#include "engine/linux/executor/syscalls.h"
#include "engine/linux/executor/vmas.h"
#include "engine/range.h"
#include "engine/units.h"

namespace lockstep::executor {
namespace {

// Bytes of the object that is mapped; all there are where it has no end.
uint64_t ObjectSize(const VmaInfo& vma, const SharedState& shared) {
  switch (vma.kind) {
    case VmaInfo::Kind::kMemfd:
      return shared.files[vma.slot].size;
    case VmaInfo::Kind::kShm:
      // A segment's inode number is its id.
      for (const SharedState::ShmSlot& segment : shared.shm) {
        if (segment.id >= 0 && static_cast<uint64_t>(segment.id) == vma.inode) {
          return segment.size;
        }
      }
      break;
    case VmaInfo::Kind::kSecret:
      for (const SharedState::FileSlot& secret : shared.secrets) {
        if (secret.inode == vma.inode) return secret.size;
      }
      break;
    case VmaInfo::Kind::kZero:
      for (uint32_t i = shared.zero_count; i-- > 0;) {
        if (shared.zero[i].inode == vma.inode) return shared.zero[i].size;
      }
      break;
    case VmaInfo::Kind::kAnonymous:
    case VmaInfo::Kind::kFile:
      break;
  }
  return ~uint64_t{0} & kPageMask;
}

// `real` is the part of the VMA that is the program's.
void Add(const VmaInfo& vma, Span real, const SharedState& shared,
         RangeList* list) {
  uint64_t pages = PagesOf(real.end - real.start).n;
  list->pages += pages;
  if ((vma.bits & kRangeLocked) != 0) list->locked_pages += pages;
  uint64_t start = PageOf(ToModel(process.layout, real.start)).n;
  uint64_t end = start + pages;
  uint64_t index = PagesOf(vma.offset + (real.start - vma.span.start)).n;
  uint64_t size = PagesOf(PageAlign(ObjectSize(vma, shared))).n;
  uint64_t eof = size <= index ? start : std::min(end, start + (size - index));
  if (vma.kind == VmaInfo::Kind::kAnonymous) eof = end;
  if (list->count == kMaxRanges) Fatal(E2BIG);
  list->ranges[list->count++] = {start, end, eof, vma.bits, 0};
}

// What of the VMA is not the image's: a VMA of the program may have become one
// with one of the image (the heap).
void AddWithoutImage(const VmaInfo& vma, const SharedState& shared,
                     RangeList* list) {
  const Layout& layout = process.layout;
  uint64_t at = vma.span.start;
  for (int i = 0; i < layout.image_count && at < vma.span.end; ++i) {
    Span image = layout.image[i].span;
    if (image.end <= at || image.start >= vma.span.end) continue;
    if (image.start > at) Add(vma, {at, image.start}, shared, list);
    uint64_t end = std::min(image.end, vma.span.end);
    if ((vma.bits & kRangeLocked) != 0) {
      list->image_locked += PagesOf(end - std::max(at, image.start)).n;
    }
    at = end;
  }
  if (at < vma.span.end) Add(vma, {at, vma.span.end}, shared, list);
}

void Clear(RangeList* list) {
  list->count = 0;
  list->pages = list->locked_pages = list->image_locked = 0;
}

// What the quick look sees of a VMA that smaps has shown.
VmaInfo AsQuick(const VmaInfo& vma) {
  constexpr uint32_t kHidden = kRangeLockOnFault | kRangeGrowsdown |
                               kRangeHugetlb | kRangeIo | kRangeSpecial |
                               kRangeDroppable;
  VmaInfo quick = vma;
  quick.bits = (vma.bits & ~kHidden) | kRangeMayWrite;
  return quick;
}

// What to walk over and when to stop.
struct Way {
  Source source;
  Span part;
  uint64_t pages;  // stop when as many have been seen
  bool ask_locks;  // by IsLocked
};

void Walk(const Way& way, const SharedState& shared, RangeList* list,
          RangeList* as_quick) {
  Clear(list);
  if (as_quick != nullptr) Clear(as_quick);
  VmaWalk walk(way.source, way.part.start);
  VmaInfo vma;
  while (list->pages != way.pages && walk.Next(&vma) &&
         vma.span.start < way.part.end) {
    if (way.ask_locks &&
        IsLocked({vma.span.start, vma.span.start + kPageSize})) {
      vma.bits |= kRangeLocked;
    }
    AddWithoutImage(vma, shared, list);
    if (as_quick != nullptr) AddWithoutImage(AsQuick(vma), shared, as_quick);
  }
}

constexpr Span kEverywhere{0, kTaskSize};
constexpr uint64_t kNoLimit = ~uint64_t{0};

void QuickRanges(uint64_t pages, const SharedState& shared, RangeList* list) {
  Span arena = Arena(shared.program.arena_pages);
  Span heap = process.layout.RealHeap();
  Span both{std::min(arena.start, heap.start), std::max(arena.end, heap.end)};
  if (pages != kNoLimit) {
    // The lock of each VMA need not be asked for if there is none at all.
    Walk({Source::kQuick, both, pages, IsLocked(both)}, shared, list, nullptr);
    if (list->pages == pages) return;
  }
  // Something is elsewhere, where the kernel placed it.
  Walk({Source::kQuick, kEverywhere, kNoLimit, true}, shared, list, nullptr);
}

}  // namespace

uint64_t ImageLocked() {
  const Layout& layout = process.layout;
  uint64_t pages = 0;
  for (int i = 0; i < layout.image_count; ++i) {
    const Span& span = layout.image[i].span;
    if (IsLocked({span.start, span.start + kPageSize})) {
      pages += PagesOf(span.end - span.start).n;
    }
  }
  return pages;
}

void ObserveRanges(Source source, Until until, uint64_t total_vm,
                   const SharedState& shared, RangeList* list,
                   RangeList* as_quick) {
  uint64_t pages =
      until == Until::kAllSeen ? total_vm - process.layout.total_vm : kNoLimit;
  if (source == Source::kQuick) {
    QuickRanges(pages, shared, list);
  } else {
    Walk({Source::kSmaps, kEverywhere, pages, false}, shared, list, as_quick);
  }
}

bool SameRanges(const RangeList& a, const RangeList& b) {
  return a.count == b.count &&
         std::equal(a.ranges, a.ranges + a.count, b.ranges,
                    [](const wire::RangeRecord& x, const wire::RangeRecord& y) {
                      return x.start == y.start && x.end == y.end &&
                             x.eof == y.eof && x.bits == y.bits;
                    });
}

}  // namespace lockstep::executor
