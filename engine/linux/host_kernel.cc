// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include <sys/utsname.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "engine/linux/executor_process.h"
#include "engine/linux/kernel.h"
#include "engine/linux/trace.h"
#include "engine/linux/wire.h"
#include "engine/program.h"
#include "engine/units.h"

namespace lockstep {
namespace {

// Programs that are sent at once. A child is made for them, and what a death of
// the executor costs is run again.
constexpr size_t kBatchPrograms = 256;
constexpr size_t kBatchSteps = 8192;

std::string Because(int error) {
  return absl::StrCat(" (", std::strerror(error), ")");
}

std::vector<std::string> LimitationsOf(const host_protocol::Hello& hello) {
  std::vector<std::string> lines;
  if (hello.namespace_error != 0) {
    lines.push_back(absl::StrCat(
        "no PID and IPC namespace of its own", Because(hello.namespace_error),
        ": segments of an executor that is killed are removed by no one"));
  }
  if (hello.sandbox_error != 0) {
    lines.push_back(absl::StrCat("no seccomp filter",
                                 Because(hello.sandbox_error),
                                 ": only its own checks hold a program back"));
  }
  if (hello.randomized != 0) {
    lines.push_back(
        "address space randomisation cannot be switched off: the size of the "
        "executor's image, which mlockall compares, may differ between runs");
  }
  if (hello.affinity_error != 0) {
    lines.push_back(absl::StrCat("not bound to one CPU",
                                 Because(hello.affinity_error),
                                 ": pages may wait in batches of others"));
  }
  if (hello.has_ipc_lock == 0) {
    lines.push_back(
        "no CAP_IPC_LOCK: programs that start with it are refused, steps that "
        "need it are unsupported");
  }
  if (hello.has_setuid == 0) {
    lines.push_back(
        "no CAP_SETUID: programs that start as another user than 0 are "
        "refused, changes of the user are unsupported");
  }
  if (hello.hard_memlock_limit != kRlimInfinity) {
    lines.push_back(absl::StrCat(
        "RLIMIT_MEMLOCK's hard limit is ", hello.hard_memlock_limit,
        " bytes: programs that start over it are refused, steps that set more "
        "are unsupported"));
  }
  if ((hello.sees & wire::kSeesPageFlags) == 0) {
    lines.push_back("/proc/kpageflags cannot be read: PG_mlocked is not seen");
  }
  if ((hello.sees & wire::kSeesOnfault) == 0) {
    lines.push_back(
        "this kernel's smaps has no name for VM_LOCKONFAULT: it is not seen");
  }
  if (hello.has_procmap_query == 0) {
    lines.push_back(
        "no PROCMAP_QUERY: mappings are read from /proc/self/maps, which is "
        "slower");
  }
  return lines;
}

class HostKernel : public Kernel {
 public:
  HostKernel(std::string path, std::string release,
             const KernelOptions& options)
      : path_(std::move(path)),
        release_(std::move(release)),
        options_(options) {}

  absl::string_view name() const override { return "host"; }
  absl::string_view release() const override { return release_; }
  absl::Span<const std::string> limitations() const override {
    return limitations_;
  }
  Times times() const override { return times_; }
  absl::StatusOr<std::vector<Trace>> Run(
      absl::Span<const Program> programs) override;

  // Starts the executor if it does not run.
  absl::Status Start();

 private:
  // Runs as many of the programs as it can at once, at least one, and appends
  // their traces.
  absl::Status RunSome(absl::Span<const Program> programs,
                       std::vector<Trace>* traces);

  std::string path_;
  std::string release_;
  KernelOptions options_;
  std::unique_ptr<ExecutorProcess> executor_;
  std::vector<std::string> limitations_;
  Times times_ = {};
};

// How many programs from the first on make a batch.
size_t BatchSize(absl::Span<const Program> programs) {
  size_t steps = 0;
  size_t count = 0;
  while (count < programs.size() && count < kBatchPrograms &&
         steps < kBatchSteps &&
         programs[count].config.arena_pages <= wire::kMaxArenaPages) {
    steps += programs[count++].steps.size();
  }
  return count;
}

Trace NotRun(wire::End end, int error) {
  Trace trace;
  trace.end = end;
  trace.signal = error;
  return trace;
}

absl::Status HostKernel::Start() {
  if (executor_ != nullptr) return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<ExecutorProcess>> executor =
      ExecutorProcess::Start(path_);
  if (!executor.ok()) return executor.status();
  executor_ = *std::move(executor);
  limitations_ = LimitationsOf(executor_->hello());
  return absl::OkStatus();
}

absl::Status HostKernel::RunSome(absl::Span<const Program> programs,
                                 std::vector<Trace>* traces) {
  size_t count = BatchSize(programs);
  if (count == 0) {
    traces->push_back(NotRun(wire::End::kRefused, EFBIG));
    return absl::OkStatus();
  }
  while (true) {
    if (absl::Status status = Start(); !status.ok()) return status;
    const absl::Span<const Program> batch = programs.first(count);
    absl::StatusOr<std::string> bytes = EncodeBatch(
        batch, options_.look, options_.mode,
        static_cast<uint32_t>(absl::ToInt64Milliseconds(options_.step_limit)));
    if (!bytes.ok()) return bytes.status();
    absl::StatusOr<absl::string_view> result = executor_->Run(*bytes);
    if (result.ok()) {
      wire::ResultHeader header;
      absl::StatusOr<std::vector<Trace>> some =
          DecodeResult(batch, options_.look, *result);
      if (!some.ok()) return some.status();
      std::memcpy(&header, result->data(), sizeof header);
      times_.user += absl::Nanoseconds(header.user_ns);
      times_.system += absl::Nanoseconds(header.system_ns);
      for (Trace& trace : *some) traces->push_back(std::move(trace));
      return absl::OkStatus();
    }
    if (absl::IsResourceExhausted(result.status())) continue;
    if (!absl::IsUnavailable(result.status())) return result.status();
    // The executor itself has gone, supervisor and all. Which program did it
    // shows when it does it alone.
    executor_ = nullptr;
    if (count == 1) {
      traces->push_back(NotRun(wire::End::kBroken, ECHILD));
      return absl::OkStatus();
    }
    count = (count + 1) / 2;
  }
}

absl::StatusOr<std::vector<Trace>> HostKernel::Run(
    absl::Span<const Program> programs) {
  std::vector<Trace> traces;
  traces.reserve(programs.size());
  while (traces.size() < programs.size()) {
    if (absl::Status status = RunSome(programs.subspan(traces.size()), &traces);
        !status.ok()) {
      return status;
    }
  }
  return traces;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Kernel>> MakeHostKernel(
    const KernelOptions& options) {
  utsname names;
  if (uname(&names) != 0) {
    return absl::UnavailableError(
        absl::StrCat("host: uname: ", std::strerror(errno)));
  }
  absl::StatusOr<std::string> path = FindExecutor();
  if (!path.ok()) return absl::UnavailableError(path.status().message());
  auto kernel =
      std::make_unique<HostKernel>(*std::move(path), names.release, options);
  if (absl::Status status = kernel->Start(); !status.ok()) return status;
  return kernel;
}

absl::StatusOr<std::unique_ptr<Kernel>> MakeKernel(
    absl::string_view name, const KernelOptions& options) {
  if (name == "host") return MakeHostKernel(options);
  if (absl::string_view which = name; absl::ConsumePrefix(&which, "guest:")) {
    return MakeGuestKernel(which, options);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "expected \"host\" or \"guest:\" and a version or a path, found \"", name,
      "\""));
}

}  // namespace lockstep
