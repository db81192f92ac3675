// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Programs per second on the kernel underneath: random 16-step programs for the
// default machine, with nothing, the accounting and every page looked at after
// each step, in both modes. The kernel's share is what getrusage says: ticks,
// and a process that ends before its first tick is all user time. And, with
// --same=N, whether N programs give the same bytes four times over.
//
//   host_benchmark [--programs=N] [--same=N] [--seed=N]

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "bench/host_results.h"
#include "engine/linux/kernel.h"
#include "engine/linux/trace.h"
#include "engine/linux/wire.h"
#include "engine/program.h"

namespace lockstep {
namespace {

struct Options {
  uint64_t programs = 4096;
  uint64_t same = 0;
  uint64_t seed = 1;
  // 1: only programs of a single task that ends as the program does.
  uint64_t alone = 0;
  uint64_t look = 3, mode = 2;  // rows of the tables below; others: all
};

struct LookRow {
  wire::Look look;
  const char* name;
};
constexpr LookRow kLooks[] = {
    {wire::Look::kNothing, "nothing"},
    {wire::Look::kAccounting, "accounting"},
    {wire::Look::kPages, "pages"},
};
struct ModeRow {
  wire::Mode mode;
  const char* name;
};
constexpr ModeRow kModes[] = {
    {wire::Mode::kChildPerBatch, "child per batch"},
    {wire::Mode::kProcessPerProgram, "process per program"},
};

// fork, exec and exit make processes besides the one that runs programs.
bool IsAlone(const Program& program) {
  return std::none_of(program.steps.begin(), program.steps.end(),
                      [](const Step& step) {
                        return step.op == Op::kFork || step.op == Op::kExec ||
                               step.op == Op::kExit || step.op == Op::kSetuid;
                      });
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 3;
}

// How many of the programs came to their end.
size_t Completed(const std::vector<Trace>& traces) {
  size_t count = 0;
  for (const Trace& trace : traces) {
    count += trace.end == wire::End::kCompleted;
  }
  return count;
}

absl::Status Measure(const std::vector<Program>& programs, const LookRow& look,
                     const ModeRow& mode) {
  KernelOptions options;
  options.look = look.look;
  options.mode = mode.mode;
  absl::StatusOr<std::unique_ptr<Kernel>> kernel = MakeHostKernel(options);
  if (!kernel.ok()) return kernel.status();
  // Warm up: the executor's own pages.
  if (auto traces = (*kernel)->Run({programs.data(), 64}); !traces.ok()) {
    return traces.status();
  }
  const Kernel::Times before = (*kernel)->times();
  const absl::Time start = absl::Now();
  absl::StatusOr<std::vector<Trace>> traces = (*kernel)->Run(programs);
  const absl::Duration time = absl::Now() - start;
  if (!traces.ok()) return traces.status();
  const Kernel::Times times = (*kernel)->times();
  const absl::Duration system = times.system - before.system;
  const absl::Duration user = times.user - before.user;
  const double count = static_cast<double>(programs.size());
  std::printf("%-20s %-11s %9.0f %9.0f %8.0f%% %9zu\n", mode.name, look.name,
              count / absl::ToDoubleSeconds(time),
              count / absl::ToDoubleSeconds(system + user),
              100 * absl::FDivDuration(system, system + user),
              Completed(*traces));
  return absl::OkStatus();
}

// *before is the result of another mode, or empty.
absl::Status CheckSame(const std::vector<Program>& programs,
                       const ModeRow& mode, std::string* before) {
  std::string& first = *before;
  for (int run = 0; run < 4; ++run) {
    absl::StatusOr<std::string> bytes =
        ResultBytes(programs, wire::Look::kPages, mode.mode);
    if (!bytes.ok()) return bytes.status();
    if (first.empty()) first = *bytes;
    if (*bytes != first) {
      return absl::InternalError(absl::StrCat(mode.name, ": run ", run + 1,
                                              " differs from the first"));
    }
  }
  std::printf("%s: %zu programs gave the same %zu bytes four times\n",
              mode.name, programs.size(), first.size());
  return absl::OkStatus();
}

bool ParseFlag(absl::string_view argument, absl::string_view name,
               uint64_t* value) {
  return absl::ConsumePrefix(&argument, "--") &&
         absl::ConsumePrefix(&argument, name) &&
         absl::ConsumePrefix(&argument, "=") &&
         absl::SimpleAtoi(argument, value);
}

int Main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    if (!ParseFlag(argv[i], "programs", &options.programs) &&
        !ParseFlag(argv[i], "same", &options.same) &&
        !ParseFlag(argv[i], "seed", &options.seed) &&
        !ParseFlag(argv[i], "alone", &options.alone) &&
        !ParseFlag(argv[i], "look", &options.look) &&
        !ParseFlag(argv[i], "mode", &options.mode)) {
      std::fprintf(
          stderr, "expected --programs=N, --same=N or --seed=N, found \"%s\"\n",
          argv[i]);
      return 2;
    }
  }
  if (options.same > 0) {
    const std::vector<Program> programs =
        RandomPrograms(options.same, options.seed);
    std::string first;
    for (const ModeRow& mode : kModes) {
      if (absl::Status status = CheckSame(programs, mode, &first);
          !status.ok()) {
        return Fail(status);
      }
    }
    return 0;
  }
  std::vector<Program> programs =
      RandomPrograms(options.programs, options.seed);
  const auto several =
      std::stable_partition(programs.begin(), programs.end(), IsAlone);
  std::printf("%td of %zu programs are of a single task\n",
              several - programs.begin(), programs.size());
  if (options.alone != 0) programs.erase(several, programs.end());
  std::printf("%-20s %-11s %9s %9s %9s %9s\n", "mode", "look", "wall/s",
              "cpu/s", "kernel", "completed");
  for (const ModeRow& mode : kModes) {
    for (const LookRow& look : kLooks) {
      if (options.mode < 2 && &mode != &kModes[options.mode]) continue;
      if (options.look < 3 && &look != &kLooks[options.look]) continue;
      if (absl::Status status = Measure(programs, look, mode); !status.ok()) {
        return Fail(status);
      }
    }
  }
  return 0;
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) { return lockstep::Main(argc, argv); }
