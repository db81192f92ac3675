// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Draws the fields of one step. Only for the files of vocabulary.
//
// A draw inside an argument list would depend on the compiler's order of
// evaluation: in these files every draw that another one stands beside is a
// statement of its own.

#ifndef LOCKSTEP_PROPS_VOCABULARY_COMPOSER_H_
#define LOCKSTEP_PROPS_VOCABULARY_COMPOSER_H_

#include <cstddef>
#include <cstdint>

#include "engine/program.h"
#include "engine/step.h"
#include "props/random.h"
#include "props/vocabulary_memory.h"
#include "props/vocabulary_theme.h"

namespace lockstep::vocabulary_internal {

// Where in which calls what can happen: a row of vocabulary_interleavings.cc.
struct Interleaving;

class Composer {
 public:
  Composer(Random& random, const Config& config, const Memory& memory,
           Theme theme)
      : random_(random), config_(config), memory_(memory), theme_(theme) {}

  // The `index`-th step of its program.
  void Compose(size_t index, Step* step);
  // New fields and interleavings for the step's call and task.
  void Recompose(Step* step);

 private:
  uint64_t Below(uint64_t n) { return random_.Below(n); }
  bool OneIn(uint64_t n) { return random_.OneIn(n); }
  template <typename T, size_t kSize>
  T OneOf(const T (&choices)[kSize]) {
    return choices[random_.Below(kSize)];
  }

  uint64_t huge_pages() const { return uint64_t{1} << config_.hpage_pmd_order; }
  bool huge_arena() const { return config_.arena_pages > 65536; }
  bool memory_is_small() const { return config_.memory_pages <= 4096; }
  bool has(Behaviour behaviour) const {
    return config_.profile->Has(behaviour);
  }
  bool thp() const {
    return config_.transparent_hugepage != TransparentHugepage::kNever;
  }

  // There is a pool of huge pages.
  bool hugetlb() const { return config_.nr_hugepages != 0; }

  // vocabulary_ranges.cc
  uint8_t DrawTask();
  uint64_t DrawHugeCount();
  uint64_t DrawCount();
  // A range that need not have anything to do with earlier ones.
  PageRange DrawFreshRange();
  // The same range as an earlier step's, a part of it, or what touches it.
  PageRange DrawKnownRange();
  PageRange DrawRange(uint64_t fresh_one_in);
  // A page that probably exists.
  Address DrawPage();
  uint64_t DrawStrangeLength();
  Address DrawStrangeAddress();
  // `odd_one_in`: how rarely address or length are not whole pages.
  void SetRange(PageRange range, uint64_t odd_one_in, Step* step);
  uint64_t DrawLimit();

  // vocabulary_calls.cc
  uint32_t DrawProtection();
  // Takes access away from most ranges that would take long to populate: the
  // zero page never runs out, and a large memory not soon. What lengths do to
  // counters shows without access too.
  void KeepPopulateCheap(Step* step);
  bool IsDearToPopulate(uint64_t length);
  void DrawMmap(Step* step);
  // What only some kernels map: secrets, droppable memory, checked flags.
  void DrawMapType(Step* step);
  void DrawMremap(Step* step);
  void DrawMadvise(Step* step);
  // Advice that came after 4.9, mostly what the kernel has of it.
  uint32_t DrawNewAdvice();
  void DrawTouch(Step* step);
  // The page below a stack: touching it makes the stack grow.
  // REQUIRES: memory_.knows_stacks().
  Address DrawBelowStack();
  void DrawShm(Step* step);
  void DrawMlockall(Step* step);
  void DrawFields(Step* step);
  void DrawPageAction(Step* step);

  // vocabulary_interleavings.cc
  uint64_t InterleavedOneIn(Op op) const;
  void DrawInterleavings(Step* step);
  During DrawDuring(const Step& step, const Interleaving& row);

  Random& random_;
  const Config& config_;
  const Memory& memory_;
  const Theme theme_;
};

}  // namespace lockstep::vocabulary_internal

#endif  // LOCKSTEP_PROPS_VOCABULARY_COMPOSER_H_
