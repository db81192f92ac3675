// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Programs per second on the kernel underneath: random 16-step programs for the
// default machine, with nothing, the accounting and every page looked at after
// each step, in both modes. Once for programs of a single process (memory,
// limits, files, segments), once for the full mix (fork, exec, exit, setuid
// too). Each row is the best of some rounds, in which the rows take turns, so
// that a busy machine is busy for all of them; "of acc." is the rate of
// programs per second of CPU over that of the accounting. The kernel's share is
// what getrusage says: ticks, and a process that ends before its first tick is
// all user time. And, with --same=N, whether N programs give the same bytes
// four times over.
//
//   host_benchmark [--programs=N] [--rounds=N] [--same=N] [--seed=N]
//                  [--set=N] [--mode=N] [--look=N]

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <iterator>
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
  uint64_t rounds = 5;
  // Rows of the tables below; others: all.
  uint64_t set = 2, mode = 2, look = 3;
};

struct SetRow {
  bool single;
  const char* name;
};
constexpr SetRow kSets[] = {
    {true, "single process"},
    {false, "full mix"},
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

// fork, exec, exit and setuid need processes besides the one that runs
// programs.
bool IsSingle(const Program& program) {
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

struct Rates {
  double wall = 0, cpu = 0;  // programs a second
  double kernel = 0;         // share of the CPU time
  size_t completed = 0;
};

// The programs once, with an executor of their own.
absl::StatusOr<Rates> Measure(const std::vector<Program>& programs,
                              const LookRow& look, const ModeRow& mode) {
  KernelOptions options;
  options.look = look.look;
  options.mode = mode.mode;
  absl::StatusOr<std::unique_ptr<Kernel>> kernel = MakeHostKernel(options);
  if (!kernel.ok()) return kernel.status();
  // Warm up: the executor's own pages.
  const size_t warm = std::min<size_t>(64, programs.size());
  if (auto traces = (*kernel)->Run({programs.data(), warm}); !traces.ok()) {
    return traces.status();
  }
  const Kernel::Times before = (*kernel)->times();
  const absl::Time start = absl::Now();
  absl::StatusOr<std::vector<Trace>> traces = (*kernel)->Run(programs);
  const absl::Duration time = absl::Now() - start;
  if (!traces.ok()) return traces.status();
  const Kernel::Times times = (*kernel)->times();
  const absl::Duration system = times.system - before.system;
  const absl::Duration both = system + times.user - before.user;
  const double count = static_cast<double>(programs.size());
  return Rates{count / absl::ToDoubleSeconds(time),
               count / absl::ToDoubleSeconds(both),
               absl::FDivDuration(system, both), Completed(*traces)};
}

// One set in one mode: the looks take turns.
absl::Status MeasureLooks(const std::vector<Program>& programs,
                          const SetRow& set, const ModeRow& mode,
                          const Options& options) {
  constexpr size_t kRows = std::size(kLooks);
  Rates best[kRows];
  for (uint64_t round = 0; round < options.rounds; ++round) {
    for (size_t i = 0; i < kRows; ++i) {
      if (options.look < kRows && i != options.look) continue;
      absl::StatusOr<Rates> rates = Measure(programs, kLooks[i], mode);
      if (!rates.ok()) return rates.status();
      const double wall = std::max(best[i].wall, rates->wall);
      if (rates->cpu > best[i].cpu) best[i] = *rates;
      best[i].wall = wall;
    }
  }
  double accounting = 0;
  for (size_t i = 0; i < kRows; ++i) {
    if (kLooks[i].look == wire::Look::kAccounting) accounting = best[i].cpu;
  }
  for (size_t i = 0; i < kRows; ++i) {
    const Rates& row = best[i];
    if (row.cpu == 0) continue;
    std::printf("%-15s %-20s %-11s %8.0f %8.0f %7.0f%% ", set.name, mode.name,
                kLooks[i].name, row.wall, row.cpu, 100 * row.kernel);
    if (accounting > 0) {
      std::printf("%7.0f%% ", 100 * row.cpu / accounting);
    } else {
      std::printf("%8s ", "-");
    }
    std::printf("%9zu\n", row.completed);
  }
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
        !ParseFlag(argv[i], "rounds", &options.rounds) &&
        !ParseFlag(argv[i], "set", &options.set) &&
        !ParseFlag(argv[i], "look", &options.look) &&
        !ParseFlag(argv[i], "mode", &options.mode)) {
      std::fprintf(stderr,
                   "expected --programs=N, --rounds=N, --same=N, --seed=N, "
                   "--set=N, --mode=N or --look=N, found \"%s\"\n",
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
  const std::vector<Program> all =
      RandomPrograms(options.programs, options.seed);
  std::vector<Program> single;
  std::copy_if(all.begin(), all.end(), std::back_inserter(single), IsSingle);
  std::printf("%zu of %zu programs are of a single process\n", single.size(),
              all.size());
  std::printf("%-15s %-20s %-11s %8s %8s %8s %8s %9s\n", "programs", "mode",
              "look", "wall/s", "cpu/s", "kernel", "of acc.", "completed");
  for (size_t set = 0; set < std::size(kSets); ++set) {
    for (size_t mode = 0; mode < std::size(kModes); ++mode) {
      if (options.set < std::size(kSets) && set != options.set) continue;
      if (options.mode < std::size(kModes) && mode != options.mode) continue;
      if (absl::Status status = MeasureLooks(kSets[set].single ? single : all,
                                             kSets[set], kModes[mode], options);
          !status.ok()) {
        return Fail(status);
      }
    }
  }
  return 0;
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) { return lockstep::Main(argc, argv); }
