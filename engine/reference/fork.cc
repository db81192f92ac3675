// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/fork.h"

#include <cerrno>

#include "engine/check.h"
#include "engine/reference/mmap.h"
#include "engine/reference/page_alloc.h"
#include "engine/reference/page_table.h"
#include "engine/reference/rmap.h"
#include "engine/reference/vma.h"

namespace lockstep::reference {
namespace {

int FreeMm(const Machine& machine) {
  for (int mm = 0; mm < kTaskSlots; ++mm) {
    if (machine.mms[mm].users == 0) return mm;
  }
  LOCKSTEP_CHECK(false);  // there are as many as tasks
}

// copy_page_range: what faults could not bring back the child gets now.
void CopyPageRange(Machine& machine, int parent, int child, const Vma& vma) {
  // Special mappings keep driver pages that no fault brings in again.
  if (vma.anon_vma == 0 && !vma.maybe_guard &&
      !vma.Is(kVmHugetlb | kVmMixedmap)) {
    return;
  }
  if (vma.Is(kVmHugetlb) && vma.Is(kVmShared) &&
      machine.Has(Behaviour::kForkSkipsSharedHugetlb)) {
    return;
  }
  bool cow = !vma.Is(kVmShared) && vma.Is(kVmMayWrite);
  for (Vpn at = vma.start;
       auto entry = NextEntry(machine, parent, at, vma.end);) {
    uint32_t raw = cow ? entry->raw & ~uint32_t{kPteWrite} : entry->raw;
    Pfn pfn = PfnOf(raw);
    if (entry->huge) {
      FindTable(machine, parent, entry->page)->huge = raw;
      SetHugePmd(machine, child, entry->page, raw);
      PageAddRmap(machine, pfn, child, entry->page, /*huge=*/true);
      GetPage(machine, pfn);
      at = entry->page + TableSpan(machine);
      continue;
    }
    SetPte(machine, parent, entry->page, raw);
    SetPte(machine, child, entry->page, raw);
    if ((raw & kPtePresent) != 0 && pfn != 0) {
      PageAddRmap(machine, pfn, child, entry->page, /*huge=*/false);
      GetPage(machine, machine.HeadOf(pfn));
    }
    at = entry->page + Pages{1};
  }
}

// An address space without mappings.
void EmptyMm(Machine& machine, int mm) {
  Mm& space = machine.mms[mm];
  space.vmas.clear();
  space.tables.clear();
  space.last_table = kNoTable;
  space.total_vm = Pages{machine.config.image_pages};
  space.locked_vm = Pages{0};
  space.brk = kHeapBase;
  space.def_flags = 0;
  space.users = 1;
  space.held = MmapLock::kNone;
  space.held_by_other = false;
  machine.TouchMm(mm);
}

// dup_mmap: no lock is inherited, neither of VMAs nor for the future.
void DupMmap(Machine& machine, int parent, int child) {
  const Mm& from = machine.mms[parent];
  EmptyMm(machine, child);
  Mm& to = machine.mms[child];
  to.total_vm = from.total_vm;
  to.brk = from.brk;
  for (const Vma& vma : from.vmas) {
    if (vma.Is(kVmDontcopy)) {
      to.total_vm -= vma.pages();
      continue;
    }
    Vma copy = vma;
    copy.flags &= ~(kVmLockedMask | kVmResvMask);
    const bool wiped = vma.Is(kVmWipeonfork);
    // anon_vma_fork: one of its own for each VMA.
    copy.forked = copy.anon_vma != 0 && !wiped;
    copy.anon_vma = copy.forked ? machine.next_anon_vma++ : 0;
    InsertVma(machine, child, copy);
    if (!wiped) CopyPageRange(machine, parent, child, vma);
  }
}

void PutMm(Machine& machine, int mm) {
  machine.TouchMm(mm);
  if (--machine.mms[mm].users == 0) ExitMmap(machine, mm);
}

}  // namespace

void InitMm(Machine& machine, int mm) {
  EmptyMm(machine, mm);
  const Pages image{machine.config.image_lockable_pages};
  if (image.n == 0) return;
  Vma vma;
  vma.start = PageOf(kImageBase);
  vma.end = vma.start + image;
  vma.flags = kVmRead | kVmWrite | kVmMayWrite;
  vma.pgoff = vma.start.n;
  InsertVma(machine, mm, vma);
  machine.mms[mm].total_vm += image;
}

Outcome SysFork(Machine& machine, int child, bool share_vm) {
  Task& parent = machine.current_task();
  // copy_process() gives up on any pending signal.
  if (parent.fatal_signal) return Outcome::Errno(EINTR);
  int mm = parent.mm;
  if (share_vm) {
    ++machine.mms[mm].users;
  } else {
    MmapLockHolder lock(machine, mm, MmapLock::kWrite);
    mm = FreeMm(machine);
    DupMmap(machine, parent.mm, mm);
  }
  machine.tasks[child] = parent;
  machine.tasks[child].mm = mm;
  machine.touched_tasks |= 1u << child;
  return Outcome::Ok(child);
}

Outcome SysExec(Machine& machine) {
  Task& task = machine.current_task();
  PutMm(machine, task.mm);
  task.mm = FreeMm(machine);
  InitMm(machine, task.mm);
  machine.touched_tasks |= 1u << machine.current;
  return Outcome::Ok();
}

void ExitTask(Machine& machine, int slot) {
  Task& task = machine.tasks[slot];
  PutMm(machine, task.mm);
  task = Task();
  machine.touched_tasks |= 1u << slot;
}

}  // namespace lockstep::reference
