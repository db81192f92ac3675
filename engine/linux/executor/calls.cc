// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// RunCall: steps as system calls.

#include <sys/resource.h>

#include <cerrno>
#include <cstdint>

#include "engine/linux/executor/bounds.h"
#include "engine/linux/executor/credentials.h"
#include "engine/linux/executor/guest_actions.h"
#include "engine/linux/executor/process.h"
#include "engine/linux/executor/session.h"
#include "engine/linux/executor/slots.h"
#include "engine/linux/executor/syscalls.h"
#include "engine/linux/executor/touch.h"
#include "engine/linux/executor/vmas.h"
#include "engine/outcome.h"
#include "engine/step.h"
#include "engine/uapi.h"
#include "engine/units.h"

#ifndef SYS_mlock2
#define SYS_mlock2 325
#endif

namespace lockstep::executor {
namespace {

constexpr uint32_t kMapDroppable = 0x08;  // a map type (6.11)
// One byte a page of what can be mapped in one piece.
unsigned char mincore_vector[2 * wire::kPopulateBudgetPages];

struct Call {
  const Step& step;
  int task;
  SharedState* shared;

  uint64_t addr() const { return ToReal(process.layout, step.addr.Resolve()); }
  uint64_t new_addr() const {
    return ToReal(process.layout, step.new_addr.Resolve());
  }
  SharedState::TaskSlot& task_slot() const { return shared->tasks[task]; }
};

Outcome FromResult(int64_t result) {
  return IsError(result) ? Outcome::Errno(static_cast<int>(-result))
                         : Outcome::Ok(result);
}

// A call whose arguments are addr, length and a third.
Outcome OnRange(int64_t number, const Call& call, uint64_t third = 0) {
  return FromResult(RawSyscall(number, call.addr(), call.step.length, third));
}

// The address that a mapping call returned, of that many bytes.
Outcome FromPlace(int64_t result, uint64_t bytes, const Call& call) {
  if (IsError(result)) return FromResult(result);
  auto address = static_cast<uint64_t>(result);
  if (!Arena(call.shared->program.arena_pages).Covers(address) &&
      !process.layout.RealHeap().Covers(address)) {
    process.placed_pages += PagesOf(PageAlign(bytes)).n;
  }
  return Outcome::Ok(static_cast<int64_t>(ToModel(process.layout, address)));
}

int MappedFd(const Call& call) {
  if ((call.step.flags & uapi::kMapAnonymous) != 0) return -1;
  int slot = call.step.slot % kFileSlots;
  if (static_cast<MmapSource>(call.step.value) == MmapSource::kSecret) {
    const SharedState::FileSlot& secret = call.shared->secrets[slot];
    return secret.made != 0 ? secret.fd : -1;
  }
  process.files_changed = true;
  return call.shared->files[slot].fd;
}

// Remembers the size of a new object of shared anonymous memory.
void RememberZeroObject(uint64_t address, uint64_t bytes, SharedState* shared) {
  VmaInfo vma;
  if (!VmaWalk(Source::kQuick, address).Next(&vma)) return;
  if (vma.kind != VmaInfo::Kind::kZero) return;
  shared->zero[shared->zero_count++] = {vma.inode, PageAlign(bytes)};
}

Outcome Mmap(const Call& call) {
  const Step& step = call.step;
  bool anonymous = (step.flags & uapi::kMapAnonymous) != 0;
  uint32_t type = step.flags & uapi::kMapType;
  bool zero = anonymous && type == uapi::kMapShared;
  if (zero && call.shared->zero_count == kMaxZeroObjects) {
    return Outcome::Unsupported();
  }
  int64_t result = RawSyscall(SYS_mmap, call.addr(), step.length, step.prot,
                              step.flags, static_cast<uint64_t>(MappedFd(call)),
                              step.length2 << kPageShift);
  if (IsError(result)) return FromResult(result);
  if (zero) {
    RememberZeroObject(static_cast<uint64_t>(result), step.length, call.shared);
  }
  if ((step.flags & (uapi::kMapGrowsdown | uapi::kMapHugetlb)) != 0 ||
      type == kMapDroppable) {
    call.shared->needs_smaps = 1;
  }
  return FromPlace(result, step.length, call);
}

Outcome Munmap(const Call& call) { return OnRange(SYS_munmap, call); }
Outcome Mprotect(const Call& call) {
  return OnRange(SYS_mprotect, call, call.step.prot);
}
Outcome Mremap(const Call& call) {
  const Step& step = call.step;
  int64_t result = RawSyscall(SYS_mremap, call.addr(), step.length,
                              step.length2, step.flags, call.new_addr());
  return FromPlace(result, step.length2, call);
}

// The system call returns the break, whether it moved it or not.
Outcome Brk(const Call& call) {
  uint64_t model = call.step.addr.Resolve();
  uint64_t target = model;
  // Below the base it may not go: here something else of the image may be
  // there, so a break below any is asked for.
  if (model < kHeapBase) target = 0;
  if (ModelHeapReach().Covers(model)) target = call.addr();
  int64_t result = RawSyscall(SYS_brk, target);
  return Outcome::Ok(static_cast<int64_t>(
      ToModel(process.layout, static_cast<uint64_t>(result))));
}

Outcome Madvise(const Call& call) {
  return OnRange(SYS_madvise, call, call.step.flags);
}
Outcome Msync(const Call& call) {
  return OnRange(SYS_msync, call, call.step.flags);
}
Outcome Mincore(const Call& call) {
  return OnRange(SYS_mincore, call, AddressOf(mincore_vector));
}
Outcome Mlock(const Call& call) { return OnRange(SYS_mlock, call); }
Outcome Mlock2(const Call& call) {
  Outcome outcome = OnRange(SYS_mlock2, call, call.step.flags);
  // A refusal after VMAs were marked keeps them marked.
  if ((call.step.flags & uapi::kMlockOnfault) != 0 && !outcome.Is(EINVAL) &&
      !outcome.Is(EPERM) && !outcome.Is(ENOSYS)) {
    call.shared->needs_smaps = 1;
  }
  return outcome;
}
Outcome Munlock(const Call& call) { return OnRange(SYS_munlock, call); }

// def_flags are the address space's: those who share it know.
void SetFuture(const Call& call, bool locked, bool onfault) {
  uint8_t mm = call.task_slot().mm;
  for (SharedState::TaskSlot& task : call.shared->tasks) {
    if (task.exists == 0 || task.mm != mm) continue;
    task.future_locked = locked ? 1 : 0;
    task.future_onfault = onfault ? 1 : 0;
  }
}

Outcome Mlockall(const Call& call) {
  uint32_t flags = call.step.flags;
  int64_t result = RawSyscall(SYS_mlockall, flags);
  if (result == 0) {
    bool future = (flags & uapi::kMclFuture) != 0;
    bool onfault = (flags & uapi::kMclOnfault) != 0;
    SetFuture(call, future, future && onfault);
    if (onfault) call.shared->needs_smaps = 1;
  }
  return FromResult(result);
}
Outcome Munlockall(const Call& call) {
  int64_t result = RawSyscall(SYS_munlockall);
  if (result == 0) SetFuture(call, false, false);
  return FromResult(result);
}

Outcome Setrlimit(const Call& call) {
  rlimit limit{call.step.length, process.hard_memlock_limit};
  int64_t result =
      RawSyscall(SYS_prlimit64, 0, RLIMIT_MEMLOCK, AddressOf(&limit), 0);
  if (result == 0) call.task_slot().memlock_limit = call.step.length;
  return FromResult(result);
}

Outcome Setcap(const Call& call) {
  bool ipc_lock = call.step.value != 0;
  if (LimitCapabilities(ipc_lock) != 0) return Outcome::Unsupported();
  call.task_slot().cap_ipc_lock = ipc_lock ? 1 : 0;
  return Outcome::Ok();
}

Outcome Setuid(const Call& call) {
  int user = call.step.slot % kUsers;
  SharedState::TaskSlot& task = call.task_slot();
  if (user == task.uid) return Outcome::Ok();
  int error = BecomeUser(UidOf(user), task.cap_ipc_lock != 0);
  if (error != 0) return Outcome::Unsupported();
  task.uid = static_cast<uint8_t>(user);
  return Outcome::Ok();
}

Outcome DoShmget(const Call& call) {
  if (call.step.value != 0) call.shared->needs_smaps = 1;
  return Shmget(call.step, call.task, call.shared);
}
Outcome DoShmat(const Call& call) {
  int64_t result = Shmat(call.step, call.addr(), *call.shared);
  if (!IsError(result) && (call.step.flags & uapi::kShmRdonly) != 0) {
    call.shared->needs_smaps = 1;
  }
  int slot = call.step.slot % kShmSlots;
  return FromPlace(result, call.shared->shm[slot].size, call);
}
Outcome Shmdt(const Call& call) {
  return FromResult(RawSyscall(SYS_shmdt, call.addr()));
}
Outcome DoShmctl(const Call& call) { return Shmctl(call.step, call.shared); }
Outcome DoMemfdSecret(const Call& call) {
  return MemfdSecret(call.step, call.shared);
}
Outcome DoFtruncate(const Call& call) {
  return FtruncateFile(call.step, call.shared);
}

Outcome Touch(const Call& call) {
  int signal = TouchByte(call.addr(), call.step.value != 0);
  return signal == 0 ? Outcome::Ok() : Outcome::Signal(signal);
}

Outcome Skip(const Call&) { return Outcome::Skipped(); }

struct Row {
  Op op;
  Outcome (*run)(const Call& call);
  // Can change flags of VMAs that smaps alone shows while bounds, protection
  // and VM_LOCKED stay.
  bool changes_flags;
};
// Ops that MayRun lets through.
constexpr Row kRows[] = {
    {Op::kNone, Skip, false},
    {Op::kMmap, Mmap, true},
    {Op::kMunmap, Munmap, false},
    {Op::kMprotect, Mprotect, false},
    {Op::kMremap, Mremap, true},
    {Op::kBrk, Brk, true},
    {Op::kMadvise, Madvise, false},
    {Op::kMsync, Msync, false},
    {Op::kMincore, Mincore, false},
    {Op::kMlock, Mlock, true},
    {Op::kMlock2, Mlock2, true},
    {Op::kMunlock, Munlock, false},
    {Op::kMlockall, Mlockall, true},
    {Op::kMunlockall, Munlockall, false},
    {Op::kSetrlimit, Setrlimit, false},
    {Op::kSetcap, Setcap, false},
    {Op::kSetuid, Setuid, false},
    {Op::kShmget, DoShmget, false},
    {Op::kShmat, DoShmat, true},
    {Op::kShmdt, Shmdt, false},
    {Op::kShmctl, DoShmctl, false},
    {Op::kMemfdSecret, DoMemfdSecret, false},
    {Op::kFtruncate, DoFtruncate, false},
    {Op::kTouch, Touch, false},
};

// A step on an empty slot, or, to create, on a full one.
bool IsSkipped(const Step& step, SharedState* shared) {
  switch (step.op) {
    case Op::kShmget:
    case Op::kShmat:
    case Op::kShmctl: {
      int slot = step.slot % kShmSlots;
      ForgetDestroyedSegment(slot, shared);
      return (shared->shm[slot].id >= 0) == (step.op == Op::kShmget);
    }
    case Op::kMemfdSecret:
      return shared->secrets[step.slot % kFileSlots].made != 0;
    default:
      return step.op == Op::kNone;
  }
}

}  // namespace

Bounds BoundsFor(const Step& step, const SharedState& shared) {
  return {.layout = &process.layout,
          .arena_pages = shared.program.arena_pages,
          .placed_pages = process.placed_pages,
          .segment_bytes = shared.shm[step.slot % kShmSlots].size,
          .hard_memlock_limit = process.hard_memlock_limit,
          .hugetlb_pool = shared.program.nr_hugepages != 0};
}

namespace {

// What happens to the machine or to a page of the task; only a guest's machine
// is ours.
Outcome Environment(const Step& step, SharedState* shared) {
  if (guest_actions == nullptr || step.during_count != 0) {
    return Outcome::Unsupported();
  }
  const uint64_t address = ToReal(process.layout, step.addr.Resolve());
  const bool of_page =
      (step.op == Op::kReclaim && step.value != 0) || step.op == Op::kCollapse;
  if (of_page && !Arena(shared->program.arena_pages).Covers(address) &&
      !process.layout.RealHeap().Covers(address)) {
    return Outcome::Skipped();
  }
  return guest_actions->act(step, address, shared);
}

// With a page allocation that is to fail.
Outcome RunShort(const Row& row, const Call& call) {
  SharedState* shared = call.shared;
  // A fault that finds no memory in its control group is tried again until
  // there is some (pagefault_out_of_memory()).
  if (call.step.op == Op::kTouch || guest_actions == nullptr ||
      !guest_actions->limit_memory(shared->fail_allocation)) {
    return Outcome::Unsupported();
  }
  const Outcome outcome = row.run(call);
  shared->fail_allocation = guest_actions->lift_limit();
  if (shared->fail_allocation == 0) {
    shared->step_flags |= wire::kStepAllocationFailed;
  }
  return outcome;
}

}  // namespace

Outcome RunCall(const Step& step, int slot, SharedState* shared) {
  shared->step_flags = 0;
  process.looked = false;
  if (IsEnvironment(step.op)) return Environment(step, shared);
  if (IsSkipped(step, shared)) return Outcome::Skipped();
  if (!MayRun(step, BoundsFor(step, *shared))) return Outcome::Unsupported();
  for (const Row& row : kRows) {
    if (row.op != step.op) continue;
    process.flags_changed |= row.changes_flags;
    const Call call = {step, slot, shared};
    return shared->fail_allocation == 0 ? row.run(call) : RunShort(row, call);
  }
  return Outcome::Unsupported();
}

}  // namespace lockstep::executor
