// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/qemu.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace lockstep {
namespace {

constexpr uint64_t kMostConsole = 64 << 10;
// A guest that writes without end to its console is stopped by the limit on
// file sizes; drives are below it too.
constexpr uint64_t kMostFileBytes = uint64_t{1} << 30;
constexpr size_t kMostLine = 4096;

constexpr char kSandbox[] =
    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

std::string Inherited(int fd) { return absl::StrCat("/proc/self/fd/", fd); }

// From first_fd on QEMU has its descriptors: control, console, the initrd and
// the drives.
std::vector<std::string> Arguments(const QemuOptions& options, int first_fd) {
  const int control = first_fd, console = first_fd + 1;
  const int initrd = first_fd + 2;
  std::vector<std::string> arguments = {
      options.program, "-nodefaults", "-no-user-config", "-no-reboot",
      "-display", "none", "-nic", "none",
      // No other programs, no privileges: QEMU is all that stands between a
      // stranger's program that broke the guest's kernel and this machine.
      "-sandbox", kSandbox, "-machine", "pc,usb=off,vmport=off", "-accel",
      options.accelerator, "-cpu",
      options.accelerator == "kvm" ? "host" : "qemu64", "-smp", "1", "-m",
      absl::StrCat(options.memory_mib, "M"), "-kernel", options.kernel,
      "-initrd", Inherited(initrd), "-append", options.command_line, "-chardev",
      absl::StrCat("file,id=console,path=", Inherited(console)), "-serial",
      "chardev:console", "-chardev",
      absl::StrCat("socket,id=control,fd=", control), "-serial",
      "chardev:control"};
  for (size_t i = 0; i < options.drives.size(); ++i) {
    arguments.push_back("-drive");
    // Locks are of no use for a file without a name, and flushing memory
    // neither.
    arguments.push_back(absl::StrCat(
        "if=none,format=raw,cache=unsafe,id=drive", i, ",file.locking=off,",
        "file.driver=file,file.filename=", Inherited(initrd + 1 + i)));
    arguments.push_back("-device");
    arguments.push_back(absl::StrCat("nvme,drive=drive", i,
                                     ",serial=", options.drive_serial, i));
  }
  return arguments;
}

// In the child, after fork: only what a signal handler might call. Never
// returns.
[[noreturn]] void BecomeQemu(const char* const* arguments, pid_t parent,
                             const std::vector<int>& inherited, int messages,
                             int first_fd) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(126);
  // An interrupt from the terminal is ours to answer.
  setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  const rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  const rlimit file_size = {kMostFileBytes, kMostFileBytes};
  setrlimit(RLIMIT_FSIZE, &file_size);
  const int null = open("/dev/null", O_RDWR);
  if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
      dup2(messages, 2) < 0) {
    _exit(126);
  }
  // All numbers in `inherited` are above the ones given out here.
  int next = first_fd;
  for (int fd : inherited) {
    if (dup2(fd, next++) < 0) _exit(126);
  }
  close_range(next, ~0U, 0);
  execv(arguments[0], const_cast<char* const*>(arguments));
  _exit(127);
}

void AppendEnd(int fd, std::string* text) {
  struct stat status;
  if (fstat(fd, &status) != 0) return;
  const uint64_t size = status.st_size;
  uint64_t at = size > kMostConsole ? size - kMostConsole : 0;
  char buffer[4096];
  while (at < size) {
    const ssize_t got = pread(fd, buffer, sizeof(buffer), at);
    if (got <= 0) return;
    text->append(buffer, got);
    at += got;
  }
}

}  // namespace

absl::StatusOr<std::string> FindQemu() {
  constexpr char kName[] = "qemu-system-x86_64";
  if (const char* named = std::getenv("LOCKSTEP_QEMU");
      named != nullptr && *named != '\0') {
    if (access(named, X_OK) == 0) return named;
    return absl::UnavailableError(
        absl::StrCat("LOCKSTEP_QEMU is no program: ", named));
  }
  const char* path = std::getenv("PATH");
  for (absl::string_view directory :
       absl::StrSplit(path == nullptr ? "" : path, ':', absl::SkipEmpty())) {
    std::string program = absl::StrCat(directory, "/", kName);
    if (access(program.c_str(), X_OK) == 0) return program;
  }
  return absl::UnavailableError(absl::StrCat(
      "no ", kName, " in PATH; apt-get install qemu-system-x86 installs it"));
}

int MakeMemoryFile(const char* name, uint64_t size) {
  const int fd = memfd_create(name, MFD_CLOEXEC);
  if (fd < 0) return -1;
  if (ftruncate(fd, static_cast<off_t>(size)) != 0) {
    const int error = errno;
    close(fd);
    errno = error;
    return -1;
  }
  return fd;
}

absl::StatusOr<std::unique_ptr<Qemu>> Qemu::Start(const QemuOptions& options) {
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
    return absl::ErrnoToStatus(errno, "socketpair");
  }
  Descriptor control(sockets[0]), guest_control(sockets[1]);
  Descriptor console(MakeMemoryFile("lockstep-console", 0));
  Descriptor messages(MakeMemoryFile("lockstep-qemu", 0));
  if (console.get() < 0 || messages.get() < 0) {
    return absl::ErrnoToStatus(errno, "memfd_create");
  }

  // QEMU has its descriptors from 3 on; copies above those can be moved down
  // one after the other.
  constexpr int kFirstFd = 3;
  std::vector<int> sources = {guest_control.get(), console.get(),
                              options.initrd};
  sources.insert(sources.end(), options.drives.begin(), options.drives.end());
  std::vector<std::unique_ptr<Descriptor>> copies;
  std::vector<int> inherited;
  const int above = kFirstFd + static_cast<int>(sources.size());
  for (int fd : sources) {
    const int copy = fcntl(fd, F_DUPFD_CLOEXEC, above);
    if (copy < 0) return absl::ErrnoToStatus(errno, "F_DUPFD_CLOEXEC");
    copies.push_back(std::make_unique<Descriptor>(copy));
    inherited.push_back(copy);
  }
  const std::vector<std::string> arguments = Arguments(options, kFirstFd);
  std::vector<const char*> argv;
  argv.reserve(arguments.size() + 1);
  for (const std::string& argument : arguments) {
    argv.push_back(argument.c_str());
  }
  argv.push_back(nullptr);

  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return absl::ErrnoToStatus(errno, "fork of QEMU");
  if (pid == 0) {
    BecomeQemu(argv.data(), parent, inherited, messages.get(), kFirstFd);
  }
  return absl::WrapUnique(
      new Qemu(pid, control.release(), console.release(), messages.release()));
}

Qemu::~Qemu() {
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  close(control_);
  close(console_);
  close(messages_);
}

absl::StatusOr<std::string> Qemu::ReadLine(absl::Time deadline) {
  while (true) {
    if (const size_t end = received_.find('\n'); end != std::string::npos) {
      std::string line = received_.substr(0, end);
      received_.erase(0, end + 1);
      if (!line.empty() && line.back() == '\r') line.pop_back();
      return line;
    }
    if (received_.size() > kMostLine) {
      return absl::UnavailableError("the guest writes no lines to ttyS1");
    }
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError("no answer from the guest");
    }
    pollfd poll_fd = {control_, POLLIN, 0};
    const int64_t timeout =
        std::min<int64_t>(absl::ToInt64Milliseconds(left) + 1, 1 << 30);
    const int ready = poll(&poll_fd, 1, static_cast<int>(timeout));
    if (ready < 0 && errno != EINTR) return absl::ErrnoToStatus(errno, "poll");
    if (ready <= 0) continue;
    char buffer[512];
    const ssize_t got = recv(control_, buffer, sizeof(buffer), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return absl::UnavailableError("the guest went down");
    received_.append(buffer, got);
  }
}

absl::Status Qemu::WriteLine(absl::string_view line) {
  std::string text = absl::StrCat(line, "\n");
  absl::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t sent = send(control_, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return absl::UnavailableError("the guest went down");
    rest.remove_prefix(sent);
  }
  return absl::OkStatus();
}

bool Qemu::IsRunning() const {
  // WNOWAIT: the process remains for the destructor to wait for.
  siginfo_t info = {};
  return waitid(P_PID, static_cast<id_t>(pid_), &info,
                WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == 0;
}

std::string Qemu::Console() const {
  std::string text;
  AppendEnd(console_, &text);
  AppendEnd(messages_, &text);
  return text;
}

}  // namespace lockstep
