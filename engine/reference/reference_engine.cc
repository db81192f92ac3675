// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/reference_engine.h"

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "absl/strings/str_cat.h"
#include "engine/reference/environment.h"
#include "engine/reference/fork.h"
#include "engine/reference/machine.h"
#include "engine/reference/madvise.h"
#include "engine/reference/mlock.h"
#include "engine/reference/mmap.h"
#include "engine/reference/mprotect.h"
#include "engine/reference/mremap.h"
#include "engine/reference/object.h"
#include "engine/reference/page_table.h"
#include "engine/reference/secretmem.h"
#include "engine/reference/shm.h"

namespace lockstep::reference {
namespace {

// ftruncate: pages behind the end go, private copies too.
Outcome Ftruncate(Machine& machine, int fd, uint64_t size) {
  if (size > static_cast<uint64_t>(INT64_MAX)) return Outcome::Errno(EINVAL);
  ObjectId file = machine.files[fd];
  machine.objects[file].size = size;
  for (int mm = 0; mm < kTaskSlots; ++mm) machine.TouchMm(mm);
  TruncateObject(machine, file, ObjectPages(machine, file), ~uint64_t{0},
                 /*even_cows=*/true);
  return Outcome::Ok();
}

uint32_t RangeBitsOf(const Machine& machine, const Vma& vma) {
  uint32_t bits = 0;
  auto add = [&](uint32_t vm_flag, RangeBit bit) {
    if (vma.Is(vm_flag)) bits |= bit;
  };
  add(kVmRead, kRangeRead);
  add(kVmWrite, kRangeWrite);
  add(kVmExec, kRangeExec);
  add(kVmShared, kRangeShared);
  add(kVmLocked, kRangeLocked);
  add(kVmLockonfault, kRangeLockOnFault);
  add(kVmGrowsdown, kRangeGrowsdown);
  add(kVmHugetlb, kRangeHugetlb);
  add(kVmIo | kVmPfnmap, kRangeIo);
  add(kVmSpecial | kVmHugetlb, kRangeSpecial);
  add(kVmMayWrite, kRangeMayWrite);
  add(kVmShm, kRangeShm);
  add(kVmSecret, kRangeSecret);
  add(kVmDroppable, kRangeDroppable);
  if (vma.object != 0 &&
      machine.objects[vma.object].kind != Object::Kind::kDriver) {
    bits |= kRangeFile;
  }
  return bits;
}

// The first page behind the end of the object; the VMA's end if there is none.
Vpn EofOf(const Machine& machine, const Vma& vma) {
  if (vma.object == 0) return vma.end;
  uint64_t pages = ObjectPages(machine, vma.object);
  if (pages <= vma.pgoff) return vma.start;
  return std::min(vma.end, vma.start + Pages{pages - vma.pgoff});
}

}  // namespace

ReferenceEngine::ReferenceEngine() : machine_(std::make_unique<Machine>()) {
  machine_->Reset(Config());
}
ReferenceEngine::~ReferenceEngine() = default;

absl::Status ReferenceEngine::Reset(const Config& config) {
  machine_->Reset(config);
  return absl::OkStatus();
}

Outcome ReferenceEngine::Run(const Step& step) {
  Machine& machine = *machine_;
  machine.BeginStep(step);
  if (step.op == Op::kNone) return Outcome::Skipped();
  if (IsEnvironment(step.op)) {
    Outcome outcome = EnvironmentAction(machine, AsAction(step));
    machine.ReleaseMmapLocks();
    return outcome;
  }
  if (!machine.current_task().exists) return Outcome::Skipped();
  bool doomed = machine.current_task().fatal_signal;
  Outcome outcome = Call(step);
  machine.ReleaseMmapLocks();
  machine.step_events.fatal_signal =
      doomed || machine.current_task().fatal_signal;
  // A task with a fatal signal never gets back to its program.
  if (machine.step_events.fatal_signal && machine.current_task().exists &&
      outcome.ran()) {
    ExitTask(machine, machine.current);
  }
  return outcome;
}

Outcome ReferenceEngine::Call(const Step& step) {
  Machine& machine = *machine_;
  Task& task = machine.current_task();
  int slot = machine.current;
  uint64_t addr = step.addr.Resolve();
  switch (step.op) {
    case Op::kMmap:
      return SysMmap(machine, {addr, step.length, step.prot, step.flags,
                               static_cast<MmapSource>(step.value), step.slot,
                               step.length2});
    case Op::kMunmap:
      return SysMunmap(machine, addr, step.length);
    case Op::kMprotect:
      return SysMprotect(machine, addr, step.length, step.prot);
    case Op::kMremap:
      return SysMremap(machine, addr, step.length, step.length2, step.flags,
                       step.new_addr.Resolve());
    case Op::kBrk:
      return SysBrk(machine, addr);
    case Op::kMadvise:
      return SysMadvise(machine, addr, step.length, step.flags);
    case Op::kMsync:
      return SysMsync(machine, addr, step.length, step.flags);
    case Op::kMincore:
      return SysMincore(machine, addr, step.length);
    case Op::kMlock:
      return SysMlock(machine, addr, step.length);
    case Op::kMlock2:
      return SysMlock2(machine, addr, step.length, step.flags);
    case Op::kMunlock:
      return SysMunlock(machine, addr, step.length);
    case Op::kMlockall:
      return SysMlockall(machine, step.flags);
    case Op::kMunlockall:
      return SysMunlockall(machine);
    case Op::kFork: {
      int child = step.slot % kTaskSlots;
      if (machine.tasks[child].exists) return Outcome::Skipped();
      return SysFork(machine, child, step.value != 0);
    }
    case Op::kExec:
      return SysExec(machine);
    case Op::kExit:
      ExitTask(machine, slot);
      return Outcome::Ok();
    case Op::kSetrlimit:
      task.memlock_limit = step.length;
      machine.touched_tasks |= 1u << slot;
      return Outcome::Ok();
    case Op::kSetcap:
      task.cap_ipc_lock = step.value != 0;
      machine.touched_tasks |= 1u << slot;
      return Outcome::Ok();
    case Op::kSetuid:
      task.uid = step.slot % kUsers;
      machine.touched_tasks |= 1u << slot;
      return Outcome::Ok();
    case Op::kShmget:
      if (machine.shm[step.slot % kShmSlots].object != 0) {
        return Outcome::Skipped();
      }
      return SysShmget(machine, step.slot % kShmSlots, step.length,
                       step.value != 0);
    case Op::kShmat:
    case Op::kShmctl: {
      int segment = step.slot % kShmSlots;
      if (machine.shm[segment].object == 0) return Outcome::Skipped();
      return step.op == Op::kShmat
                 ? SysShmat(machine, segment, addr, step.flags)
                 : SysShmctl(machine, segment, step.flags);
    }
    case Op::kShmdt:
      return SysShmdt(machine, addr);
    case Op::kMemfdSecret:
      return SysMemfdSecret(machine, step.slot % kFileSlots, step.length);
    case Op::kFtruncate:
      return Ftruncate(machine, step.slot % kFileSlots, step.length);
    case Op::kTouch:
      // The task dies before it gets there.
      if (task.fatal_signal) return Outcome::Signal(SIGKILL);
      return EnvironmentAction(machine, AsAction(step));
    default:
      return Outcome::Skipped();
  }
}

void ReferenceEngine::Observe(int slot, TaskState* state) const {
  const Machine& machine = *machine_;
  const Task& task = machine.tasks[slot];
  state->exists = task.exists;
  state->ranges.clear();
  if (!task.exists) {
    std::vector<Range> ranges = std::move(state->ranges);
    *state = TaskState();
    state->ranges = std::move(ranges);
    return;
  }
  const Mm& mm = machine.mms[task.mm];
  state->cap_ipc_lock = task.cap_ipc_lock;
  state->uid = task.uid;
  state->future_locked = (mm.def_flags & kVmLocked) != 0;
  state->future_onfault = (mm.def_flags & kVmLockonfault) != 0;
  state->mm = static_cast<uint32_t>(task.mm);
  state->map_count = static_cast<uint32_t>(mm.vmas.size());
  state->locked_vm = mm.locked_vm;
  state->total_vm = mm.total_vm;
  state->memlock_limit = task.memlock_limit;
  state->brk = mm.brk;
  for (const Vma& vma : mm.vmas) {
    state->ranges.push_back(
        {vma.start, vma.end, RangeBitsOf(machine, vma), EofOf(machine, vma)});
  }
}

uint32_t ReferenceEngine::ChangedTasks() const {
  const Machine& machine = *machine_;
  uint32_t changed = machine.touched_tasks;
  if (machine.touched_mms == 0) return changed;
  for (int task = 0; task < kTaskSlots; ++task) {
    if (machine.tasks[task].exists &&
        (machine.touched_mms >> machine.tasks[task].mm & 1) != 0) {
      changed |= 1u << task;
    }
  }
  return changed;
}

PageState ReferenceEngine::ObservePage(int slot, Vpn page) const {
  const Machine& machine = *machine_;
  const Task& task = machine.tasks[slot];
  if (!task.exists) return {};
  const Vma* vma = machine.mms[task.mm].VmaAt(page);
  if (vma == nullptr) return {};
  if (vma->Is(kVmPfnmap)) return {.present = true};
  if ((GetPte(machine, task.mm, page) & kPteGuard) != 0) {
    return {.guard = true};
  }
  Mapping mapping = Lookup(machine, task.mm, page);
  if (!mapping.present) return {};
  const Page& frame = machine.page(mapping.pfn);
  return {.present = true,
          .mlocked = machine.page(frame.head).Is(kPageMlocked),
          .anonymous = machine.page(frame.head).Is(kPageAnon),
          .zero_page = mapping.pfn == 0,
          .huge = frame.compound()};
}

bool ReferenceEngine::AllPresent(int slot, Vpn start, Vpn end) const {
  const Machine& machine = *machine_;
  const Task& task = machine.tasks[slot];
  if (!task.exists) return start >= end;
  for (Vpn page = start; page < end;) {
    const Vma* vma = machine.mms[task.mm].VmaAt(page);
    if (vma == nullptr) return false;
    if (vma->Is(kVmPfnmap)) {
      page = vma->end;
      continue;
    }
    Pages run = PresentRun(machine, task.mm, page, end);
    if (run.n == 0) return false;
    page += run;
  }
  return true;
}

bool ReferenceEngine::AnyGuard(int slot, Vpn start, Vpn end) const {
  const Machine& machine = *machine_;
  const Task& task = machine.tasks[slot];
  if (!task.exists || !machine.Has(Behaviour::kMadvGuard)) return false;
  while (auto entry = NextEntry(machine, task.mm, start, end)) {
    if ((entry->raw & kPteGuard) != 0) return true;
    start = entry->page + (entry->huge ? TableSpan(machine) : Pages{1});
  }
  return false;
}

ShmState ReferenceEngine::ObserveShm(int slot) const {
  const ShmSegment& segment = machine_->shm[slot];
  if (segment.object == 0) return {};
  const Object& object = machine_->objects[segment.object];
  return {.exists = true,
          .locked = segment.locked,
          .hugetlb = object.kind == Object::Kind::kHugetlb,
          .removed = segment.removed,
          .owner = segment.owner,
          .size = segment.size};
}

Pages ReferenceEngine::LockedShm(int uid) const {
  return {machine_->locked_shm[uid]};
}

uint64_t ReferenceEngine::FileSize(int slot) const {
  return machine_->objects[machine_->files[slot]].size;
}

StepEvents ReferenceEngine::Events() const { return machine_->step_events; }

absl::Status ReferenceEngine::Counter(absl::string_view name,
                                      int64_t* value) const {
  const Machine& machine = *machine_;
  struct Event {
    absl::string_view name;
    int64_t VmEvents::*count;
  };
  static constexpr Event kEvents[] = {
      {"unevictable_pgs_culled", &VmEvents::culled},
      {"unevictable_pgs_scanned", &VmEvents::scanned},
      {"unevictable_pgs_rescued", &VmEvents::rescued},
      {"unevictable_pgs_mlocked", &VmEvents::mlocked},
      {"unevictable_pgs_munlocked", &VmEvents::munlocked},
      {"unevictable_pgs_cleared", &VmEvents::cleared},
      {"unevictable_pgs_stranded", &VmEvents::stranded},
  };
  for (const Event& event : kEvents) {
    if (event.name == name) {
      *value = machine.events.*event.count;
      return absl::OkStatus();
    }
  }
  if (name == "nr_mlock") {
    *value = 0;
    for (int64_t pages : machine.nr_mlock) *value += pages;
    return absl::OkStatus();
  }
  if (name == "nr_unevictable") {
    *value = 0;
    for (const Lruvec& lruvec : machine.lruvecs) {
      for (Pfn pfn = lruvec.lists[kUnevictable].first; pfn != 0;
           pfn = machine.page(pfn).next) {
        *value += machine.SizeOf(pfn);
      }
    }
    return absl::OkStatus();
  }
  return absl::NotFoundError(absl::StrCat(
      "unknown counter \"", name,
      "\": expected nr_mlock, nr_unevictable or unevictable_pgs_*"));
}

}  // namespace lockstep::reference
