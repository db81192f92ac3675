// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The whole modelled machine: plain state, reset in constant time. Functions
// over it are in the files named after their part of the kernel.

#ifndef LOCKSTEP_ENGINE_REFERENCE_MACHINE_H_
#define LOCKSTEP_ENGINE_REFERENCE_MACHINE_H_

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/program.h"
#include "engine/reference/mm.h"
#include "engine/reference/page.h"
#include "engine/step.h"
#include "engine/units.h"

namespace lockstep::reference {

// PAGEVEC_SIZE up to 4.14.
inline constexpr int kPagevecSize = 14;

struct Pagevec {
  int count = 0;
  std::array<Pfn, kPagevecSize> pages;
  bool full() const { return count == kPagevecSize; }
  void Add(Pfn page) { pages[count++] = page; }
};

struct LruList {
  Pfn first = 0;
  Pfn last = 0;
  uint32_t size = 0;
};
// struct lruvec: the lists of a zone, or from 4.8 of a node.
struct Lruvec {
  std::array<LruList, kLruLists> lists;
};

// /proc/vmstat's unevictable_pgs_*, and two counts that the kernel does not
// keep but that its law needs (semantics: the event law).
struct VmEvents {
  int64_t culled = 0;
  int64_t scanned = 0;
  int64_t rescued = 0;
  int64_t mlocked = 0;
  int64_t munlocked = 0;
  int64_t cleared = 0;
  int64_t stranded = 0;
  // Pages of PGMLOCKED counted by a munlock that found another locker.
  int64_t relocked = 0;
  // Pages of PGSTRANDED counted on top of PGCLEARED.
  int64_t stranded_when_cleared = 0;
  // Pages freed with PG_mlocked set: "Bad page state" in the kernel log.
  int64_t freed_mlocked = 0;
};

// What memory is mapped from: a file's or shmem's address_space, or a driver.
struct Object {
  enum class Kind : uint8_t {
    kFree,
    kFile,
    kShmem,
    kDriver,
    kHugetlb,
    kSecret,  // memfd_secret
  };
  Kind kind = Kind::kFree;
  bool unevictable = false;  // AS_UNEVICTABLE: SHM_LOCK, secrets
  int8_t shm = -1;           // segment slot it belongs to
  uint8_t user = 0;          // who made it (kSecret)
  uint32_t references = 0;   // mappings, and the slot that names it
  uint64_t size = 0;         // bytes
  std::vector<std::pair<uint64_t, Pfn>> cache;  // by index
  // Indices of huge pages that the pool has promised and not given yet
  // (hugetlb), in order. Of private memory they are the owner's (kVmResvOwner).
  std::vector<uint64_t> reserved;
};

struct Task {
  bool exists = false;
  bool cap_ipc_lock = false;
  bool fatal_signal = false;
  uint8_t uid = 0;
  int mm = 0;
  uint64_t memlock_limit = 0;  // bytes
};

struct ShmSegment {
  ObjectId object = 0;  // 0: the slot is empty
  uint64_t size = 0;    // shm_segsz: as asked for, not whole huge pages
  bool locked = false;  // SHM_LOCKED
  bool removed = false;
  uint8_t owner = 0;
  uint8_t mlock_user = 0;
};

// A page table: PTEs are valid where the bitmap has a bit. A huge PMD has its
// entry in huge and no PTEs.
struct Table {
  uint32_t huge = 0;     // raw PTE bits; 0 is none
  uint32_t entries = 0;  // bits set
  std::array<uint64_t, 8> bitmap{};
};

// Bits of a raw PTE; the low 24 are the frame. Frame 0 is the zero page.
enum PteBit : uint32_t {
  kPtePresent = 1u << 31,
  kPteWrite = 1u << 30,
  kPteSwap = 1u << 29,
  kPteGuard = 1u << 28,  // a guard marker: an access is SIGSEGV
};
inline constexpr uint32_t kPtePfnMask = (1u << 24) - 1;
constexpr Pfn PfnOf(uint32_t pte) { return pte & kPtePfnMask; }

// One mapping of a page, by a PTE of that page or a PMD of its compound page.
struct RmapNode {
  Vpn page;
  uint32_t next = 0;
  uint8_t mm = 0;
  bool huge = false;
};

// A page that reclaim took out of an address space in this step.
struct Eviction {
  int mm;
  Vpn page;
  uint32_t vm_flags;  // of the VMA at that moment
};

struct Machine {
  Config config;
  const Profile* profile = nullptr;
  DefectSet defects;
  int order = 4;             // of a page table and a huge page
  uint32_t huge_pages = 16;  // 1 << order
  uint32_t stack_guard_gap = 0;

  // Frames: [1, frame_end) are or were in use. Frees are kept in two stacks.
  std::vector<Page> pages;
  Pfn frame_end = 1;
  uint64_t free_frames = 0;
  std::vector<Pfn> free_small;
  std::vector<Pfn> free_huge;

  std::vector<Table> tables;
  std::vector<uint32_t> ptes;  // table t has [t << order, (t + 1) << order)
  std::vector<uint32_t> free_tables;
  uint32_t table_end = 0;
  // All PTEs there are. They take memory too, which alone bounds how much of
  // the zero page a huge sparse mapping can have.
  uint64_t pte_entries = 0;

  std::vector<RmapNode> rmap;
  uint32_t rmap_end = 1;
  uint32_t free_rmap = 0;

  std::array<Lruvec, kMaxZones> lruvecs;
  std::array<int64_t, kMaxZones> nr_mlock{};
  VmEvents events;
  std::array<Pagevec, kMaxCpus> lru_add;
  int cpu = 0;
  uint8_t allocation_zone = 0;
  std::vector<Pfn> isolated;     // pages with kPageIsolated
  uint32_t fail_allocation = 0;  // the n-th from now fails; 0: none
  uint64_t hugetlb_free = 0;     // huge pages in the pool, reserved ones too
  uint64_t hugetlb_reserved = 0;

  std::array<Mm, kTaskSlots> mms;
  std::array<Task, kTaskSlots> tasks;
  std::vector<Object> objects;  // [0] is never used
  uint32_t object_end = 1;
  std::array<ObjectId, kFileSlots> files{};
  std::array<ObjectId, kFileSlots> secrets{};  // 0: the slot is empty
  std::array<ShmSegment, kShmSlots> shm;
  std::array<uint64_t, kUsers> locked_shm{};  // pages
  // Pages of secrets (kSecretmemPerUser): user_struct.locked_vm.
  std::array<uint64_t, kUsers> locked_secrets{};
  uint32_t next_anon_vma = 1;

  // The running step.
  const Step* step = nullptr;
  int current = 0;  // task slot
  std::array<uint16_t, kMaxDuring> during_passed{};
  uint32_t during_pending = 0;  // bits of the step's actions not yet done
  bool mmap_lock_held = false;  // some Mm::held_by_other is set
  Pfn locked_page = 0;          // PG_locked by the call; 0: none
  StepEvents step_events;

  // The journal: what the step changed, for incremental checks.
  uint32_t epoch = 0;
  std::vector<Pfn> touched_pages;
  uint32_t touched_mms = 0;     // bits: VMAs and counters
  uint32_t touched_tables = 0;  // bits: page tables
  uint32_t touched_tasks = 0;   // bits
  std::vector<Eviction> evictions;

  bool Has(Behaviour behaviour) const { return profile->Has(behaviour); }
  bool Has(Defect defect) const { return defects.Has(defect); }

  Page& page(Pfn pfn) { return pages[pfn]; }
  const Page& page(Pfn pfn) const { return pages[pfn]; }
  // The page that carries references, LRU state and Mlocked.
  Pfn HeadOf(Pfn pfn) const { return pages[pfn].head; }
  // hpage_nr_pages: of a head or a small page.
  uint32_t SizeOf(Pfn pfn) const {
    return pages[pfn].Is(kPageHead) ? huge_pages : 1;
  }
  // page_mapcount: mappings of this very page, by PTE or PMD.
  int MapcountOf(Pfn pfn) const {
    return pages[pfn].mapcount + pages[pages[pfn].head].pmd_mapcount;
  }
  Lruvec& LruvecOf(const Page& page) {
    return lruvecs[Has(Behaviour::kLruPerNode) ? page.zone / 2 : page.zone];
  }

  void Touch(Pfn pfn) {
    if (pages[pfn].touched != epoch) TouchFirst(pfn);
  }
  void TouchMm(int mm) { touched_mms |= 1u << mm; }
  void TouchTables(int mm) { touched_tables |= 1u << mm; }

  Task& current_task() { return tasks[current]; }
  int current_mm() const { return tasks[current].mm; }

  // The journal's entry for a page.
  void TouchFirst(Pfn pfn);
  // Back to the start of a program.
  void Reset(const Config& config);
  // Other threads' mmap_sems are free again.
  void ReleaseMmapLocks() {
    if (!mmap_lock_held) return;
    for (Mm& mm : mms) mm.held_by_other = false;
    mmap_lock_held = false;
  }
  // Starts a new journal.
  void BeginStep(const Step& new_step) {
    step = &new_step;
    current = new_step.task % kTaskSlots;
    during_passed = {};
    during_pending = (1u << new_step.during_count) - 1;
    step_events = StepEvents();
    ++epoch;
    touched_pages.clear();
    evictions.clear();
    touched_mms = touched_tables = touched_tasks = 0;
  }
};

// The call holds mm's mmap_sem for the scope.
class MmapLockHolder {
 public:
  MmapLockHolder(Machine& machine, int mm, MmapLock mode)
      : mm_(machine.mms[mm]), before_(mm_.held) {
    mm_.held = mode;
  }
  ~MmapLockHolder() { mm_.held = before_; }
  MmapLockHolder(const MmapLockHolder&) = delete;
  MmapLockHolder& operator=(const MmapLockHolder&) = delete;

 private:
  Mm& mm_;
  MmapLock before_;
};

// The call holds PG_locked of a page for the scope.
class PageLockHolder {
 public:
  PageLockHolder(Machine& machine, Pfn page)
      : machine_(machine), before_(machine.locked_page) {
    machine_.locked_page = page;
  }
  ~PageLockHolder() { machine_.locked_page = before_; }
  PageLockHolder(const PageLockHolder&) = delete;
  PageLockHolder& operator=(const PageLockHolder&) = delete;

 private:
  Machine& machine_;
  Pfn before_;
};

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_MACHINE_H_
