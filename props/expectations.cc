// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// What a program's own expectations say, as a violation of "expectation".

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "props/runner.h"

namespace lockstep {
namespace {

bool Concerns(const Expectation& expectation, const Config& config) {
  const auto& kernels = expectation.kernels;
  return kernels.empty() || std::find(kernels.begin(), kernels.end(),
                                      config.profile->name) != kernels.end();
}

absl::string_view YesNo(bool value) { return value ? "yes" : "no"; }

// The range of the task that the page is in; null if it is unmapped.
const Range* RangeAt(const TaskState& task, Vpn page) {
  for (const Range& range : task.ranges) {
    if (range.start <= page && page < range.end) return &range;
  }
  return nullptr;
}

std::optional<Mismatch> CheckPages(const Expectation::PageRange& wanted,
                                   int task, const TaskState& state,
                                   const Engine& engine) {
  for (uint64_t i = 0; i < wanted.count.n; ++i) {
    Vpn arena_page = wanted.page + Pages{i};
    Vpn page = PageOf(kArenaBase) + (arena_page - Vpn{0});
    const Range* range = RangeAt(state, page);
    PageState seen = engine.ObservePage(task, page);
    struct {
      absl::string_view name;
      std::optional<bool> expected;
      bool seen;
    } facts[] = {
        {"mapped", wanted.mapped, range != nullptr},
        {"locked", wanted.locked, range != nullptr && range->Has(kRangeLocked)},
        {"onfault", wanted.onfault,
         range != nullptr && range->Has(kRangeLockOnFault)},
        {"resident", wanted.resident, seen.present},
        {"mlocked", wanted.mlocked, seen.mlocked},
    };
    for (const auto& fact : facts) {
      if (!fact.expected.has_value() || *fact.expected == fact.seen) continue;
      return Mismatch{absl::StrCat("page ", arena_page.n, " ", fact.name, ": ",
                                   YesNo(*fact.expected)),
                      absl::StrCat(YesNo(fact.seen))};
    }
  }
  return std::nullopt;
}

std::optional<Mismatch> Check(const Expectation& wanted, int task,
                              const Outcome& outcome, const Engine& engine) {
  if (!wanted.outcome.empty() && wanted.outcome != OutcomeName(outcome)) {
    return Mismatch{wanted.outcome, DebugString(outcome)};
  }
  TaskState state;
  engine.Observe(task, &state);
  if (wanted.locked_vm && *wanted.locked_vm != state.locked_vm.n) {
    return Mismatch{absl::StrCat("locked_vm ", *wanted.locked_vm),
                    absl::StrCat(state.locked_vm.n)};
  }
  if (wanted.map_count && *wanted.map_count != state.map_count) {
    return Mismatch{absl::StrCat("map_count ", *wanted.map_count),
                    absl::StrCat(state.map_count)};
  }
  for (const Expectation::PageRange& pages : wanted.pages) {
    if (auto mismatch = CheckPages(pages, task, state, engine)) return mismatch;
  }
  for (const Expectation::Counter& counter : wanted.counters) {
    int64_t seen = 0;
    absl::Status status = engine.Counter(counter.name, &seen);
    if (!status.ok()) {
      return Mismatch{absl::StrCat(counter.name, " ", counter.value),
                      std::string(status.message())};
    }
    if (seen != counter.value) {
      return Mismatch{absl::StrCat(counter.name, " ", counter.value),
                      absl::StrCat(seen)};
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<Violation> CheckExpectations(const Program& program, size_t step,
                                           const Outcome& outcome,
                                           const Engine& engine) {
  int task = program.steps[step].task % kTaskSlots;
  for (const Expectation& wanted : program.expectations) {
    if (wanted.step != step || !Concerns(wanted, program.config)) continue;
    if (auto mismatch = Check(wanted, task, outcome, engine)) {
      return Violation{"expectation", step, std::move(mismatch->expected),
                       std::move(mismatch->seen)};
    }
  }
  return std::nullopt;
}

}  // namespace lockstep
