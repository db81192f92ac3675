// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// A range of an address space as programs can observe it.

#ifndef LOCKSTEP_ENGINE_RANGE_H_
#define LOCKSTEP_ENGINE_RANGE_H_

#include <cstdint>

#include "engine/units.h"

namespace lockstep {

// Attributes of a mapped range that programs can observe or know.
enum RangeBit : uint32_t {
  kRangeRead = 1 << 0,
  kRangeWrite = 1 << 1,
  kRangeExec = 1 << 2,
  kRangeShared = 1 << 3,
  kRangeLocked = 1 << 4,       // VM_LOCKED
  kRangeLockOnFault = 1 << 5,  // VM_LOCKONFAULT
  kRangeGrowsdown = 1 << 6,
  kRangeHugetlb = 1 << 7,
  kRangeIo = 1 << 8,       // VM_IO or VM_PFNMAP: no pages behind it
  kRangeSpecial = 1 << 9,  // VM_SPECIAL of any kind: never locked
  kRangeFile = 1 << 10,    // a file, SysV segment or shared anonymous
  kRangeSecret = 1 << 11,
  kRangeDroppable = 1 << 12,
  kRangeMayWrite = 1 << 13,
  kRangeShm = 1 << 14,  // a SysV segment
};

// A range of equal attributes. Neighbours may have equal attributes too: where
// one VMA ends and the next begins differs between kernels.
struct Range {
  Vpn start, end;
  uint32_t bits = 0;
  // Pages from here on lie behind the end of the file: faults are SIGBUS.
  // `end` where there is no such page.
  Vpn eof;
  bool Has(RangeBit bit) const { return (bits & bit) != 0; }
  bool operator==(const Range&) const = default;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_RANGE_H_
