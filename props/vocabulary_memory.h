// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// What the steps so far have touched, as far as it helps to draw the next one.
// Of constant size, so that drawing a step costs the same late in a program.
// Only for the files of vocabulary.

#ifndef LOCKSTEP_PROPS_VOCABULARY_MEMORY_H_
#define LOCKSTEP_PROPS_VOCABULARY_MEMORY_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "engine/program.h"
#include "engine/step.h"
#include "engine/uapi.h"
#include "props/random.h"

namespace lockstep::vocabulary_internal {

struct PageRange {
  uint64_t page = 0;
  uint64_t count = 0;
};

// The last few ranges of one kind.
template <int kSize>
class Ring {
 public:
  void Push(PageRange range) {
    ranges_[next_ % kSize] = range;
    ++next_;
  }
  bool empty() const { return next_ == 0; }
  PageRange Pick(Random& random) const {
    return ranges_[random.Below(std::min<uint32_t>(next_, kSize))];
  }

 private:
  std::array<PageRange, kSize> ranges_;
  uint32_t next_ = 0;
};

class Memory {
 public:
  explicit Memory(const Config& config) : limit_(config.memlock_limit) {}

  void Note(const Step& step) {
    switch (step.op) {
      case Op::kMmap: {
        const PageRange range = RangeOf(step);
        if (range.count == 0) return;
        mapped_.Push(range);
        if (step.flags & uapi::kMapGrowsdown) stacks_.Push(range);
        return;
      }
      case Op::kFork:
        tasks_ |= 1u << (step.slot % kTaskSlots);
        return;
      case Op::kSetrlimit:
        limit_ = step.length;
        return;
      case Op::kMemfdSecret:
        knows_secrets_ = true;
        return;
      case Op::kShmat:
        mapped_.Push({step.addr.value / kPageSize, 2});
        return;
      case Op::kMunmap:
      case Op::kMprotect:
      case Op::kMremap:
      case Op::kMlock:
      case Op::kMlock2:
      case Op::kMunlock: {
        const PageRange range = RangeOf(step);
        if (range.count != 0) touched_.Push(range);
        return;
      }
      default:
        return;
    }
  }

  // A range that an earlier step used.
  // REQUIRES: knows_ranges().
  bool knows_ranges() const { return !mapped_.empty() || !touched_.empty(); }
  PageRange Range(Random& random) const {
    const bool prefer_mapped = random.Below(8) < 5;
    if (touched_.empty() || (prefer_mapped && !mapped_.empty())) {
      return mapped_.Pick(random);
    }
    return touched_.Pick(random);
  }

  bool knows_stacks() const { return !stacks_.empty(); }
  PageRange Stack(Random& random) const { return stacks_.Pick(random); }

  // A memfd_secret may be there to be mapped.
  bool knows_secrets() const { return knows_secrets_; }

  bool knows_children() const { return tasks_ != 1; }
  // The slot of a task that was forked. REQUIRES: knows_children().
  uint8_t Child(Random& random) const {
    uint64_t skip = random.Below(Count(tasks_ & ~1u));
    for (uint8_t slot = 1;; ++slot) {
      if ((tasks_ >> slot & 1) != 0 && skip-- == 0) return slot;
    }
  }

  // Bytes that may be locked, as far as the steps tell.
  uint64_t limit() const { return limit_; }

 private:
  static uint64_t Count(uint32_t bits) {
    return static_cast<uint64_t>(std::popcount(bits));
  }
  static PageRange RangeOf(const Step& step) {
    if (step.addr.base != Address::Base::kArena) return {};
    // Strange lengths are not worth repeating.
    if (step.length > (uint64_t{1} << 44)) return {};
    return {step.addr.value / kPageSize,
            (step.length + kPageSize - 1) / kPageSize};
  }

  Ring<4> mapped_;
  Ring<4> touched_;
  Ring<2> stacks_;
  uint32_t tasks_ = 1;
  bool knows_secrets_ = false;
  uint64_t limit_;
};

}  // namespace lockstep::vocabulary_internal

#endif  // LOCKSTEP_PROPS_VOCABULARY_MEMORY_H_
