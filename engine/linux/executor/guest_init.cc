// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/executor/guest_init.h"

#include <asm/termbits.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <ctime>

#include "engine/linux/executor/control.h"
#include "engine/linux/executor/guest_actions.h"
#include "engine/linux/executor/guest_program.h"
#include "engine/linux/executor/raw_syscall.h"
#include "engine/linux/executor/supervisor.h"
#include "engine/linux/guest_protocol.h"
#include "engine/linux/wire.h"
#include "engine/units.h"

namespace lockstep::executor {
namespace {

constexpr size_t kSector = 512;
constexpr size_t kMostLine = 256;

size_t Length(const char* text) {
  size_t length = 0;
  while (text[length] != '\0') ++length;
  return length;
}

bool StartsWith(const char* text, const char* beginning) {
  while (*beginning != '\0') {
    if (*text++ != *beginning++) return false;
  }
  return true;
}

// A line as it is put together, always with room for its end.
struct Line {
  char text[kMostLine];
  size_t size = 0;
  Line& operator<<(const char* more) {
    while (*more != '\0' && size < sizeof(text) - 1) text[size++] = *more++;
    return *this;
  }
  Line& operator<<(uint64_t number) {
    char digits[24];
    size_t at = sizeof(digits);
    digits[--at] = '\0';
    do {
      digits[--at] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number != 0);
    return *this << (digits + at);
  }
  // As a name in a file system.
  const char* Path() {
    text[size] = '\0';
    return text;
  }
};

int control;  // ttyS1, once it is open

void Say(Line& line) {
  line.text[line.size] = '\n';
  // One write: the lines of init and of its heartbeat do not mix.
  RawSyscall(SYS_write, control, line.text, line.size + 1);
}

[[noreturn]] void Wait() {
  while (true) RawSyscall(SYS_pause);
}

[[noreturn]] void Fail(const char* what, int64_t error) {
  Line line;
  line << "failed " << what << ", errno "
       << static_cast<uint64_t>(error < 0 ? -error : error);
  Say(line);
  Wait();
}

void Sleep(int64_t milliseconds) {
  timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  RawSyscall(SYS_nanosleep, &time, nullptr);
}

// The beginning of a small file, as a string; false if it cannot be read.
template <size_t kSize>
bool ReadFile(const char* path, char (&text)[kSize]) {
  const int64_t fd = RawSyscall(SYS_open, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const int64_t got = RawSyscall(SYS_read, fd, text, kSize - 1);
  RawSyscall(SYS_close, fd);
  text[got > 0 ? got : 0] = '\0';
  return got >= 0;
}

// 0 or a negative errno.
int64_t WriteFile(const char* path, const char* text) {
  const int64_t fd = RawSyscall(SYS_open, path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return fd;
  const int64_t wrote = RawSyscall(SYS_write, fd, text, Length(text));
  RawSyscall(SYS_close, fd);
  return wrote < 0 ? wrote : 0;
}

void OpenControl() {
  const int64_t fd =
      RawSyscall(SYS_open, "/dev/ttyS1", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) return;  // nobody to tell
  control = static_cast<int>(fd);
  termios modes = {};
  RawSyscall(SYS_ioctl, control, TCGETS, &modes);
  modes.c_iflag = IGNBRK;
  modes.c_oflag = 0;
  modes.c_lflag = ICANON;  // reads give whole lines, nothing is echoed
  modes.c_cflag = B115200 | CS8 | CREAD | CLOCAL;
  RawSyscall(SYS_ioctl, control, TCSETS, &modes);
}

void MountFileSystems() {
  struct Row {
    const char *type, *where;
  };
  constexpr Row kRows[] = {
      {"proc", "/proc"},
      {"sysfs", "/sys"},
      {"devtmpfs", "/dev"},
      {"cgroup2", "/cgroup"},
  };
  for (const Row& row : kRows) {
    RawSyscall(SYS_mount, row.type, row.where, row.type, MS_NOSUID | MS_NOEXEC,
               nullptr);
  }
}

void SetLimits() {
  // Programs move the soft limit to where they like it.
  struct Row {
    int resource;
    uint64_t limit;
  };
  constexpr Row kRows[] = {
      {RLIMIT_MEMLOCK, RLIM_INFINITY},
      {RLIMIT_NOFILE, 4096},
      {RLIMIT_CORE, 0},
  };
  for (const Row& row : kRows) {
    const rlimit limit = {row.limit, row.limit};
    RawSyscall(SYS_prlimit64, 0, row.resource, &limit, nullptr);
  }
}

// Opens the drive of that serial number; waits until the kernel has found it.
// A negative errno on failure. `path` is where it is.
int64_t OpenDrive(GuestDrive drive, int flags, Line* path) {
  constexpr int kPatienceMs = 60000;
  Line wanted;
  wanted << kGuestDriveSerial << static_cast<uint64_t>(drive);
  for (int waited = 0; waited < kPatienceMs; waited += 10) {
    for (uint64_t i = 0; i < kGuestDrives; ++i) {
      Line name;
      name << "/sys/block/nvme" << i << "n1/device/serial";
      char serial[64];
      if (!ReadFile(name.Path(), serial) ||
          !StartsWith(serial, wanted.Path())) {
        continue;
      }
      *path = Line();
      *path << "/dev/nvme" << i << "n1";
      const int64_t fd = RawSyscall(SYS_open, path->Path(), flags | O_CLOEXEC);
      if (fd != -ENOENT) return fd;
    }
    Sleep(10);
  }
  return -ENODEV;
}

// Processes that are forked later do not have it: what they map is what they
// measure.
void KeepFromChildren(void* buffer, uint64_t bytes) {
  RawSyscall(SYS_madvise, buffer, bytes, MADV_DONTFORK);
}

void* MapBuffer(uint64_t bytes) {
  const int64_t address =
      RawSyscall(SYS_mmap, nullptr, bytes, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (address < 0 && address > -4096) Fail("mmap", address);
  return reinterpret_cast<void*>(address);
}

// What init and its heartbeat share.
struct Heart {
  std::atomic<uint32_t> batches;  // begun; a futex
  std::atomic<uint32_t> busy;     // a batch runs
};
Heart* heart = nullptr;

// Steps begun, as the supervisor counts them in the mapping that it shares with
// the processes that run them; init is the supervisor. 0 if there is none yet.
uint64_t StepsBegun() {
  Line path;
  path << "/proc/1/fd/" << static_cast<uint64_t>(kControlFd);
  const int64_t fd = RawSyscall(SYS_open, path.Path(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  const int64_t address = RawSyscall(SYS_mmap, nullptr, sizeof(Control),
                                     PROT_READ, MAP_SHARED, fd, 0);
  RawSyscall(SYS_close, fd);
  if (address < 0 && address > -4096) return 0;
  const uint32_t beats = reinterpret_cast<const Control*>(address)->beats;
  RawSyscall(SYS_munmap, address, sizeof(Control));
  return beats;
}

// Forks a process that shows, while a batch runs, that the kernel schedules and
// how far it is.
void StartHeartbeat() {
  heart = static_cast<Heart*>(MapBuffer(kPageSize));
  const int64_t pid = RawSyscall(SYS_fork);
  if (pid < 0) Fail("fork", pid);
  if (pid > 0) {
    KeepFromChildren(heart, kPageSize);
    return;
  }
  while (true) {
    const uint32_t batches = heart->batches;
    if (heart->busy == 0) {
      FutexWait(&heart->batches, batches, nullptr);
      continue;
    }
    Line line;
    line << "alive " << StepsBegun();
    Say(line);
    Sleep(1000);
  }
}

// The next line from the host, without its end, as a string.
void ReadCommand(char (&text)[kMostLine]) {
  while (true) {
    const int64_t got = RawSyscall(SYS_read, control, text, kMostLine - 1);
    if (got == -EINTR) continue;
    if (got <= 0) Fail("read of ttyS1", got);
    text[text[got - 1] == '\n' ? got - 1 : got] = '\0';
    return;
  }
}

// The number at `*at`, which is moved behind it and the space that follows.
uint64_t TakeNumber(const char** at) {
  uint64_t number = 0;
  for (; **at >= '0' && **at <= '9'; ++*at) number = number * 10 + (**at - '0');
  if (**at == ' ') ++*at;
  return number;
}

// The number after `key` in the kernel's command line, 0 if it has no such key.
uint64_t CommandLineNumber(const char* key) {
  char text[4096];
  if (!ReadFile("/proc/cmdline", text)) return 0;
  for (const char* at = text; *at != '\0'; ++at) {
    if (!StartsWith(at, key)) continue;
    at += Length(key);
    return TakeNumber(&at);
  }
  return 0;
}

bool HasArena(const char* batch, size_t bytes, uint64_t arena_pages) {
  if (arena_pages == 0) return false;
  size_t at = sizeof(wire::BatchHeader);
  while (at + sizeof(wire::ProgramHeader) <= bytes) {
    const auto* header =
        reinterpret_cast<const wire::ProgramHeader*>(batch + at);
    if (header->arena_pages == arena_pages) return true;
    at += sizeof(wire::ProgramHeader) + header->steps * sizeof(Step);
  }
  return false;
}

// The drives that carry what comes and goes, and the memory that they are read
// into and written from.
struct Transfer {
  int64_t batch_drive, result_drive;
  char *batch, *result;

  void Read(uint64_t bytes) const {
    if (bytes > kGuestBatchBytes) Fail("more than a batch may be", E2BIG);
    const uint64_t sectors = (bytes + kSector - 1) / kSector * kSector;
    const int64_t got =
        RawSyscall(SYS_pread64, batch_drive, batch, sectors, uint64_t{0});
    if (got != static_cast<int64_t>(sectors)) Fail("read of batch", got);
  }
  void Write(uint64_t bytes) const {
    const uint64_t sectors = (bytes + kSector - 1) / kSector * kSector;
    const int64_t put =
        RawSyscall(SYS_pwrite64, result_drive, result, sectors, uint64_t{0});
    if (put != static_cast<int64_t>(sectors)) Fail("write of result", put);
  }
};

void SetBusy(bool busy) {
  heart->busy = busy ? 1 : 0;
  if (!busy) return;
  heart->batches.fetch_add(1);
  FutexWake(&heart->batches);
}

// exec BYTES MS.
void Execute(const Transfer& transfer, const char* arguments) {
  const uint64_t bytes = TakeNumber(&arguments);
  const uint64_t limit_ms = TakeNumber(&arguments);
  transfer.Read(bytes);
  SetBusy(true);
  GuestProgramEnd end = {};
  const int64_t error =
      RunGuestProgram(transfer.batch, bytes, limit_ms, transfer.result,
                      kGuestOutputBytes, &end);
  SetBusy(false);
  if (error < 0) Fail("exec", error);
  transfer.Write(end.output_bytes);
  Line line;
  if (end.ended) {
    line << "ended " << end.output_bytes << " "
         << static_cast<uint64_t>(end.wait_status);
  } else {
    line << "overtime " << end.output_bytes;
  }
  Say(line);
}

}  // namespace

bool IsGuestInit(const char* program_name) {
  return RawSyscall(SYS_getpid) == 1 && StartsWith(program_name, "/init");
}

void RunGuest() {
  MountFileSystems();
  OpenControl();
  SetLimits();
  // A warning of the kernel is as good a finding as a panic. Not before: what
  // it warns of at boot is none of ours.
  WriteFile("/proc/sys/kernel/panic_on_warn", "1");
  {
    utsname names = {};
    RawSyscall(SYS_uname, &names);
    Line line;
    line << "hello " << names.release;
    Say(line);
  }

  Line path;
  const int64_t batch_drive =
      OpenDrive(GuestDrive::kBatch, O_RDONLY | O_DIRECT, &path);
  if (batch_drive < 0) Fail("batch drive", batch_drive);
  const int64_t result_drive =
      OpenDrive(GuestDrive::kResult, O_WRONLY | O_DIRECT, &path);
  if (result_drive < 0) Fail("result drive", result_drive);
  const int64_t swap_drive = OpenDrive(GuestDrive::kSwap, O_RDONLY, &path);
  if (swap_drive < 0) Fail("swap drive", swap_drive);
  RawSyscall(SYS_close, swap_drive);
  if (const int64_t error = RawSyscall(SYS_swapon, path.Path(), 0); error < 0) {
    Line line;
    line << "lacks swap: swapon failed with errno "
         << static_cast<uint64_t>(-error);
    Say(line);
  }
  if (WriteFile("/proc/sys/vm/stat_refresh", "1") < 0) {
    Line line;
    line << "lacks exact counters: no /proc/sys/vm/stat_refresh";
    Say(line);
  }

  const Transfer transfer = {batch_drive, result_drive,
                             static_cast<char*>(MapBuffer(kGuestBatchBytes)),
                             static_cast<char*>(MapBuffer(kGuestResultBytes))};
  KeepFromChildren(transfer.batch, kGuestBatchBytes);
  KeepFromChildren(transfer.result, kGuestResultBytes);
  const uint64_t panic_on = CommandLineNumber("lockstep.panic_on=");
  const uint64_t hang_on = CommandLineNumber("lockstep.hang_on=");
  // What programs allocate is charged to a control group of theirs; agent and
  // heartbeat are not in it. Where its memory ends nobody may be killed:
  // allocations fail then.
  WriteFile("/proc/self/oom_score_adj", "-1000");
  WriteFile("/cgroup/cgroup.subtree_control", "+memory");
  RawSyscall(SYS_mkdir, "/cgroup/programs", 0755);
  if (const int error = StartGuestAgent(); error != 0) Fail("agent", error);
  StartHeartbeat();
  if (WriteFile("/cgroup/programs/cgroup.procs", "0") != 0 ||
      WriteFile("/cgroup/programs/memory.max", "max") != 0) {
    Line line;
    line << "lacks failing allocations: no memory controller of cgroup v2";
    Say(line);
  }
  {
    Line line;
    line << "ready";
    Say(line);
  }

  while (true) {
    char command[kMostLine];
    ReadCommand(command);
    if (StartsWith(command, "exec ")) {
      Execute(transfer, command + Length("exec "));
      continue;
    }
    if (!StartsWith(command, "run ")) continue;
    const char* arguments = command + Length("run ");
    const uint64_t bytes = TakeNumber(&arguments);
    transfer.Read(bytes);
    SetBusy(true);
    if (HasArena(transfer.batch, bytes, panic_on)) {
      WriteFile("/proc/sysrq-trigger", "c");
    }
    if (HasArena(transfer.batch, bytes, hang_on)) Wait();
    const int64_t size =
        RunBatch(transfer.batch, bytes, transfer.result, kGuestResultBytes);
    SetBusy(false);
    if (size < 0) Fail("RunBatch", size);
    transfer.Write(static_cast<uint64_t>(size));
    Line line;
    line << "done " << static_cast<uint64_t>(size);
    Say(line);
  }
}

}  // namespace lockstep::executor
