// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// A step as generators, shrinkers and engines hold it: a plain struct of fixed
// size. proto/lockstep/program.proto says what each call and field means;
// engine/program.h converts between the two.

#ifndef LOCKSTEP_ENGINE_STEP_H_
#define LOCKSTEP_ENGINE_STEP_H_

#include <array>
#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/units.h"

namespace lockstep {

inline constexpr int kTaskSlots = 8;
inline constexpr int kFileSlots = 4;
inline constexpr int kShmSlots = 4;
inline constexpr int kUsers = 4;
inline constexpr int kMaxZones = 4;
inline constexpr int kMaxCpus = 4;

// Arena and heap addresses hold the offset in bytes from the base, raw ones the
// address itself.
struct Address {
  enum class Base : uint8_t { kArena, kHeap, kRaw };
  uint64_t value = 0;
  Base base = Base::kArena;

  static constexpr Address Arena(Vpn page, uint64_t offset = 0) {
    return {page.n * kPageSize + offset, Base::kArena};
  }
  static constexpr Address Heap(Vpn page, uint64_t offset = 0) {
    return {page.n * kPageSize + offset, Base::kHeap};
  }
  static constexpr Address Raw(uint64_t value) { return {value, Base::kRaw}; }

  // The virtual address.
  constexpr uint64_t Resolve() const {
    switch (base) {
      case Base::kArena:
        return kArenaBase + value;
      case Base::kHeap:
        return kHeapBase + value;
      case Base::kRaw:
        break;
    }
    return value;
  }
  bool operator==(const Address&) const = default;
};

// System calls first, environment actions from kSetCpu on. Not stored on disk.
enum class Op : uint8_t {
  kNone,
  kMmap,
  kMunmap,
  kMprotect,
  kMremap,
  kBrk,
  kMadvise,
  kMsync,
  kMincore,
  kMlock,
  kMlock2,
  kMunlock,
  kMlockall,
  kMunlockall,
  kFork,
  kExec,
  kExit,
  kSetrlimit,
  kSetcap,
  kSetuid,
  kShmget,
  kShmat,
  kShmdt,
  kShmctl,
  kMemfdSecret,
  kFtruncate,
  kTouch,
  kSetCpu,
  kDrain,
  kReclaim,
  kIsolate,
  kPutback,
  kMigrate,
  kCollapse,
  kSplit,
  kFailAllocation,
  kFatalSignal,
  kHoldMmapLock,
  kSetAllocationZone,
};
inline constexpr int kOpCount = static_cast<int>(Op::kSetAllocationZone) + 1;

constexpr bool IsEnvironment(Op op) { return op >= Op::kSetCpu; }

// Named points inside calls of the reference engine at which environment
// actions can happen: those where the modelled kernel holds no lock that
// excludes them. OpInfo's sibling PointInfo has the names.
enum class Point : uint8_t {
  kNone,
  // mlock: the VMAs are marked, mmap_sem is dropped, populate comes next.
  kMlockMarked,
  // populate: mmap_sem is held for read, the next page comes.
  kPopulatePage,
  // mlock_vma_page: PG_mlocked is set, the page is not yet isolated.
  kMlockPageMarked,
  // munlock_vma_pages_range: pages are pinned in the pagevec, no lock is held.
  kMunlockBeforeIsolation,
  // __munlock_pagevec: phase 1 is over, lru_lock is dropped.
  kMunlockIsolated,
  // munlock_vma_page up to 3.13 (D2): the flag of a huge page is cleared, its
  // size not yet read.
  kMunlockThpCleared,
  // munlock_vma_pages_range: between two batches.
  kMunlockNextBatch,
  // clear_page_mlock: the flag is cleared, the page is not yet isolated.
  kClearMlockBeforeIsolation,
  // acct_stack_growth up to 4.3 (D16): locked_vm is read, not yet written.
  kStackChargeRead,
};
inline constexpr int kPointCount =
    static_cast<int>(Point::kStackChargeRead) + 1;

// What a step's fields mean is in this table: one row an op.
enum class Field : uint8_t {
  kAddr = 1,      // addr
  kLength = 2,    // length
  kProt = 4,      // prot
  kFlags = 8,     // flags
  kSlot = 16,     // slot
  kNewAddr = 32,  // new_addr
  kLength2 = 64,  // length2
  kValue = 128,   // value
};
struct OpInfo {
  Op op;
  absl::string_view name;  // as in program.proto: "mlock2", "set_cpu"
  uint8_t fields;          // bits of Field that mean something
  bool Uses(Field field) const {
    return (fields & static_cast<uint8_t>(field)) != 0;
  }
};
const OpInfo& InfoOf(Op op);
absl::Span<const OpInfo> AllOps();  // in the order of Op, kNone included

struct PointInfo {
  Point point;
  absl::string_view name;  // "munlock_pagevec:isolated"
  absl::string_view meaning;
};
const PointInfo& InfoOf(Point point);
absl::Span<const PointInfo> AllPoints();
std::optional<Point> PointFromName(absl::string_view name);

// An environment action inside a call. The op is an environment action or
// kTouch; task, slot, value and addr mean what they mean in a Step.
struct During {
  Address addr;
  Point point = Point::kNone;
  Op op = Op::kNone;
  uint8_t task = 0;
  uint8_t slot = 0;    // cpu, zone
  uint16_t nth = 0;    // how often the point is passed first
  uint16_t value = 0;  // as in Step, one page (reclaim)
  bool operator==(const During&) const = default;
};
inline constexpr int kMaxDuring = 2;

// Fields by op, where the name does not say it:
//   slot:   fd (mmap, ftruncate, memfd_secret), shm, child (fork), uid
//           (setuid), cpu, zone
//   flags:  flags (mmap, mremap, msync, mlock2, mlockall, shmat), advice
//           (madvise), command (shmctl)
//   length: length, old_length (mremap), size (shmget, ftruncate,
//           memfd_secret), memlock (setrlimit)
//   length2: new_length (mremap), offset_pages (mmap)
//   value:  share_vm (fork), ipc_lock (setcap), write (touch), pmd_only
//           (split), nth (fail_allocation), hugetlb (shmget), source (mmap),
//           1 for the page at addr, 0 for every page (reclaim)
struct Step {
  Address addr;
  Address new_addr;
  uint64_t length = 0;
  uint64_t length2 = 0;
  Op op = Op::kNone;
  uint8_t task = 0;
  uint8_t slot = 0;
  uint8_t during_count = 0;
  uint32_t flags = 0;
  uint32_t prot = 0;
  uint32_t value = 0;
  std::array<During, kMaxDuring> during{};

  absl::Span<const During> interleavings() const {
    return {during.data(), during_count};
  }
  // Adds an interleaving; false if the step already has kMaxDuring.
  bool Add(const During& action) {
    if (during_count == kMaxDuring) return false;
    during[during_count++] = action;
    return true;
  }
  bool operator==(const Step&) const = default;
};

// The number in a field; 0 for those that hold an address.
uint64_t NumberIn(const Step& step, Field field);

// The action of an interleaving as a step of its own, and a step as an action,
// its value cut to what fits: what is done, not where inside a call.
Step AsStep(const During& action);
During AsAction(const Step& step);

// mmap's value.
enum class MmapSource : uint32_t {
  kFile,
  kDevicePfnmap,
  kDeviceMixedmap,
  kSecret,
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_STEP_H_
