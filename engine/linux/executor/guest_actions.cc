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

enum class Request : uint32_t {
  kBegin,
  kDrain,
  kReclaim,
  kCounters,
  kLimit,
  kLift,
};

struct Message {
  Request request;
  uint32_t number;  // kBegin: huge pages; kLimit: nth
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
  uint32_t left;  // kLift: of nth
  uint32_t reserved;
  int64_t counters[kCounterCount];
};

// ---- The agent's side. ----

// Descriptors are those of RunAgent, or negative errnos.
struct Agent {
  int vmstat, stat_refresh, nr_hugepages, reclaim;
  int64_t pool;  // huge pages in the pool
  int64_t start[kCounterCount];
  // Of the programs' control group.
  int memory_current, memory_events;
  int memory_high, memory_max, swap_max;
  // Since kLimit.
  uint32_t nth;
  int64_t limited_at;   // memory.current, bytes
  int64_t ooms;         // memory.events, oom
  char text[32 << 10];  // of /proc/vmstat, about 6 KiB
};
constinit Agent agent{};
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

// 0 or an errno.
int64_t WriteText(int fd, const char* text, size_t bytes) {
  if (fd < 0) return -fd;
  const int64_t wrote = RawSyscall(SYS_pwrite64, fd, text, bytes, 0);
  return wrote < 0 ? -wrote : 0;
}

int64_t WriteNumber(int fd, uint64_t number) {
  char digits[24];
  size_t at = sizeof(digits);
  do {
    digits[--at] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  return WriteText(fd, digits + at, sizeof(digits) - at);
}

int64_t WriteMax(int fd) { return WriteText(fd, "max", 3); }

// What memory.current says when no CPU keeps charged pages in stock: writing a
// memory.high that is too low drains them (memory_high_write()), reclaims what
// it can, which without swap is nothing of a program's, and kills nobody.
int64_t ChargedBytes() {
  WriteNumber(agent.memory_high, 0);
  WriteMax(agent.memory_high);
  char text[24];
  const int64_t got =
      RawSyscall(SYS_pread64, agent.memory_current, text, sizeof(text) - 1, 0);
  if (got <= 0) return 0;
  text[got] = '\0';
  return Number(text);
}

// How often the group was out of memory: the line "oom" of memory.events.
int64_t Ooms() {
  char text[256];
  const int64_t got =
      RawSyscall(SYS_pread64, agent.memory_events, text, sizeof(text) - 1, 0);
  if (got <= 0) return 0;
  text[got] = '\0';
  const char* line = text;
  while (*line != '\0') {
    if (SameName(line, "oom")) return Number(line + 4);
    while (*line != '\0' && *line != '\n') ++line;
    if (*line == '\n') ++line;
  }
  return 0;
}

// 0 or an errno.
int64_t LimitMemory(uint32_t nth) {
  if (int64_t error = WriteNumber(agent.swap_max, 0); error != 0) return error;
  agent.nth = nth;
  agent.limited_at = ChargedBytes();
  agent.ooms = Ooms();
  return WriteNumber(agent.memory_max,
                     agent.limited_at + (uint64_t{nth} - 1) * kPageSize);
}

// What is left of nth.
uint32_t LiftLimit() {
  const bool failed = Ooms() != agent.ooms;
  WriteMax(agent.memory_max);
  const int64_t charged = ChargedBytes() - agent.limited_at;
  WriteMax(agent.swap_max);
  if (failed) return 0;
  const int64_t pages = charged > 0 ? charged >> kPageShift : 0;
  return pages < agent.nth ? agent.nth - static_cast<uint32_t>(pages) : 1;
}

// The pool of huge pages becomes this large. 0 or an errno.
int64_t SetPool(uint32_t pages) {
  if (agent.pool == pages) return 0;
  if (agent.nr_hugepages < 0) return -agent.nr_hugepages;
  WriteNumber(agent.nr_hugepages, pages);
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
      const int64_t error = SetPool(message.number);
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
    case Request::kLimit:
      return LimitMemory(message.number);
    case Request::kLift:
      reply->left = LiftLimit();
      return 0;
  }
  return EINVAL;
}

[[noreturn]] void RunAgent(int fd) {
  agent.vmstat = Open("/proc/vmstat", O_RDONLY);
  agent.stat_refresh = Open("/proc/sys/vm/stat_refresh", O_WRONLY);
  agent.nr_hugepages = Open("/proc/sys/vm/nr_hugepages", O_RDWR);
  agent.reclaim = Open("/cgroup/memory.reclaim", O_WRONLY);
  agent.memory_current = Open("/cgroup/programs/memory.current", O_RDONLY);
  agent.memory_events = Open("/cgroup/programs/memory.events", O_RDONLY);
  agent.memory_high = Open("/cgroup/programs/memory.high", O_WRONLY);
  agent.memory_max = Open("/cgroup/programs/memory.max", O_WRONLY);
  agent.swap_max = Open("/cgroup/programs/memory.swap.max", O_WRONLY);
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

Outcome Act(const Step& step, uint64_t address, SharedState* shared) {
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
    case Op::kFailAllocation:
      shared->fail_allocation = step.value;
      return Outcome::Ok();
    default:
      return Outcome::Unsupported();
  }
}

bool LimitForCall(uint32_t nth) {
  return Ask({Request::kLimit, nth}).error == 0;
}

uint32_t LiftAfterCall() { return Ask({Request::kLift, 0}).left; }

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

constexpr GuestActions kGuestActions = {Act, LimitForCall, LiftAfterCall,
                                        BeginInGuest, ObserveCounters};

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
