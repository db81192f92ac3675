// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/executor/guest_actions.h"

#include <fcntl.h>
#include <linux/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <iterator>

#include "engine/linux/executor/raw_syscall.h"
#include "engine/linux/executor/session.h"
#include "engine/linux/wire.h"
#include "engine/outcome.h"
#include "engine/step.h"
#include "engine/units.h"

namespace lockstep::executor {
namespace {

constexpr int kMadvCold = 20;
constexpr int kMadvPageout = 21;   // 5.4
constexpr int kMadvCollapse = 25;  // 6.1
constexpr uint64_t kHugePageBytes = 2 << 20;

enum class Request : uint32_t { kBegin, kDrain, kReclaim, kCounters };

struct Message {
  Request request;
  uint32_t nr_hugepages;  // kBegin
};

// The lines of /proc/vmstat, in the order of wire::CounterName.
struct CounterRow {
  wire::CounterName counter;
  const char* name;
};
constexpr CounterRow kCounters[] = {
    {wire::CounterName::kNrMlock, "nr_mlock"},
    {wire::CounterName::kNrUnevictable, "nr_unevictable"},
    {wire::CounterName::kUnevictablePgsCulled, "unevictable_pgs_culled"},
    {wire::CounterName::kUnevictablePgsScanned, "unevictable_pgs_scanned"},
    {wire::CounterName::kUnevictablePgsRescued, "unevictable_pgs_rescued"},
    {wire::CounterName::kUnevictablePgsMlocked, "unevictable_pgs_mlocked"},
    {wire::CounterName::kUnevictablePgsMunlocked, "unevictable_pgs_munlocked"},
    {wire::CounterName::kUnevictablePgsCleared, "unevictable_pgs_cleared"},
    {wire::CounterName::kUnevictablePgsStranded, "unevictable_pgs_stranded"},
};
constexpr size_t kCounterCount = std::size(kCounters);

struct Reply {
  int64_t error;  // 0 or an errno
  int64_t counters[kCounterCount];
};

// ---- The agent's side. ----

struct Agent {
  int vmstat = -1, stat_refresh = -1, nr_hugepages = -1, reclaim = -1;
  int64_t pool = 0;  // huge pages in the pool
  int64_t start[kCounterCount] = {};
  char text[32 << 10];  // of /proc/vmstat, about 6 KiB
};
Agent agent;
alignas(kPageSize) char cold_page[kPageSize];

int Open(const char* path, int flags) {
  return static_cast<int>(RawSyscall(SYS_open, path, flags | O_CLOEXEC));
}

// lru_add_drain() of this CPU, the only one: MADV_COLD begins with it, and what
// mlock and munlock have batched (5.18 and later) goes with it.
void Drain() { RawSyscall(SYS_madvise, cold_page, kPageSize, kMadvCold); }

bool SameName(const char* line, const char* name) {
  while (*name != '\0') {
    if (*line++ != *name++) return false;
  }
  return *line == ' ';
}

// The number that a text begins with.
int64_t Number(const char* text) {
  const bool negative = *text == '-';
  if (negative) ++text;
  int64_t number = 0;
  for (; *text >= '0' && *text <= '9'; ++text) {
    number = number * 10 + (*text - '0');
  }
  return negative ? -number : number;
}

// 0 or an errno.
int64_t ReadCounters(int64_t (&values)[kCounterCount]) {
  Drain();
  if (agent.stat_refresh < 0) return -agent.stat_refresh;
  // The counters of each CPU go into those of the zones and nodes.
  if (const int64_t wrote =
          RawSyscall(SYS_pwrite64, agent.stat_refresh, "1", 1, 0);
      wrote < 0) {
    return -wrote;
  }
  const int64_t got = RawSyscall(SYS_pread64, agent.vmstat, agent.text,
                                 sizeof(agent.text) - 1, 0);
  if (got < 0) return -got;
  agent.text[got] = '\0';
  for (int64_t& value : values) value = 0;
  const char* line = agent.text;
  while (*line != '\0') {
    for (size_t i = 0; i < kCounterCount; ++i) {
      const char* name = kCounters[i].name;
      if (*line != *name || !SameName(line, name)) continue;
      while (*line != ' ') ++line;
      values[i] = Number(line + 1);
      break;
    }
    while (*line != '\0' && *line != '\n') ++line;
    if (*line == '\n') ++line;
  }
  return 0;
}

// The pool of huge pages becomes this large. 0 or an errno.
int64_t SetPool(uint32_t pages) {
  if (agent.pool == pages) return 0;
  if (agent.nr_hugepages < 0) return -agent.nr_hugepages;
  char digits[12];
  size_t at = sizeof(digits);
  uint32_t rest = pages;
  do {
    digits[--at] = static_cast<char>('0' + rest % 10);
    rest /= 10;
  } while (rest != 0);
  RawSyscall(SYS_pwrite64, agent.nr_hugepages, digits + at, sizeof(digits) - at,
             0);
  char text[24];
  const int64_t got =
      RawSyscall(SYS_pread64, agent.nr_hugepages, text, sizeof(text) - 1, 0);
  if (got < 0) return -got;
  text[got] = '\0';
  agent.pool = Number(text);
  return agent.pool == pages ? 0 : ENOMEM;
}

int64_t Answer(const Message& message, Reply* reply) {
  switch (message.request) {
    case Request::kBegin: {
      const int64_t error = SetPool(message.nr_hugepages);
      // Guests without counters have everything else.
      ReadCounters(agent.start);
      return error;
    }
    case Request::kDrain:
      Drain();
      return 0;
    case Request::kReclaim: {
      // More than there is: EAGAIN says that no more could be had.
      constexpr char kEverything[] = "64G";
      const int64_t wrote = RawSyscall(SYS_pwrite64, agent.reclaim, kEverything,
                                       sizeof(kEverything) - 1, 0);
      return wrote < 0 && wrote != -EAGAIN ? -wrote : 0;
    }
    case Request::kCounters: {
      const int64_t error = ReadCounters(reply->counters);
      for (size_t i = 0; i < kCounterCount; ++i) {
        reply->counters[i] -= agent.start[i];
      }
      return error;
    }
  }
  return EINVAL;
}

[[noreturn]] void RunAgent(int fd) {
  agent.vmstat = Open("/proc/vmstat", O_RDONLY);
  agent.stat_refresh = Open("/proc/sys/vm/stat_refresh", O_WRONLY);
  agent.nr_hugepages = Open("/proc/sys/vm/nr_hugepages", O_RDWR);
  agent.reclaim = Open("/cgroup/memory.reclaim", O_WRONLY);
  while (true) {
    Message message;
    const int64_t got = RawSyscall(SYS_read, fd, &message, sizeof(message));
    if (got == -EINTR) continue;
    if (got != sizeof(message)) RawSyscall(SYS_exit_group, 1);
    Reply reply = {};
    reply.error = Answer(message, &reply);
    RawSyscall(SYS_write, fd, &reply, sizeof(reply));
  }
}

// ---- The asking side. ----

// The reply's error is EIO if there is no agent any more.
Reply Ask(const Message& message) {
  Reply reply = {};
  int64_t done;
  do {
    done = RawSyscall(SYS_write, kAgentFd, &message, sizeof(message));
  } while (done == -EINTR);
  if (done == sizeof(message)) {
    do {
      done = RawSyscall(SYS_read, kAgentFd, &reply, sizeof(reply));
    } while (done == -EINTR);
    if (done == sizeof(reply)) return reply;
  }
  reply.error = EIO;
  return reply;
}

Outcome DoneIf(bool done) { return done ? Outcome::Ok() : Outcome::Skipped(); }

Outcome Act(const Step& step, uint64_t address) {
  switch (step.op) {
    case Op::kDrain:
      return DoneIf(Ask({Request::kDrain, 0}).error == 0);
    case Op::kSetCpu:
      return step.slot == 0 ? Outcome::Ok() : Outcome::Unsupported();
    case Op::kReclaim:
      if (step.value == 0) {
        // No memory.reclaim (before 5.19): not asked for, as on a host.
        return Ask({Request::kReclaim, 0}).error == 0 ? Outcome::Ok()
                                                      : Outcome::Unsupported();
      }
      return DoneIf(RawSyscall(SYS_madvise, address & kPageMask, kPageSize,
                               kMadvPageout) == 0);
    case Op::kCollapse:
      return DoneIf(RawSyscall(SYS_madvise, address & ~(kHugePageBytes - 1),
                               kHugePageBytes, kMadvCollapse) == 0);
    default:
      return Outcome::Unsupported();
  }
}

int BeginInGuest(const wire::ProgramHeader& header) {
  return static_cast<int>(Ask({Request::kBegin, header.nr_hugepages}).error);
}

int ObserveCounters(Writer* writer) {
  const Reply reply = Ask({Request::kCounters, 0});
  if (reply.error != 0) return 0;
  for (size_t i = 0; i < kCounterCount; ++i) {
    auto* record = writer->Append<wire::CounterRecord>();
    record->name = kCounters[i].counter;
    record->value = reply.counters[i];
  }
  return static_cast<int>(kCounterCount);
}

constexpr GuestActions kGuestActions = {Act, BeginInGuest, ObserveCounters};

}  // namespace

const GuestActions* guest_actions = nullptr;

void ContinueInGuest() { guest_actions = &kGuestActions; }

int StartGuestAgent() {
  int sockets[2];
  int64_t result = RawSyscall(SYS_socketpair, AF_UNIX,
                              SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets);
  if (result < 0) return static_cast<int>(-result);
  const int64_t pid = RawSyscall(SYS_fork);
  if (pid < 0) return static_cast<int>(-pid);
  if (pid == 0) {
    RawSyscall(SYS_close, sockets[0]);
    RunAgent(sockets[1]);
  }
  RawSyscall(SYS_close, sockets[1]);
  // Without O_CLOEXEC: what a program's exec starts asks too.
  result = RawSyscall(SYS_dup3, sockets[0], kAgentFd, 0);
  RawSyscall(SYS_close, sockets[0]);
  if (result < 0) return static_cast<int>(-result);
  ContinueInGuest();
  return 0;
}

}  // namespace lockstep::executor
