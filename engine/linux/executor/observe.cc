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
// shows that something has changed.
void Look(const Accounting& accounting, const SharedState& shared) {
  if (shared.needs_smaps == 0) {
    ObserveRanges(Source::kQuick, Until::kAllSeen, accounting, shared, &seen,
                  nullptr);
    return;
  }
  if (!process.flags_changed) {
    ObserveRanges(Source::kQuick, Until::kAllSeen, accounting, shared, &quick,
                  nullptr);
    if (SameRanges(quick, quick_then)) {
      seen.image_locked = quick.image_locked;
      return;
    }
  }
  ObserveRanges(Source::kSmaps, Until::kAllSeen, accounting, shared, &seen,
                &quick_then);
  process.flags_changed = false;
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
  Accounting accounting = ReadAccounting();
  task->locked_vm = accounting.locked_vm;
  task->total_vm = accounting.total_vm;
  if (look != wire::Look::kPages) return;
  task->cap_ipc_lock = HasIpcLock() ? 1 : 0;
  task->memlock_limit = MemlockLimit();
  task->brk =
      static_cast<uint64_t>(RawSyscall(SYS_brk, 0)) - process.layout.heap_base;
  Look(accounting, *shared);
  task->image_locked = seen.image_locked;
  task->ranges = static_cast<uint16_t>(seen.count);
  task->heap_pages = static_cast<uint32_t>(HeapPages(seen));
  auto* ranges = static_cast<wire::RangeRecord*>(writer->AppendBytes(
      static_cast<size_t>(seen.count) * sizeof(wire::RangeRecord)));
  std::copy(seen.ranges, seen.ranges + seen.count, ranges);
  ObservePages(PageOf(kArenaBase).n, shared->program.arena_pages, seen, writer);
  ObservePages(PageOf(kHeapBase).n, task->heap_pages, seen, writer);
}

bool LooksAgree(SharedState* shared) {
  Accounting accounting = ReadAccounting();
  ObserveRanges(Source::kQuick, Until::kAllSeen, accounting, *shared, &quick,
                nullptr);
  ObserveRanges(Source::kSmaps, Until::kEnd, accounting, *shared, &seen,
                &quick_then);
  // Where the program needs smaps, the quick look must show all but that.
  const RangeList& expected = shared->needs_smaps != 0 ? quick_then : seen;
  return SameRanges(quick, expected) && quick.image_locked == seen.image_locked;
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
