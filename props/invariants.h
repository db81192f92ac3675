// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Invariants: rules over the inside of the reference machine, down to its LRU
// lists. Each recomputes from first principles what the engine keeps
// incrementally. A check costs what the step touched; the full form is the same
// predicates over everything, with the recount started from nothing.

#ifndef LOCKSTEP_PROPS_INVARIANTS_H_
#define LOCKSTEP_PROPS_INVARIANTS_H_

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/reference/machine.h"
#include "props/property.h"

namespace lockstep {

// What one frame adds to the sums; remembered, so that a touched frame's old
// share can be taken out again.
struct FrameShare {
  uint32_t mlocked = 0;  // pages, if Mlocked
  uint32_t used = 0;     // pages taken from memory, 0 while free
  uint8_t zone = 0;
  uint8_t lru = reference::kNoLru;
  bool operator==(const FrameShare&) const = default;
};

// Sums over all frames, recounted from their flags.
struct Recount {
  std::vector<FrameShare> shares;  // by frame; missing ones are zero
  std::array<int64_t, kMaxZones> mlocked{};
  std::array<std::array<uint32_t, reference::kLruLists>, kMaxZones> lru{};
  uint64_t used = 0;

  void Clear();
  // Brings the frame's share up to date.
  void Update(const reference::Machine& machine, Pfn pfn);
};

struct InvariantContext {
  const reference::Machine& machine;
  const Step* step;       // null before the first step
  const Recount& before;  // page checks: shares as they were before the step
};

// One row of the table. Exactly one of the functions is set.
struct Invariant {
  absl::string_view name;
  absl::string_view statement;
  absl::string_view source;
  bool (*page)(const InvariantContext& context, Pfn pfn,
               Mismatch* mismatch) = nullptr;
  bool (*mm)(const InvariantContext& context, int mm,
             Mismatch* mismatch) = nullptr;
  // Sees the recount brought up to date.
  bool (*machine)(const InvariantContext& context,
                  Mismatch* mismatch) = nullptr;
};
absl::Span<const Invariant> AllInvariants();

// Checks the invariants after each step.
class InvariantChecker {
 public:
  // The machine was reset.
  void Start(const reference::Machine& machine);
  // After a step: over what it touched, or over everything. On a failure fills
  // *mismatch and returns the row.
  const Invariant* CheckTouched(const reference::Machine& machine,
                                Mismatch* mismatch);
  const Invariant* CheckAll(const reference::Machine& machine,
                            Mismatch* mismatch);

 private:
  // CheckTouched of a step that touched something: these mms, or pages.
  const Invariant* CheckTouchedParts(const reference::Machine& machine,
                                     uint32_t mms, Mismatch* mismatch);
  // The earlier row of what failed already, if anything, and of the sums.
  const Invariant* FirstWithSums(const InvariantContext& context,
                                 const Invariant* failed, Mismatch* mismatch);

  Recount recount_;
  Mismatch sums_;  // kept to keep its memory
};

}  // namespace lockstep

#endif  // LOCKSTEP_PROPS_INVARIANTS_H_
