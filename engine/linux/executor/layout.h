// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Where things are in a process of the executor: the image (what was mapped
// before the first program), the arena, the heap, and what the kernel placed.

#ifndef LOCKSTEP_ENGINE_LINUX_EXECUTOR_LAYOUT_H_
#define LOCKSTEP_ENGINE_LINUX_EXECUTOR_LAYOUT_H_

#include <cstdint>

#include "engine/linux/wire.h"
#include "engine/units.h"

namespace lockstep::executor {

// Addresses, the end excluded.
struct Span {
  uint64_t start = 0, end = 0;
  constexpr bool Intersects(Span other) const {
    return start < other.end && other.start < end;
  }
  constexpr bool Covers(Span other) const {
    return start <= other.start && other.end <= end;
  }
  constexpr bool Covers(uint64_t address) const {
    return start <= address && address < end;
  }
};

inline constexpr int kMaxImageVmas = 1024;
// What steps may make of heap.
inline constexpr uint64_t kHeapWindow = wire::kPopulateBudgetPages
                                        << kPageShift;
// Model addresses from kHeapBase up to here are translated, so that a range
// which leaves the heap leaves it into nothing, as in the model.
inline constexpr uint64_t kHeapReach = uint64_t{1} << 40;

// The image's VMAs and its heap's base: the break, page-aligned, before the
// first program.
struct Layout {
  struct ImageVma {
    Span span;
    bool special;  // VM_SPECIAL: never locked
  };
  ImageVma image[kMaxImageVmas];
  int image_count;
  uint64_t heap_base;
  uint64_t image_lockable, image_other;  // pages
  uint64_t total_vm;                     // pages, VmSize
  uint64_t locked_vm;                    // pages, VmLck

  Span RealHeap() const { return {heap_base, heap_base + kHeapWindow}; }
  bool InImage(Span span) const {
    for (int i = 0; i < image_count; ++i) {
      if (image[i].span.Intersects(span)) return true;
    }
    return false;
  }
};

constexpr Span ModelHeap() { return {kHeapBase, kHeapBase + kHeapWindow}; }
constexpr Span ModelHeapReach() { return {kHeapBase, kHeapBase + kHeapReach}; }
constexpr Span Arena(uint64_t pages) {
  return {kArenaBase, kArenaBase + (pages << kPageShift)};
}

// A model address as this process has it and back: only the heap differs.
inline uint64_t ToReal(const Layout& layout, uint64_t model) {
  return ModelHeapReach().Covers(model) ? model - kHeapBase + layout.heap_base
                                        : model;
}
inline uint64_t ToModel(const Layout& layout, uint64_t real) {
  Span heap{layout.heap_base, layout.heap_base + kHeapReach};
  return heap.Covers(real) ? real - layout.heap_base + kHeapBase : real;
}

}  // namespace lockstep::executor

#endif  // LOCKSTEP_ENGINE_LINUX_EXECUTOR_LAYOUT_H_
