// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/executor/observe.h"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "engine/linux/executor/credentials.h"
#include "engine/linux/executor/process.h"
#include "engine/linux/executor/session.h"
#include "engine/linux/executor/slots.h"
#include "engine/linux/executor/syscalls.h"
#include "engine/linux/executor/vmas.h"
#include "engine/linux/wire.h"
#include "engine/units.h"

namespace lockstep::executor {
namespace {

RangeList seen;
// What the quick look shows now, and what it showed when smaps was last read.
RangeList quick, quick_then;
// What the quick look showed in the last look, if that was taken.
const RangeList* last_quick;
uint64_t last_locked_vm;

uint64_t MemlockLimit() {
  rlimit limit{};
  RawSyscall(SYS_prlimit64, 0, RLIMIT_MEMLOCK, 0, AddressOf(&limit));
  return limit.rlim_cur;
}

// The heap's pages up to its last mapping.
uint64_t HeapPages(const RangeList& list) {
  uint64_t base = PageOf(kHeapBase).n, end = base;
  for (int i = 0; i < list.count; ++i) {
    if (ModelHeap().Covers(list.ranges[i].start << kPageShift)) {
      end = std::max(end, list.ranges[i].end);
    }
  }
  return std::min(end - base, wire::kHeapPages);
}

// smaps costs several times what the quick look costs. It is read after steps
// that can change what it alone shows; after others only if the quick look
// shows that something has changed. Returns what the quick look showed, if it
// was taken.
const RangeList* Look(uint64_t total_vm, const SharedState& shared) {
  if (shared.needs_smaps == 0) {
    ObserveRanges(Source::kQuick, Until::kAllSeen, total_vm, shared, &seen,
                  nullptr);
    return &seen;
  }
  if (!process.flags_changed) {
    ObserveRanges(Source::kQuick, Until::kAllSeen, total_vm, shared, &quick,
                  nullptr);
    if (SameRanges(quick, quick_then)) return &quick;
  }
  ObserveRanges(Source::kSmaps, Until::kAllSeen, total_vm, shared, &seen,
                &quick_then);
  process.flags_changed = false;
  return nullptr;
}

// LockedVmIs, for a task that may have CAP_IPC_LOCK.
IsIt AskLockedVm(uint64_t pages, const wire::TaskRecord& task) {
  if (task.cap_ipc_lock == 0) return LockedVmIs(pages, task.memlock_limit);
  uint64_t before = EffectiveCapabilities();
  SetEffectiveCapabilities(0);
  IsIt answer = LockedVmIs(pages, task.memlock_limit);
  SetEffectiveCapabilities(before);
  return answer;
}

struct Locks {
  uint64_t locked_vm;
  uint64_t image_locked;  // pages of the image that are VM_LOCKED
  // RLIMIT_MEMLOCK was enforced: CAP_IPC_LOCK was not effective.
  bool enforced;
};

// VmLck is that of the locked VMAs: the kernel is asked whether it is, and
// status read if not.
Locks FindLocks(const wire::TaskRecord& task, const RangeList& list) {
  bool enforced = false;
  for (bool image : {process.image_was_locked, true}) {
    const uint64_t image_locked = image ? ImageLocked() : 0;
    const uint64_t expected = list.locked_pages + image_locked;
    const IsIt answer = AskLockedVm(expected, task);
    enforced = answer != IsIt::kUnknown;
    if (answer == IsIt::kYes) return {expected, image_locked, enforced};
    if (!enforced || image) break;
  }
  const uint64_t locked_vm = ReadAccounting().locked_vm;
  return {locked_vm, list.locked_pages == locked_vm ? 0 : ImageLocked(),
          enforced};
}

}  // namespace

void* Writer::AppendBytes(size_t bytes) {
  if (bytes > static_cast<size_t>(end - next)) Fatal(ENOBUFS);
  char* place = next;
  next += bytes;
  for (size_t i = 0; i < bytes; ++i) place[i] = 0;
  return place;
}

void ObserveSelf(int slot, wire::Look look, SharedState* shared,
                 Writer* writer) {
  const SharedState::TaskSlot& known = shared->tasks[slot];
  auto* task = writer->Append<wire::TaskRecord>();
  task->task = static_cast<uint8_t>(slot);
  task->cap_ipc_lock = known.cap_ipc_lock;
  task->uid = known.uid;
  task->mm = known.mm;
  task->future_locked = known.future_locked;
  task->future_onfault = known.future_onfault;
  task->memlock_limit = known.memlock_limit;
  if (look == wire::Look::kNothing) return;
  if (look == wire::Look::kAccounting) {
    Accounting accounting = ReadAccounting();
    task->locked_vm = accounting.locked_vm;
    task->total_vm = accounting.total_vm;
    return;
  }
  const bool may_have_cap = known.cap_ipc_lock != 0;
  if (may_have_cap) task->cap_ipc_lock = HasIpcLock() ? 1 : 0;
  task->memlock_limit = MemlockLimit();
  task->brk =
      static_cast<uint64_t>(RawSyscall(SYS_brk, 0)) - process.layout.heap_base;
  task->total_vm = ReadTotalVm();
  last_quick = Look(task->total_vm, *shared);
  process.looked = true;
  const Locks locks = FindLocks(*task, seen);
  if (!may_have_cap && !locks.enforced) task->cap_ipc_lock = HasIpcLock();
  process.image_was_locked = locks.image_locked != 0;
  task->locked_vm = last_locked_vm = locks.locked_vm;
  task->image_locked = seen.image_locked = locks.image_locked;
  task->ranges = static_cast<uint16_t>(seen.count);
  task->heap_pages = static_cast<uint32_t>(HeapPages(seen));
  auto* ranges = static_cast<wire::RangeRecord*>(writer->AppendBytes(
      static_cast<size_t>(seen.count) * sizeof(wire::RangeRecord)));
  std::copy(seen.ranges, seen.ranges + seen.count, ranges);
  ObservePages(PageOf(kArenaBase).n, shared->program.arena_pages, seen, writer);
  ObservePages(PageOf(kHeapBase).n, task->heap_pages, seen, writer);
}

bool LooksAgree(SharedState* shared) {
  const bool hidden = shared->needs_smaps != 0;
  const Accounting accounting = ReadAccounting();
  if (process.looked && last_locked_vm != accounting.locked_vm) return false;
  if (!process.looked || last_quick == nullptr) {
    RangeList* list = hidden ? &quick : &seen;
    ObserveRanges(Source::kQuick, Until::kAllSeen, accounting.total_vm, *shared,
                  list, nullptr);
    list->image_locked =
        list->locked_pages == accounting.locked_vm ? 0 : ImageLocked();
    last_quick = list;
  } else if (last_quick == &quick) {
    quick.image_locked = seen.image_locked;
  }
  // The list that is not the quick look's.
  RangeList* whole = hidden ? &seen : &quick;
  ObserveRanges(Source::kSmaps, Until::kEnd, accounting.total_vm, *shared,
                whole, &quick_then);
  process.looked = false;
  // Where the program needs smaps, the quick look must show all but that.
  return SameRanges(*last_quick, hidden ? quick_then : *whole) &&
         last_quick->image_locked == whole->image_locked;
}

int ObserveShm(const SharedState& shared, Writer* writer) {
  int count = 0;
  for (int slot = 0; slot < kShmSlots; ++slot) {
    wire::ShmRecord record{};
    if (shared.shm[slot].id < 0 || !StatSegment(shared, slot, &record)) {
      continue;
    }
    *writer->Append<wire::ShmRecord>() = record;
    ++count;
  }
  return count;
}

}  // namespace lockstep::executor
