// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Tasks, ranges, addresses, lengths and limits.

#include <algorithm>

#include "props/vocabulary_composer.h"

namespace lockstep::vocabulary_internal {

uint8_t Composer::DrawTask() {
  if (memory_.knows_children() && OneIn(2)) return memory_.Child(random_);
  // An empty slot: the step is skipped.
  if (OneIn(256)) return static_cast<uint8_t>(Below(kTaskSlots));
  return 0;
}

uint64_t Composer::DrawHugeCount() {
  // Around 2^31 bytes and 2^31 pages, where counters break.
  switch (Below(8)) {
    case 0:
      return config_.arena_pages;
    case 1:
      return config_.arena_pages / 2 + 1;
    case 2:
      return (uint64_t{1} << 19) - 1;
    case 3:
      return uint64_t{1} << 31;
    case 4:
      return (uint64_t{1} << 19) + Below(4);
    case 5:
    case 6:
      if (memory_.limit() == kRlimInfinity) return config_.arena_pages;
      return std::max<uint64_t>(memory_.limit() / kPageSize, 1);
    default:
      return uint64_t{1} << 19;
  }
}

uint64_t Composer::DrawCount() {
  if (huge_arena() && Below(8) < 3) return DrawHugeCount();
  if ((thp() || hugetlb()) && OneIn(2)) return huge_pages() * (1 + Below(2));
  const uint64_t kind = Below(32);
  if (kind < 18) return 1 + Below(4);
  if (kind < 22) return 5 + Below(8);
  if (kind < 25) return 13 + Below(8);  // a full pagevec has 14
  if (kind < 27) return huge_pages() + Below(3);
  if (kind < 30 && memory_.limit() < config_.arena_pages * kPageSize) {
    return std::max<uint64_t>(memory_.limit() / kPageSize + Below(2), 1);
  }
  if (kind == 31) return config_.arena_pages;
  return 1 + Below(24);
}

// A range that need not have anything to do with earlier ones.
PageRange Composer::DrawFreshRange() {
  PageRange range;
  range.count = DrawCount();
  const uint64_t span = OneIn(8) ? config_.arena_pages
                                 : std::min<uint64_t>(config_.arena_pages, 24);
  range.page = Below(span);
  if (thp() || hugetlb() ? !OneIn(4) : OneIn(8)) {
    range.page &= ~(huge_pages() - 1);
  }
  if (range.count >= 64 && !OneIn(4)) range.page = 0;
  return range;
}

// The same range as an earlier step's, a part of it, or what touches it.
PageRange Composer::DrawKnownRange() {
  PageRange range = memory_.Range(random_);
  switch (Below(16)) {
    case 0:  // one page inside
      range.page += Below(range.count);
      range.count = 1;
      break;
    case 1: {  // the head
      range.count = 1 + Below(range.count);
      break;
    }
    case 2: {  // the tail
      const uint64_t skip = Below(range.count);
      range.page += skip;
      range.count -= skip;
      break;
    }
    case 3:  // without first and last
      if (range.count > 2) {
        range.page += 1;
        range.count -= 2;
      }
      break;
    case 4:  // over the end
      range.count += 1 + Below(2);
      break;
    case 5:  // over the start
      if (range.page > 0) {
        range.page -= 1;
        range.count += 1;
      }
      break;
    case 6:  // behind
      range.page += range.count;
      range.count = 1 + Below(4);
      break;
    case 7:  // before
      range.count = 1 + Below(4);
      range.page -= std::min(range.page, range.count);
      break;
    default:
      break;
  }
  return range;
}

PageRange Composer::DrawRange(uint64_t fresh_one_in) {
  if (!memory_.knows_ranges() || OneIn(fresh_one_in)) return DrawFreshRange();
  PageRange range = DrawKnownRange();
  // No call cuts a page of the pool.
  if (hugetlb() && OneIn(2)) {
    const uint64_t mask = huge_pages() - 1;
    range.count = (range.count + mask) & ~mask;
    range.page &= ~mask;
  }
  return range;
}

// A page that probably exists.
Address Composer::DrawPage() {
  const PageRange range =
      memory_.knows_ranges() ? memory_.Range(random_) : DrawFreshRange();
  return Address::Arena(
      {range.page +
       Below(std::max<uint64_t>(std::min<uint64_t>(range.count, 64), 1))});
}

uint64_t Composer::DrawStrangeLength() {
  static constexpr uint64_t kLengths[] = {
      0,
      0,
      1,
      ~uint64_t{0},
      ~uint64_t{0} - 1,
      ~uint64_t{0} - 4094,
      ~uint64_t{0} - 4095,
      ~uint64_t{0} - 8191,
      ~uint64_t{0} >> 1,
      uint64_t{1} << 31,
      uint64_t{1} << 43,
      kTaskSize,
  };
  return OneOf(kLengths);
}

Address Composer::DrawStrangeAddress() {
  static constexpr uint64_t kAddresses[] = {
      0,
      kPageSize,
      kTaskSize,
      kTaskSize - kPageSize,
      0xffff800000000000,
      ~uint64_t{0} - 4095,
      ~uint64_t{0},
      kArenaBase - kPageSize,
      0xffffffffff600000,  // vsyscall
  };
  return Address::Raw(OneOf(kAddresses));
}

// `odd_one_in`: how rarely address or length are not whole pages.
void Composer::SetRange(PageRange range, uint64_t odd_one_in, Step* step) {
  step->addr = Address::Arena({range.page});
  step->length = range.count * kPageSize;
  if (!OneIn(odd_one_in)) return;
  switch (Below(8)) {
    case 0:
    case 1:
      step->addr.value += 1;
      return;
    case 2:
      step->addr.value += kPageSize - 1;
      return;
    case 3:
      step->length += 1;
      return;
    case 4:
      step->length -= 1;
      return;
    case 5:
      step->addr.value += 2048;
      step->length -= 2048;
      return;
    case 6:
      step->length = DrawStrangeLength();
      return;
    default:
      if (OneIn(2)) step->length = DrawStrangeLength();
      step->addr = DrawStrangeAddress();
      return;
  }
}

uint64_t Composer::DrawLimit() {
  switch (Below(12)) {
    case 0:
      return 0;
    case 1:
      return 1;
    case 2:
      return kPageSize - 1;
    case 3:
      return kRlimInfinity;
    case 4:
      if (huge_arena()) return DrawHugeCount() * kPageSize;
      return (1 + Below(config_.arena_pages)) * kPageSize;
    case 5: {
      const uint64_t odd = Below(kPageSize);
      return Below(8) * kPageSize + odd;
    }
    default:
      return (1 + Below(8)) * kPageSize;
  }
}

}  // namespace lockstep::vocabulary_internal
