// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// What the host process and the executor say to each other: batches of
// programs in, outcomes and observations out, as plain structs in one
// contiguous buffer each way. Both sides are built from this header on one
// machine; nothing of it is kept on disk.
//
// A batch:   BatchHeader, then per program ProgramHeader and its Steps.
// A result:  ResultHeader, then per program ProgramResult and per step
//            StepResult, its ShmRecords and its TaskRecords, each TaskRecord
//            with its RangeRecords and page bitmaps.
// Every struct is a multiple of 8 bytes and so is every place in the buffers.

#ifndef LOCKSTEP_ENGINE_LINUX_WIRE_H_
#define LOCKSTEP_ENGINE_LINUX_WIRE_H_

#include <cstdint>

#include "engine/step.h"

namespace lockstep::wire {

inline constexpr uint32_t kMagic = 0x4c4b5331;  // "LKS1"

// The largest arena that is run for real and observed page by page, and the
// most pages of heap that are observed.
inline constexpr uint64_t kMaxArenaPages = 256;
inline constexpr uint64_t kHeapPages = 64;
// The largest mapping, segment or file that a step may make, and so what
// one call may populate: a larger one is refused before it is run.
inline constexpr uint64_t kPopulateBudgetPages = 4096;

// What is looked at after each step besides the outcome.
enum class Look : uint32_t {
  kNothing,     // the outcome only
  kAccounting,  // VmLck, VmSize; what the executor knows itself
  kPages,       // and per page: mapping, protection, locks, residency
};

// Which process runs a program. Counters, which cost a guest as much as all
// other looking, come with every step of programs of several tasks and with
// kProcessPerProgram, else with the last step only.
enum class Mode : uint32_t {
  // A child per batch runs one program after the other and undoes each;
  // programs that change what cannot be undone get a process of their own.
  kChildPerBatch,
  kProcessPerProgram,
};

struct BatchHeader {
  uint32_t magic;
  uint32_t programs;
  Look look;
  Mode mode;
  uint32_t step_limit_ms;  // of one step, in wall-clock time
  uint32_t reserved;
  uint64_t bytes;  // of the batch, this header included
};

// The part of Config that a real kernel can be given.
struct ProgramHeader {
  uint64_t arena_pages;    // at most kMaxArenaPages
  uint64_t memlock_limit;  // bytes, soft limit
  uint64_t file_size;      // bytes, of each file slot
  uint32_t steps;
  uint8_t cap_ipc_lock;
  uint8_t uid;                   // slot
  uint8_t transparent_hugepage;  // 0: MADV_NOHUGEPAGE, else MADV_HUGEPAGE
  uint8_t reserved;
  // Huge pages in the hugetlb pool; guests only, others refuse any but 0.
  uint32_t nr_hugepages;
  uint32_t reserved2;
};

struct ResultHeader {
  uint32_t magic;
  // Programs that were run; fewer than asked when the buffer had no room for
  // the next one's worst case. The others are to be sent again.
  uint32_t programs;
  uint64_t bytes;  // of the result, this header included
  // Time of the executor and its children over the batch, from getrusage.
  uint64_t user_ns, system_ns;
};

// How a program ended.
enum class End : uint32_t {
  kCompleted,
  kRefused,   // its config cannot be had here; no step was run
  kTimedOut,  // the step after the last one told took too long: killed
  kKilled,    // a process of the program was killed by `signal` there
  kBroken,    // the executor lost control of it; detail in `signal`: an errno
};

struct ProgramResult {
  uint32_t index;  // in the batch
  End end;
  uint32_t steps;  // StepResults that follow
  int32_t signal;
  uint64_t bytes;  // of this program's part, this struct included
  // The executor's own image: pages that a lock call locks (VMAs that are not
  // VM_SPECIAL), and all others (vdso, vvar). Before the first step.
  uint64_t image_lockable_pages;
  uint64_t image_other_pages;
  // Bits of Sees.
  uint32_t sees;
  uint32_t reserved;
};

// What this executor can see with the privileges it has, and what machine it is
// on.
enum Sees : uint32_t {
  kSeesPageFlags = 1,  // /proc/kpageflags: PG_mlocked, the zero page
  kSeesOnfault = 2,    // smaps has a name for lock-on-fault
  kSeesCounters = 4,   // /proc/vmstat belongs to this program alone (guests)
  kSeesGuards = 8,     // pagemap bit 58: MADV_GUARD_INSTALL (6.15)
  kHasProtectionKeys = 16,  // CPUID 7, OSPKE: the kernel uses them
};

enum StepFlag : uint16_t {
  // An environment action, `during` or a call of too large a size that a
  // real kernel is not asked for; also what privileges are missing for.
  kStepUnsupported = 1,
  // A page allocation failed in the step, as fail_allocation asked (guests).
  kStepAllocationFailed = 2,
};

struct StepResult {
  uint8_t kind;      // Outcome::Kind
  uint8_t tasks;     // TaskRecords that follow
  uint8_t shms;      // ShmRecords that follow, before the tasks
  uint8_t counters;  // CounterRecords that follow, before the ShmRecords
  uint32_t flags;    // bits of StepFlag
  // Outcome::value: arena and heap addresses are translated to the model's
  // (kArenaBase, kHeapBase).
  int64_t value;
};

// A line of /proc/vmstat, after stat_refresh: what it moved since the program
// began.
enum class CounterName : uint32_t {
  kNrMlock,
  kNrUnevictable,
  kUnevictablePgsCulled,
  kUnevictablePgsScanned,
  kUnevictablePgsRescued,
  kUnevictablePgsMlocked,
  kUnevictablePgsMunlocked,
  kUnevictablePgsCleared,
  kUnevictablePgsStranded,
};
struct CounterRecord {
  CounterName name;
  uint32_t reserved;
  int64_t value;
};

struct ShmRecord {
  uint8_t slot;
  uint8_t exists;
  uint8_t locked;   // IPC_STAT, mode bit 02000
  uint8_t removed;  // IPC_STAT, mode bit 01000
  uint8_t hugetlb;
  uint8_t owner;  // uid slot
  uint16_t reserved;
  uint32_t attached;  // shm_nattch
  uint64_t size;      // bytes
};

// One task that exists after the step. Its ranges follow, by address, then
// the bitmaps of the arena, then those of the heap: for each, in this order,
// present, mlocked, file_or_shared (pagemap bit 61), zero page, guard page, as
// BitmapWords(pages) words. With Look::kAccounting nothing follows.
struct TaskRecord {
  uint8_t task;  // slot
  uint8_t cap_ipc_lock;
  uint8_t uid;             // slot
  uint8_t mm;              // the lowest slot of the tasks that share it
  uint8_t future_locked;   // known: the last mlockall or munlockall
  uint8_t future_onfault;  // that succeeded
  uint16_t ranges;
  uint32_t reserved;
  uint32_t heap_pages;     // pages that the heap's bitmaps stand for
  uint64_t locked_vm;      // VmLck, pages, image included
  uint64_t total_vm;       // VmSize, pages, image included
  uint64_t memlock_limit;  // bytes, getrlimit
  uint64_t brk;            // bytes from the heap's base
  uint64_t image_locked;   // pages of the image that are VM_LOCKED
};

// A VMA, or the part of one that lies in the arena, the heap or in what the
// kernel placed elsewhere. Addresses are translated: start and end are Vpns of
// the model's arena (kArenaBase) or heap (kHeapBase), others as they are.
struct RangeRecord {
  uint64_t start, end;  // virtual page numbers
  uint64_t eof;         // the first page behind the end of the file, or end
  uint32_t bits;        // RangeBit of engine/range.h
  uint32_t reserved;
};

inline constexpr int kBitmaps = 5;
constexpr uint64_t BitmapWords(uint64_t pages) { return (pages + 63) / 64; }

static_assert(sizeof(BatchHeader) % 8 == 0);
static_assert(sizeof(ProgramHeader) % 8 == 0);
static_assert(sizeof(Step) % 8 == 0);
static_assert(sizeof(ResultHeader) % 8 == 0);
static_assert(sizeof(ProgramResult) % 8 == 0);
static_assert(sizeof(StepResult) % 8 == 0);
static_assert(sizeof(CounterRecord) % 8 == 0);
static_assert(sizeof(ShmRecord) % 8 == 0);
static_assert(sizeof(TaskRecord) % 8 == 0);
static_assert(sizeof(RangeRecord) % 8 == 0);

}  // namespace lockstep::wire

#endif  // LOCKSTEP_ENGINE_LINUX_WIRE_H_
