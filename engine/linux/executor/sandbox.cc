// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/executor/sandbox.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstddef>

#include "engine/linux/executor/guest_actions.h"
#include "engine/linux/executor/raw_syscall.h"
#include "engine/linux/wire.h"
#include "engine/units.h"

namespace lockstep::executor {

const char kSelfPath[] = "/proc/self/exe";

namespace {

constexpr uint32_t kAllow = SECCOMP_RET_ALLOW;
constexpr uint32_t kKill = SECCOMP_RET_KILL_PROCESS;

// A call with (argument & mask) == value gets the action; mask 0: every call.
// The first rule that fits decides, and a call that none fits is killed.
struct Rule {
  int call;
  uint32_t action = kAllow;
  int argument = 0;
  uint64_t mask = 0;
  uint64_t value = 0;
  const char* string = nullptr;  // its address is the value
};

constexpr uint64_t kAll = ~uint64_t{0};
// int and unsigned int arguments: the kernel does not look at the upper half.
constexpr uint64_t kInt = 0xffffffff;
// Strings of the image itself: it ends far below 16 MiB.
constexpr uint64_t kNotInImage = ~uint64_t{0xffffff};

constexpr uint64_t kProcmapQuery = 0xc0686611;  // PROCMAP_QUERY, 6.11
constexpr int kMadvHwpoison = 100;
constexpr int kMadvSoftOffline = 101;
constexpr uint64_t kFork = CLONE_PARENT | SIGCHLD;

constexpr Rule kRules[] = {
    // Each look's: their arguments are looked at every time, while of a call
    // that is always allowed the kernel remembers that (since 5.11).
    {SYS_ioctl, kAllow, 1, kInt, kProcmapQuery},
    {SYS_prlimit64, kAllow, 1, kInt, RLIMIT_MEMLOCK},
    {SYS_prlimit64, kAllow, 2, kAll, 0},  // only asks
    // What steps are made of.
    {SYS_mmap},
    {SYS_munmap},
    {SYS_mprotect},
    {SYS_mremap},
    {SYS_brk},
    {SYS_madvise, kKill, 2, kInt, kMadvHwpoison},
    {SYS_madvise, kKill, 2, kInt, kMadvSoftOffline},
    {SYS_madvise},
    {SYS_msync},
    {SYS_mincore},
    {SYS_mlock},
    {SYS_mlock2},
    {SYS_munlock},
    {SYS_mlockall},
    {SYS_munlockall},
    {SYS_shmget},
    {SYS_shmat},
    {SYS_shmdt},
    {SYS_shmctl, kKill, 1, kInt, 1},  // IPC_SET gives a segment away
    {SYS_shmctl},
    {SYS_memfd_create},
    {SYS_memfd_secret},
    {SYS_ftruncate},
    {SYS_setrlimit, kAllow, 0, kInt, RLIMIT_MEMLOCK},
    {SYS_getrlimit},
    {SYS_capget},
    {SYS_capset},
    {SYS_setuid},
    {SYS_setgid},
    {SYS_setresuid},
    {SYS_setresgid},
    {SYS_setgroups},
    {SYS_clone, kAllow, 0, kAll, kFork},
    {SYS_clone, kAllow, 0, kAll, kFork | CLONE_VM},
    {SYS_execve, kAllow, 0, kAll, 0, kSelfPath},
    {SYS_exit},
    {SYS_exit_group},
    // Looking.
    {SYS_pread64},
    {SYS_read},
    {SYS_lseek},
    {SYS_openat, kKill, 2, O_WRONLY, O_WRONLY},
    {SYS_openat, kKill, 2, O_RDWR, O_RDWR},
    {SYS_openat, kKill, 2, O_CREAT, O_CREAT},
    {SYS_openat, kAllow, 1, kNotInImage, 0},
    {SYS_write, kAllow, 0, kInt, kAgentFd},
    {SYS_close},
    {SYS_dup3},
    {SYS_fstat},
    {SYS_fcntl, kAllow, 1, kInt, F_GETFD},
    {SYS_fcntl, kAllow, 1, kInt, F_SETFD},
    {SYS_fcntl, kAllow, 1, kInt, F_DUPFD},
    {SYS_getrusage},
    {SYS_getpid},
    {SYS_getppid},
    {SYS_gettid},
    {SYS_getuid},
    {SYS_geteuid},
    {SYS_futex},
    {SYS_rt_sigreturn},
    {SYS_rt_sigaction},
    {SYS_rt_sigprocmask},
    {SYS_sigaltstack},
    {SYS_prctl, kAllow, 0, kInt, PR_SET_PDEATHSIG},
    {SYS_prctl, kAllow, 0, kInt, PR_SET_DUMPABLE},
    {SYS_prctl, kAllow, 0, kInt, PR_SET_KEEPCAPS},
    {SYS_prctl, kAllow, 0, kInt, PR_SET_THP_DISABLE},
    {SYS_prctl, kAllow, 0, kInt, PR_CAP_AMBIENT},
};

// seccomp_data's argument: lower half first.
constexpr uint32_t OffsetOfArgument(int argument, int half) {
  return static_cast<uint32_t>(offsetof(seccomp_data, args)) +
         static_cast<uint32_t>(argument) * 8 + static_cast<uint32_t>(half) * 4;
}

constexpr size_t kMaxFilter = 1024;

// A filter as it is put together.
class Filter {
 public:
  void Add(const Rule& rule) {
    Load(offsetof(seccomp_data, nr));
    // Where a comparison fails it goes on behind the rule: patched below.
    const size_t begin = size_;
    JumpUnlessEqual(static_cast<uint32_t>(rule.call));
    const uint64_t value =
        rule.string != nullptr ? Argument(rule.string) : rule.value;
    for (int half = 0; half < 2; ++half) {
      const auto mask = static_cast<uint32_t>(rule.mask >> 32 * half);
      if (mask == 0) continue;
      Load(OffsetOfArgument(rule.argument, half));
      Append(BPF_ALU | BPF_AND | BPF_K, mask);
      JumpUnlessEqual(static_cast<uint32_t>(value >> 32 * half) & mask);
    }
    Return(rule.action);
    for (size_t i = begin; i < size_; ++i) {
      if (BPF_CLASS(code_[i].code) == BPF_JMP) {
        code_[i].jf = static_cast<uint8_t>(size_ - i - 1);
      }
    }
  }
  // Calls of another ABI have other numbers.
  void RefuseOtherAbis() {
    Load(offsetof(seccomp_data, arch));
    Append(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64);
    code_[size_ - 1].jt = 1;
    Return(kKill);
  }
  void Return(uint32_t action) { Append(BPF_RET | BPF_K, action); }

  int64_t Install() {
    sock_fprog program = {static_cast<unsigned short>(size_), code_};
    return RawSyscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
  }

 private:
  void Append(uint32_t code, uint32_t value) {
    code_[size_++] = {static_cast<uint16_t>(code), 0, 0, value};
  }
  void Load(size_t offset) {
    Append(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset));
  }
  void JumpUnlessEqual(uint32_t value) {
    Append(BPF_JMP | BPF_JEQ | BPF_K, value);
  }

  sock_filter code_[kMaxFilter] = {};
  size_t size_ = 0;
};
static_assert(sizeof(kRules) / sizeof(kRules[0]) * 9 + 8 < kMaxFilter);

struct Limit {
  int resource;
  uint64_t value;
};
constexpr Limit kLimits[] = {
    {RLIMIT_AS, kAddressSpaceBytes},
    {RLIMIT_CORE, 0},
    {RLIMIT_CPU, 600},  // seconds, of one process: a batch takes a few
    {RLIMIT_FSIZE, wire::kPopulateBudgetPages << kPageShift},
    {RLIMIT_MSGQUEUE, 0},
    {RLIMIT_NOFILE, 256},
};

// Soft and hard limit; never raises a limit.
void SetLimits() {
  for (const Limit& limit : kLimits) {
    rlimit now;
    if (RawSyscall(SYS_prlimit64, 0, limit.resource, nullptr, &now) != 0) {
      continue;
    }
    if (now.rlim_max > limit.value) now.rlim_max = limit.value;
    if (now.rlim_cur > now.rlim_max) now.rlim_cur = now.rlim_max;
    RawSyscall(SYS_prlimit64, 0, limit.resource, &now, nullptr);
  }
}

// What the session raises for moments: locking and users for steps, and
// CAP_SYS_ADMIN to open its own pagemap with page frame numbers.
constexpr int kKeptCapabilities[] = {CAP_IPC_LOCK, CAP_SETUID, CAP_SETGID,
                                     CAP_SYS_ADMIN};

void DropCapabilities() {
  uint64_t kept = 0;
  for (int capability : kKeptCapabilities) kept |= uint64_t{1} << capability;
  for (int capability = 0; capability < 64; ++capability) {
    if ((kept >> capability & 1) == 0) {
      RawSyscall(SYS_prctl, PR_CAPBSET_DROP, capability, 0, 0, 0);
    }
  }
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2];
  if (RawSyscall(SYS_capget, &header, data) != 0) return;
  for (int word = 0; word < 2; ++word) {
    const auto mask = static_cast<uint32_t>(kept >> 32 * word);
    data[word].permitted &= mask;
    data[word].effective &= mask;
    data[word].inheritable = 0;
  }
  RawSyscall(SYS_capset, &header, data);
}

// In static storage: too large for the stack that every child inherits.
constinit Filter filter;

}  // namespace

int EnterNamespaces() {
  return static_cast<int>(
      -RawSyscall(SYS_unshare, CLONE_NEWIPC | CLONE_NEWPID));
}

int StayOnThisCpu() {
  unsigned cpu = 0;
  if (int64_t error = RawSyscall(SYS_getcpu, &cpu, nullptr, nullptr);
      error < 0) {
    return static_cast<int>(-error);
  }
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  const int64_t error = RawSyscall(SYS_sched_setaffinity, 0, sizeof set, &set);
  return error < 0 ? static_cast<int>(-error) : 0;
}

int Confine() {
  SetLimits();
  DropCapabilities();
  RawSyscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  filter = Filter();
  filter.RefuseOtherAbis();
  for (const Rule& rule : kRules) filter.Add(rule);
  filter.Return(kKill);
  return static_cast<int>(-filter.Install());
}

}  // namespace lockstep::executor
