// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Agreement: two engines run the same program and must show the same, step by
// step. Only what is exact on a real kernel is compared; where the
// specification leaves freedom (which unlocked pages reclaim has taken, what
// fault-around brought in), so does the comparison.

#ifndef LOCKSTEP_PROPS_AGREEMENT_H_
#define LOCKSTEP_PROPS_AGREEMENT_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/engine.h"
#include "engine/linux/wire.h"
#include "engine/outcome.h"
#include "engine/program.h"
#include "engine/step.h"
#include "engine/units.h"
#include "props/property.h"

namespace lockstep {

// One engine after a step, with what a comparison looks at.
struct Side {
  Outcome outcome;
  World world;
  // The pages of arena and heap of each task; bits of RangeBit and kPageMapped.
  static constexpr uint32_t kPageMapped = uint32_t{1} << 31;
  std::vector<uint32_t> pages[kTaskSlots];
};

// The pages that are compared: the arena first, then the heap's first pages.
struct PageIndex {
  uint64_t arena_pages;
  explicit PageIndex(const Config& config)
      : arena_pages(
            std::min<uint64_t>(config.arena_pages, wire::kMaxArenaPages)) {}
  uint64_t count() const { return arena_pages + wire::kHeapPages; }
  Vpn page(uint64_t index) const {
    return index < arena_pages ? PageOf(kArenaBase) + Pages{index}
                               : PageOf(kHeapBase) + Pages{index - arena_pages};
  }
};

struct AgreementContext {
  const Config& config;
  const Step& step;
  // What both engines can see: bits of wire::Sees.
  uint32_t sees;
  // The program had a second address space at some time: pages may have been
  // shared by copy on write.
  bool forked;
  // Reclaim was asked for at some time: what it leaves is its own affair.
  bool reclaimed;
  // A defect of the model has left a page Mlocked that is in no VM_LOCKED
  // mapping any more. Whether a later munlock takes that off depends on whether
  // the kernel counts lockers (mlock_count, from 5.18).
  bool left_mlocked;
  const Side& model;
  const Side& real;
  const Engine& model_engine;
  const Engine& real_engine;
};

// One compared thing: a row of the table. `holds` fills *mismatch with the
// model's word as what was expected and the real kernel's as what was seen.
struct Agreement {
  absl::string_view name;  // "agree-locked-vm"
  absl::string_view statement;
  absl::string_view source;
  bool (*holds)(const AgreementContext& context, Mismatch* mismatch);
};
absl::Span<const Agreement> AllAgreements();

inline constexpr absl::string_view kAgreeMlocked = "agree-mlocked";

// The property of a program that a real kernel did not get to the end of: it
// hung, was killed, or the executor lost it.
inline constexpr absl::string_view kAgreeEnd = "agree-end";

}  // namespace lockstep

#endif  // LOCKSTEP_PROPS_AGREEMENT_H_
