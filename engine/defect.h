// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The catalogue of historical bugs as switches.

#ifndef LOCKSTEP_ENGINE_DEFECT_H_
#define LOCKSTEP_ENGINE_DEFECT_H_

#include <cstdint>
#include <initializer_list>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace lockstep {

enum class Defect : uint8_t {
  kPagevecIsolationLeak,   // D1
  kThpSplitRace,           // D2
  kOverlapDoubleCount,     // D3
  kOnfaultDoubleCharge,    // D4
  kOverlapIntOverflow,     // D5
  kMclOnfaultAlone,        // D6
  kUnsignedNrDelta,        // D9
  kRacyStackCharge,        // D16
  kMprotectNoCow,          // D17
  kMigrateDropsMlocked,    // D18
  kRmapTrylock,            // D19
  kThpSingleEvent,         // D21
  kThpCowStaleMlocked,     // D24: found by Lockstep
  kDontunmapDoubleCharge,  // D25: found by Lockstep
  kDontunmapUnlocksWhole,  // D26: found by Lockstep
  kDontunmapSelfMerge,     // D27: found by Lockstep
  kSwapinNotMlocked,       // D28: found by Lockstep
  kMremapLosesReserve,     // D29: found by Lockstep
};
inline constexpr int kDefectCount =
    static_cast<int>(Defect::kMremapLosesReserve) + 1;

class DefectSet {
 public:
  constexpr DefectSet() = default;
  constexpr DefectSet(std::initializer_list<Defect> defects) {
    for (Defect defect : defects) Add(defect);
  }
  constexpr bool Has(Defect defect) const { return (bits_ & Bit(defect)) != 0; }
  constexpr void Add(Defect defect) { bits_ |= Bit(defect); }
  constexpr void Remove(Defect defect) { bits_ &= ~Bit(defect); }
  constexpr bool empty() const { return bits_ == 0; }
  bool operator==(const DefectSet&) const = default;

 private:
  static constexpr uint32_t Bit(Defect defect) {
    return uint32_t{1} << static_cast<int>(defect);
  }
  uint32_t bits_ = 0;
};

// One row of the catalogue.
struct DefectInfo {
  Defect defect;
  absl::string_view number;     // "D1", as in docs/defects.md
  absl::string_view name;       // "pagevec-isolation-leak"
  absl::string_view fix;        // commit and title
  absl::string_view affected;   // versions
  absl::string_view mechanism;  // one sentence
  absl::string_view property;   // the property that sees it first
};
absl::Span<const DefectInfo> AllDefects();
const DefectInfo& InfoOf(Defect defect);
// By name or number; nullptr if there is none.
const DefectInfo* FindDefect(absl::string_view name);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_DEFECT_H_
