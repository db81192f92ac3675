// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/guest_kernel.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "engine/linux/guest_protocol.h"
#include "engine/linux/initramfs.h"
#include "engine/linux/kernel.h"
#include "engine/linux/kernel_cache.h"
#include "engine/linux/qemu.h"
#include "engine/linux/trace.h"
#include "engine/linux/wire.h"
#include "engine/units.h"

namespace lockstep {
namespace {

// No randomness in addresses, no security module between programs and mm; the
// kernel goes down at the first oops, and QEMU with it (-no-reboot).
constexpr char kCommandLine[] =
    "console=ttyS0 loglevel=5 panic=-1 oops=panic nokaslr norandmaps "
    "cgroup.memory=nokmem mitigations=off tsc=reliable no_timer_check "
    "nowatchdog "
    // Off by default up to 6.4.
    "secretmem.enable=1 "
    "random.trust_cpu=on audit=0 selinux=0 apparmor=0 "
    "rcupdate.rcu_cpu_stall_suppress=1 transparent_hugepage=madvise";

// When a guest goes down, the programs of its batch run one by one.
constexpr size_t kMostPrograms = 256;

// A memory file that both sides see: the guest as a drive.
class Drive {
 public:
  static absl::StatusOr<std::unique_ptr<Drive>> Make(const char* name,
                                                     uint64_t bytes) {
    const int fd = MakeMemoryFile(name, bytes);
    if (fd < 0) return absl::ErrnoToStatus(errno, name);
    void* memory =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
      const int error = errno;
      close(fd);
      return absl::ErrnoToStatus(error, name);
    }
    return std::unique_ptr<Drive>(
        new Drive(fd, static_cast<char*>(memory), bytes));
  }
  ~Drive() {
    munmap(memory_, bytes_);
    close(fd_);
  }
  Drive(const Drive&) = delete;
  Drive& operator=(const Drive&) = delete;

  int fd() const { return fd_; }
  char* memory() { return memory_; }
  absl::string_view view(size_t bytes) const { return {memory_, bytes}; }

 private:
  Drive(int fd, char* memory, uint64_t bytes)
      : fd_(fd), memory_(memory), bytes_(bytes) {}
  int fd_;
  char* memory_;
  uint64_t bytes_;
};

// The first page of a swap area, as mkswap writes it (union swap_header of
// include/linux/swap.h).
void FormatSwap(char* area, uint64_t bytes) {
  const uint32_t version = 1;
  const auto last_page = static_cast<uint32_t>(bytes / kPageSize - 1);
  memcpy(area + 1024, &version, sizeof(version));
  memcpy(area + 1028, &last_page, sizeof(last_page));
  constexpr absl::string_view kSignature = "SWAPSPACE2";
  memcpy(area + kPageSize - kSignature.size(), kSignature.data(),
         kSignature.size());
}

absl::StatusOr<std::string> ReadWholeFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file),
                    std::istreambuf_iterator<char>()};
  if (!file.good() && !file.eof()) {
    return absl::UnavailableError(absl::StrCat("cannot read ", path));
  }
  return bytes;
}

std::string LastLines(absl::string_view text, size_t bytes) {
  if (text.size() > bytes) text.remove_prefix(text.size() - bytes);
  return std::string(text);
}

// The guest did not come to an end with its batch: it went down or hung.
bool IsGuestFailure(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsDataLoss(status);
}

// The executor has no room for the arenas of others.
bool HasRoomFor(const Program& program) {
  return program.config.arena_pages <= wire::kMaxArenaPages;
}

class GuestKernel : public Kernel {
 public:
  GuestKernel(absl::string_view which, const KernelOptions& options,
              GuestOptions guest_options)
      : name_(absl::StrCat("guest:", which)),
        options_(options),
        guest_options_(std::move(guest_options)) {}
  ~GuestKernel() override {
    qemu_.reset();
    if (initrd_ >= 0) close(initrd_);
  }

  absl::Status Start(absl::string_view which);

  absl::string_view name() const override { return name_; }
  absl::string_view release() const override { return release_; }
  absl::Span<const std::string> limitations() const override {
    return limitations_;
  }
  absl::StatusOr<std::vector<Trace>> Run(
      absl::Span<const Program> programs) override;
  Times times() const override { return times_; }

  // The guest is of no use afterwards.
  absl::StatusOr<GuestRun> Execute(absl::string_view executable,
                                   absl::Duration limit);

 private:
  // A guest that is ready for a batch; a new one if there is none.
  absl::Status EnsureUp();
  // Traces of the first programs, at least one. Errors that IsGuestFailure are
  // the guest's, which is of no use then.
  // The programs sent are the first `sent`.
  absl::StatusOr<std::vector<Trace>> RunSome(absl::Span<const Program> programs,
                                             size_t* sent);
  // Waits for the end of a batch; the result's bytes.
  absl::StatusOr<uint64_t> AwaitResult();
  // Takes the guest down; what its console said and why it is of no use.
  std::string TakeDown(const absl::Status& why);

  const std::string name_;
  const KernelOptions options_;
  const GuestOptions guest_options_;
  QemuOptions qemu_options_;
  std::string release_;
  std::vector<std::string> limitations_;
  Times times_ = {absl::ZeroDuration(), absl::ZeroDuration()};
  int initrd_ = -1;
  std::unique_ptr<Drive> batch_, result_, swap_;
  std::unique_ptr<Qemu> qemu_;
};

absl::Status GuestKernel::Start(absl::string_view which) {
  absl::StatusOr<std::string> program = FindQemu();
  if (!program.ok()) return program.status();
  absl::StatusOr<KernelImage> image = FindKernelImage(which);
  if (!image.ok()) {
    // No such kernel: no more can be said of it than of one not fetched.
    return absl::IsNotFound(image.status())
               ? absl::UnavailableError(image.status().message())
               : image.status();
  }
  absl::StatusOr<std::string> executor = FindExecutor();
  if (!executor.ok()) return executor.status();
  absl::StatusOr<std::string> executor_bytes = ReadWholeFile(*executor);
  if (!executor_bytes.ok()) return executor_bytes.status();

  const std::string initramfs = GuestInitramfs(*executor_bytes);
  initrd_ = MakeMemoryFile("lockstep-initrd", 0);
  if (initrd_ < 0) return absl::ErrnoToStatus(errno, "initramfs");
  if (write(initrd_, initramfs.data(), initramfs.size()) !=
      static_cast<ssize_t>(initramfs.size())) {
    return absl::ErrnoToStatus(errno, "initramfs");
  }

  struct Row {
    const char* name;
    uint64_t bytes;
    std::unique_ptr<Drive>* drive;
  };
  const Row rows[kGuestDrives] = {
      {"lockstep-batch", kGuestBatchBytes, &batch_},
      {"lockstep-result", kGuestResultBytes, &result_},
      {"lockstep-swap", kGuestSwapBytes, &swap_},
  };
  for (const Row& row : rows) {
    absl::StatusOr<std::unique_ptr<Drive>> drive =
        Drive::Make(row.name, row.bytes);
    if (!drive.ok()) return drive.status();
    *row.drive = *std::move(drive);
    qemu_options_.drives.push_back((*row.drive)->fd());
  }
  FormatSwap(swap_->memory(), kGuestSwapBytes);

  // KVM is much faster where it works; where it does not, guests hang in ways
  // that cannot be told from a kernel's.
  const char* accelerator = std::getenv("LOCKSTEP_QEMU_ACCEL");
  qemu_options_.program = *std::move(program);
  qemu_options_.accelerator =
      accelerator != nullptr && *accelerator != '\0' ? accelerator : "tcg";
  qemu_options_.kernel = image->path;
  qemu_options_.command_line = kCommandLine;
  if (!guest_options_.more_command_line.empty()) {
    absl::StrAppend(&qemu_options_.command_line, " ",
                    guest_options_.more_command_line);
  }
  qemu_options_.memory_mib = guest_options_.memory_mib;
  qemu_options_.initrd = initrd_;
  qemu_options_.drive_serial = kGuestDriveSerial;
  release_ = image->release;
  return EnsureUp();
}

absl::Status GuestKernel::EnsureUp() {
  if (qemu_ != nullptr && qemu_->IsRunning()) return absl::OkStatus();
  qemu_.reset();
  absl::StatusOr<std::unique_ptr<Qemu>> qemu = Qemu::Start(qemu_options_);
  if (!qemu.ok()) return qemu.status();
  qemu_ = *std::move(qemu);
  limitations_.clear();
  const absl::Time deadline = absl::Now() + guest_options_.boot_limit;
  while (true) {
    absl::StatusOr<std::string> line = qemu_->ReadLine(deadline);
    if (!line.ok()) {
      return absl::UnavailableError(
          absl::StrCat(name_, " does not boot: ", TakeDown(line.status())));
    }
    absl::string_view rest = *line;
    if (rest == "ready") return absl::OkStatus();
    if (absl::ConsumePrefix(&rest, "hello ")) {
      release_ = std::string(rest);
    } else if (absl::ConsumePrefix(&rest, "lacks ")) {
      limitations_.emplace_back(rest);
    } else if (absl::ConsumePrefix(&rest, "failed ")) {
      return absl::UnavailableError(absl::StrCat(
          name_, " does not boot: ",
          TakeDown(absl::InternalError(absl::StrCat("init: ", rest)))));
    }
  }
}

std::string GuestKernel::TakeDown(const absl::Status& why) {
  constexpr size_t kMostText = 16 << 10;
  // What a kernel says while it panics comes before QEMU's end; a guest that
  // hangs has said what it will say.
  std::string text =
      absl::StrCat(why.message(), "\n", LastLines(qemu_->Console(), kMostText));
  qemu_.reset();
  return text;
}

absl::StatusOr<uint64_t> GuestKernel::AwaitResult() {
  // Steps begun, as the guest last told, and since when that has been so.
  uint64_t steps = 0;
  absl::Time since = absl::Now();
  while (true) {
    const absl::Time stuck =
        since + options_.step_limit + guest_options_.patience;
    absl::StatusOr<std::string> line =
        qemu_->ReadLine(std::min(absl::Now() + guest_options_.patience, stuck));
    if (absl::IsDeadlineExceeded(line.status())) {
      return absl::DeadlineExceededError(
          absl::Now() >= stuck ? "the guest hangs: it has begun no further step"
                               : "the guest hangs: it says nothing any more");
    }
    if (!line.ok()) return line.status();
    absl::string_view rest = *line;
    uint64_t number;
    if (absl::ConsumePrefix(&rest, "done ")) {
      if (!absl::SimpleAtoi(rest, &number) || number > kGuestResultBytes ||
          number < sizeof(wire::ResultHeader)) {
        return absl::DataLossError(
            absl::StrCat("a result of '", rest, "' bytes"));
      }
      return number;
    }
    if (absl::ConsumePrefix(&rest, "failed ")) {
      return absl::UnavailableError(absl::StrCat("the guest's init: ", rest));
    }
    if (absl::ConsumePrefix(&rest, "alive ")) {
      if (absl::SimpleAtoi(rest, &number) && number != steps) {
        steps = number;
        since = absl::Now();
      }
    }
  }
}

absl::StatusOr<std::vector<Trace>> GuestKernel::RunSome(
    absl::Span<const Program> programs, size_t* sent) {
  programs = programs.subspan(0, kMostPrograms);
  programs = programs.subspan(
      0, std::find_if_not(programs.begin(), programs.end(), HasRoomFor) -
             programs.begin());
  std::string bytes;
  while (true) {
    absl::StatusOr<std::string> encoded = EncodeBatch(
        programs, options_.look, options_.mode,
        static_cast<uint32_t>(absl::ToInt64Milliseconds(options_.step_limit)));
    if (!encoded.ok()) return encoded.status();
    if (encoded->size() <= kGuestBatchBytes) {
      bytes = *std::move(encoded);
      break;
    }
    if (programs.size() == 1) {
      return absl::InvalidArgumentError(
          absl::StrCat(name_, ": a program of ", programs[0].steps.size(),
                       " steps is larger than a batch may be (",
                       kGuestBatchBytes, " bytes)"));
    }
    programs = programs.subspan(0, programs.size() / 2);
  }
  *sent = programs.size();
  memcpy(batch_->memory(), bytes.data(), bytes.size());
  if (absl::Status told = qemu_->WriteLine(absl::StrCat("run ", bytes.size()));
      !told.ok()) {
    return told;
  }
  absl::StatusOr<uint64_t> size = AwaitResult();
  if (!size.ok()) return size.status();
  wire::ResultHeader header;
  memcpy(&header, result_->memory(), sizeof(header));
  absl::StatusOr<std::vector<Trace>> traces =
      DecodeResult(programs, options_.look, result_->view(*size));
  if (!traces.ok()) return traces.status();
  if (traces->empty()) {
    return absl::DataLossError("a result without a program");
  }
  times_.user += absl::Nanoseconds(header.user_ns);
  times_.system += absl::Nanoseconds(header.system_ns);
  return traces;
}

absl::StatusOr<std::vector<Trace>> GuestKernel::Run(
    absl::Span<const Program> programs) {
  std::vector<Trace> traces;
  traces.reserve(programs.size());
  // Programs before this one run alone, each in turn: the guest went down with
  // a batch that they were in, and this is what it said.
  size_t alone_until = 0, alone_from = 0;
  std::string went_down;
  while (traces.size() < programs.size()) {
    if (!HasRoomFor(programs[traces.size()])) {
      // As on the host. Such a program is in no batch, so in none that fails.
      Trace refused;
      refused.end = wire::End::kRefused;
      refused.signal = EFBIG;
      traces.push_back(std::move(refused));
      continue;
    }
    if (absl::Status up = EnsureUp(); !up.ok()) return up;
    const size_t next = traces.size();
    const bool alone = next < alone_until;
    absl::Span<const Program> rest =
        programs.subspan(next, alone ? 1 : programs.npos);
    size_t sent = 0;
    absl::StatusOr<std::vector<Trace>> some = RunSome(rest, &sent);
    if (some.ok()) {
      traces.insert(traces.end(), std::make_move_iterator(some->begin()),
                    std::make_move_iterator(some->end()));
      if (alone && traces.size() == alone_until) {
        // None of them did it alone. Each says that it was there.
        for (size_t i = alone_from; i < alone_until; ++i) {
          traces[i].console = went_down;
        }
        alone_until = 0;
      }
      continue;
    }
    if (!IsGuestFailure(some.status())) return some.status();
    const bool hung = absl::IsDeadlineExceeded(some.status());
    std::string console = TakeDown(some.status());
    if (!alone) {
      alone_from = next;
      alone_until = next + sent;
      went_down = std::move(console);
      continue;
    }
    Trace broken;
    broken.end = hung ? wire::End::kTimedOut : wire::End::kBroken;
    broken.console = std::move(console);
    traces.push_back(std::move(broken));
    // Found; those behind it run together again.
    alone_until = 0;
  }
  return traces;
}

absl::StatusOr<GuestRun> GuestKernel::Execute(absl::string_view executable,
                                              absl::Duration limit) {
  memcpy(batch_->memory(), executable.data(), executable.size());
  if (absl::Status told = qemu_->WriteLine(absl::StrCat(
          "exec ", executable.size(), " ", absl::ToInt64Milliseconds(limit)));
      !told.ok()) {
    return told;
  }
  GuestRun run;
  const absl::Time deadline = absl::Now() + limit + guest_options_.patience;
  while (true) {
    absl::StatusOr<std::string> line = qemu_->ReadLine(
        std::min(absl::Now() + guest_options_.patience, deadline));
    if (!line.ok()) {
      run.console =
          TakeDown(absl::IsDeadlineExceeded(line.status())
                       ? absl::DeadlineExceededError("the guest hangs")
                       : line.status());
      return run;
    }
    const std::vector<absl::string_view> words = absl::StrSplit(*line, ' ');
    if (words[0] == "failed") {
      return absl::UnavailableError(absl::StrCat("the guest's init: ", *line));
    }
    const bool ended = words[0] == "ended" && words.size() == 3;
    if (!ended && words[0] != "overtime") continue;
    uint64_t bytes = 0;
    int wait_status = 0;
    if (words.size() < 2 || !absl::SimpleAtoi(words[1], &bytes) ||
        bytes > kGuestOutputBytes ||
        (ended && !absl::SimpleAtoi(words[2], &wait_status))) {
      return absl::DataLossError(absl::StrCat("an end of '", *line, "'"));
    }
    if (ended) run.wait_status = wait_status;
    run.output = std::string(result_->view(bytes));
    return run;
  }
}

}  // namespace

absl::StatusOr<GuestRun> RunInGuest(absl::string_view which,
                                    absl::string_view executable,
                                    absl::Duration limit,
                                    const GuestOptions& guest_options) {
  if (executable.size() > kGuestBatchBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a program of ", executable.size(),
        " bytes is larger than a guest takes (", kGuestBatchBytes, " bytes)"));
  }
  GuestKernel kernel(which, KernelOptions(), guest_options);
  if (absl::Status started = kernel.Start(which); !started.ok()) {
    return started;
  }
  return kernel.Execute(executable, limit);
}

absl::StatusOr<std::unique_ptr<Kernel>> MakeGuestKernelWith(
    absl::string_view which, const KernelOptions& options,
    const GuestOptions& guest_options) {
  auto kernel = std::make_unique<GuestKernel>(which, options, guest_options);
  if (absl::Status started = kernel->Start(which); !started.ok()) {
    return started;
  }
  return kernel;
}

absl::StatusOr<std::unique_ptr<Kernel>> MakeGuestKernel(
    absl::string_view which, const KernelOptions& options) {
  return MakeGuestKernelWith(which, options, GuestOptions());
}

}  // namespace lockstep
