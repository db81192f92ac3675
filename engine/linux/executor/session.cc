// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/executor/session.h"

#include <cpuid.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstdint>

#include "engine/linux/executor/credentials.h"
#include "engine/linux/executor/guest_actions.h"
#include "engine/linux/executor/layout.h"
#include "engine/linux/executor/observe.h"
#include "engine/linux/executor/process.h"
#include "engine/linux/executor/slots.h"
#include "engine/linux/executor/syscalls.h"
#include "engine/linux/executor/touch.h"
#include "engine/linux/executor/vmas.h"
#include "engine/linux/wire.h"
#include "engine/range.h"
#include "engine/step.h"
#include "engine/uapi.h"
#include "engine/units.h"

namespace lockstep::executor {

constinit Process process{};

namespace {

bool Unmap(Span span) {
  return RawSyscall(SYS_munmap, span.start, span.end - span.start) == 0;
}

constexpr int kReadOnly = O_RDONLY;

// Opens `path` under the number `fd`, in place of what has it.
int OpenAs(const char* path, int fd) {
  return MoveFd(Open(path, kReadOnly), fd);
}

void OpenProcFiles() {
  struct ProcFile {
    const char* path;
    int fd;
  };
  constexpr ProcFile kFiles[] = {
      {"/proc/self/status", kStatusFd}, {"/proc/self/pagemap", kPagemapFd},
      {"/proc/self/maps", kMapsFd},     {"/proc/self/smaps", kSmapsFd},
      {"/proc/self/statm", kStatmFd},
  };
  for (const ProcFile& file : kFiles) {
    int fd = OpenAs(file.path, file.fd);
    if (fd < 0) Fatal(-fd);
  }
}

// With all permitted capabilities: pagemap shows frames to who opened it with
// CAP_SYS_ADMIN. kpageflags stays open over fork and exec.
void OpenWithPrivileges() {
  uint64_t before = EffectiveCapabilities();
  RaiseCapabilities();
  OpenProcFiles();
  if (!process.has_kpageflags) {
    process.has_kpageflags =
        RawSyscall(SYS_fcntl, kKpageflagsFd, F_GETFD) >= 0 ||
        OpenAs("/proc/kpageflags", kKpageflagsFd) >= 0;
  }
  SetEffectiveCapabilities(before);
}

// Whether smaps tells lock on fault: with a name, or (6.1) at least in a way.
bool OnfaultIsShown() {
  constexpr uint64_t kMlock2 = 325;
  int64_t page =
      RawSyscall(SYS_mmap, 0, kPageSize, uapi::kProtRead,
                 uapi::kMapPrivate | uapi::kMapAnonymous, ~uint64_t{0}, 0);
  if (IsError(page)) return false;
  auto address = static_cast<uint64_t>(page);
  bool shown = false;
  if (RawSyscall(kMlock2, address, kPageSize, uapi::kMlockOnfault) == 0) {
    VmaInfo vma;
    shown = VmaWalk(Source::kSmaps, address).Next(&vma) &&
            (vma.bits & kRangeLockOnFault) != 0;
  }
  RawSyscall(SYS_munmap, address, kPageSize);
  return shown;
}

void LearnLayout() {
  Layout& layout = process.layout;
  auto brk = static_cast<uint64_t>(RawSyscall(SYS_brk, 0));
  layout.heap_base = PageAlign(brk);
  RawSyscall(SYS_brk, layout.heap_base);
  layout.image_count = 0;
  layout.image_lockable = layout.image_other = 0;
  VmaWalk walk(Source::kSmaps, 0);
  VmaInfo vma;
  while (walk.Next(&vma)) {
    if (layout.image_count == kMaxImageVmas) Fatal(E2BIG);
    bool special = (vma.bits & kRangeSpecial) != 0;
    // [vdso] and its data, which nothing here calls, and the first stack: every
    // walk over the image would pay for their VMAs.
    const bool unused = special || vma.span.Covers(process.kernel_stack);
    if (unused && process.whole_image && Unmap(vma.span)) continue;
    layout.image[layout.image_count++] = {vma.span, special};
    uint64_t pages = PagesOf(vma.span.end - vma.span.start).n;
    (special ? layout.image_other : layout.image_lockable) += pages;
  }
  Accounting accounting = ReadAccounting();
  layout.total_vm = accounting.total_vm;
  layout.locked_vm = accounting.locked_vm;
}

// The end of the addresses from `at` on that the image has without a gap: its
// own VMAs may become one VMA when their locks come and go.
uint64_t ImageRunEnd(uint64_t at) {
  const Layout& layout = process.layout;
  for (int i = 0; i < layout.image_count; ++i) {
    if (layout.image[i].span.start == at) at = layout.image[i].span.end;
  }
  return at;
}

// The image as it was, and nothing besides.
bool LayoutIsAsLearned() {
  const Layout& layout = process.layout;
  Accounting accounting = ReadAccounting();
  if (accounting.total_vm != layout.total_vm ||
      accounting.locked_vm != layout.locked_vm) {
    return false;
  }
  // With total_vm as it was, VMAs that are all within the image are the image.
  VmaWalk walk(Source::kQuick, 0, Names::kNone);
  VmaInfo vma;
  while (walk.Next(&vma)) {
    bool within = false;
    for (int i = 0; i < layout.image_count && !within; ++i) {
      const Span& image = layout.image[i].span;
      within = image.Covers(vma.span.start) &&
               vma.span.end <= ImageRunEnd(image.start);
    }
    if (!within) return false;
  }
  return true;
}

bool SetMemlockLimit(uint64_t soft) {
  rlimit limit{soft, process.hard_memlock_limit};
  return RawSyscall(SYS_prlimit64, 0, RLIMIT_MEMLOCK, AddressOf(&limit), 0) ==
         0;
}

// Mappings outside arena and heap: all that is not the image's.
bool UnmapPlaced() {
  const Layout& layout = process.layout;
  uint64_t from = 0;
  VmaInfo vma;
  while (VmaWalk(Source::kQuick, from, Names::kNone).Next(&vma)) {
    from = vma.span.end;
    if (!layout.InImage(vma.span) && !Unmap(vma.span)) return false;
  }
  return true;
}

void SetTransparentHugepage(bool wanted) {
  RawSyscall(SYS_prctl, PR_SET_THP_DISABLE, wanted ? 0 : 1, 0, 0, 0);
}

// Intel SDM, CPUID leaf 7, ECX bit 4: CR4.PKE is set.
bool HasProtectionKeys() {
  constexpr unsigned kOspke = 1u << 4;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 &&
         (ecx & kOspke) != 0;
}

}  // namespace

void AdoptProcess() {
  // A change of the user would otherwise give /proc/self to root.
  RawSyscall(SYS_prctl, PR_SET_DUMPABLE, 1);
  process.permitted = PermittedCapabilities();
  process.own_uid = static_cast<uint32_t>(RawSyscall(SYS_getuid));
  rlimit limit{};
  RawSyscall(SYS_prlimit64, 0, RLIMIT_MEMLOCK, 0, AddressOf(&limit));
  process.hard_memlock_limit = limit.rlim_max;
  process.own_memlock_limit = limit.rlim_cur;
  OpenWithPrivileges();
  process.has_procmap = ProbeProcmapQuery();
  process.shows_onfault = OnfaultIsShown();
  process.shows_guards = GuardsAreShown();
  process.has_protection_keys = HasProtectionKeys();
  LearnLayout();
  if (int error = CatchFaults(0); error != 0) Fatal(error);
}

void AdoptFork(int slot, SharedState*) {
  // A new address space has fewer locks.
  process.flags_changed = true;
  process.looked = process.image_was_locked = false;
  OpenWithPrivileges();
  if (int error = CatchFaults(slot); error != 0) Fatal(error);
}

void AdoptExec(int slot, SharedState* shared) {
  AdoptProcess();
  process.own_uid = shared->own_uid;
  if (int error = CatchFaults(slot); error != 0) Fatal(error);
  int error = LimitCapabilities(shared->tasks[slot].cap_ipc_lock != 0);
  if (error != 0) Fatal(error);
}

int BeginProgram(const wire::ProgramHeader& header, SharedState* shared) {
  if (header.arena_pages > wire::kMaxArenaPages ||
      header.file_size > wire::kPopulateBudgetPages << kPageShift) {
    return EFBIG;
  }
  if (header.memlock_limit > process.hard_memlock_limit) return EINVAL;
  shared->program = header;
  shared->needs_smaps = 0;
  shared->fail_allocation = 0;
  shared->own_uid = process.own_uid;
  for (SharedState::TaskSlot& task : shared->tasks) task = {};
  SharedState::TaskSlot& task = shared->tasks[0];
  task.exists = 1;
  task.cap_ipc_lock = header.cap_ipc_lock;
  task.memlock_limit = header.memlock_limit;
  process.placed_pages = 0;
  process.flags_changed = true;
  process.looked = process.image_was_locked = false;
  if (int error = OpenSlots(header.file_size, shared); error != 0) return error;
  SetTransparentHugepage(header.transparent_hugepage != 0);
  if (!SetMemlockLimit(header.memlock_limit)) return EPERM;
  task.uid = header.uid % kUsers;
  if (task.uid != 0) {
    return BecomeUser(UidOf(task.uid), header.cap_ipc_lock != 0);
  }
  return LimitCapabilities(header.cap_ipc_lock != 0);
}

bool EndProgram(SharedState* shared) {
  const Layout& layout = process.layout;
  const SharedState::TaskSlot& task = shared->tasks[0];
  bool good = RawSyscall(SYS_munlockall) == 0;
  good &= Unmap(Arena(wire::kMaxArenaPages));
  RawSyscall(SYS_brk, layout.heap_base);
  good &= Unmap(layout.RealHeap());
  if (process.placed_pages != 0) good &= UnmapPlaced();
  if (task.uid != 0) good &= BecomeUser(process.own_uid, false) == 0;
  good &= ResetSlots(shared);
  good &= SetMemlockLimit(process.own_memlock_limit);
  good &= LimitCapabilities(false) == 0;
  return good && LayoutIsAsLearned();
}

bool NeedsOwnProcess(const Step* steps, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    switch (steps[i].op) {
      case Op::kFork:
      case Op::kExec:
      case Op::kExit:
      case Op::kSetuid:
        return true;
      default:
        break;
    }
  }
  return false;
}

uint64_t ImageLockablePages() { return process.layout.image_lockable; }
uint64_t ImageOtherPages() { return process.layout.image_other; }

uint32_t WhatIsSeen() {
  return (process.has_kpageflags ? wire::kSeesPageFlags : 0u) |
         (process.shows_onfault ? wire::kSeesOnfault : 0u) |
         (guest_actions != nullptr ? wire::kSeesCounters : 0u) |
         (process.shows_guards ? wire::kSeesGuards : 0u) |
         (process.has_protection_keys ? wire::kHasProtectionKeys : 0u);
}

}  // namespace lockstep::executor
