// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/executor/credentials.h"

#include <linux/capability.h>
#include <linux/prctl.h>

#include <cerrno>
#include <cstdint>

#include "engine/linux/executor/syscalls.h"

namespace lockstep::executor {
namespace {

constexpr uint64_t kIpcLock = uint64_t{1} << CAP_IPC_LOCK;

struct Capabilities {
  uint64_t effective, permitted, inheritable;
};

Capabilities Get() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  RawSyscall(SYS_capget, AddressOf(&header), AddressOf(data));
  auto join = [](uint32_t low, uint32_t high) {
    return uint64_t{high} << 32 | low;
  };
  return {join(data[0].effective, data[1].effective),
          join(data[0].permitted, data[1].permitted),
          join(data[0].inheritable, data[1].inheritable)};
}

int Set(const Capabilities& set) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {
      {static_cast<uint32_t>(set.effective),
       static_cast<uint32_t>(set.permitted),
       static_cast<uint32_t>(set.inheritable)},
      {static_cast<uint32_t>(set.effective >> 32),
       static_cast<uint32_t>(set.permitted >> 32),
       static_cast<uint32_t>(set.inheritable >> 32)}};
  return static_cast<int>(
      -RawSyscall(SYS_capset, AddressOf(&header), AddressOf(data)));
}

int64_t Prctl(int option, uint64_t a, uint64_t b = 0) {
  return RawSyscall(SYS_prctl, static_cast<uint64_t>(option), a, b);
}

}  // namespace

uint64_t PermittedCapabilities() { return Get().permitted; }
uint64_t EffectiveCapabilities() { return Get().effective; }

bool HasIpcLock() { return (Get().effective & kIpcLock) != 0; }

int RaiseCapabilities() { return SetEffectiveCapabilities(Get().permitted); }

int SetEffectiveCapabilities(uint64_t effective) {
  Capabilities set = Get();
  if (set.effective == effective) return 0;
  set.effective = effective;
  return Set(set);
}

int LimitCapabilities(bool ipc_lock) {
  uint64_t wanted = ipc_lock ? kIpcLock : 0;
  if ((PermittedCapabilities() & wanted) != wanted) return EPERM;
  return SetEffectiveCapabilities(wanted);
}

int BecomeUser(uint32_t uid, bool ipc_lock) {
  if (int error = RaiseCapabilities(); error != 0) return error;
  // Otherwise leaving uid 0 would empty the permitted set.
  Prctl(PR_SET_KEEPCAPS, 1);
  int error = static_cast<int>(-RawSyscall(SYS_setresuid, uid, uid, uid));
  Prctl(PR_SET_KEEPCAPS, 0);
  // A change of the user makes /proc/self root's.
  Prctl(PR_SET_DUMPABLE, 1);
  // What is ambient stays over an exec by a user who is not root.
  Capabilities set = Get();
  set.inheritable = set.effective = set.permitted;
  Set(set);
  for (uint64_t capability = 0; capability < 64; ++capability) {
    if ((set.permitted >> capability & 1) != 0) {
      Prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability);
    }
  }
  int limit_error = LimitCapabilities(ipc_lock);
  return error != 0 ? error : limit_error;
}

}  // namespace lockstep::executor
