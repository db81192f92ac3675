// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Hand-made steps for the contracts' tests: a world before, a world after, and
// an engine that knows only which pages are there.

#ifndef LOCKSTEP_PROPS_CONTRACT_TESTING_H_
#define LOCKSTEP_PROPS_CONTRACT_TESTING_H_

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/engine.h"
#include "engine/program.h"
#include "props/contract_support.h"
#include "props/contracts.h"
#include "props/property.h"

namespace lockstep::contracts {

// Answers questions about pages from a table; runs nothing.
class FakeEngine : public Engine {
 public:
  std::map<std::pair<int, uint64_t>, PageState> pages;
  uint32_t changed = ~uint32_t{0} >> (32 - kTaskSlots);
  bool sees_mlocked = true;

  FakeEngine() = default;
  // A Case is handed out by value; engines at large are not.
  FakeEngine(const FakeEngine& other)
      : Engine(),
        pages(other.pages),
        changed(other.changed),
        sees_mlocked(other.sees_mlocked) {}

  void Fill(int task, Vpn start, Vpn end,
            PageState state = {.present = true, .anonymous = true}) {
    for (; start < end; ++start) pages[{task, start.n}] = state;
  }

  absl::string_view name() const override { return "fake"; }
  absl::Status Reset(const Config&) override { return absl::OkStatus(); }
  Outcome Run(const Step&) override { return Outcome::Unsupported(); }
  void Observe(int, TaskState* state) const override { *state = {}; }
  uint32_t ChangedTasks() const override { return changed; }
  PageState ObservePage(int task, Vpn page) const override {
    auto found = pages.find({task, page.n});
    return found == pages.end() ? PageState{} : found->second;
  }
  bool AllPresent(int task, Vpn start, Vpn end) const override {
    for (; start < end; ++start) {
      if (!ObservePage(task, start).present) return false;
    }
    return true;
  }
  bool AnyGuard(int task, Vpn start, Vpn end) const override {
    for (; start < end; ++start) {
      if (ObservePage(task, start).guard) return true;
    }
    return false;
  }
  bool SeesMlocked() const override { return sees_mlocked; }
  ShmState ObserveShm(int) const override { return {}; }
  Pages LockedShm(int) const override { return {}; }
  uint64_t FileSize(int) const override { return 0; }
  StepEvents Events() const override { return {}; }
  absl::Status Counter(absl::string_view, int64_t*) const override {
    return absl::UnimplementedError("no counters");
  }
};

inline constexpr uint32_t kPlain = kRangeRead | kRangeWrite | kRangeMayWrite;

inline Vpn Page(uint64_t arena_page) {
  return PageOf(kArenaBase) + Pages{arena_page};
}
inline Address At(uint64_t arena_page, uint64_t offset = 0) {
  return Address::Arena(Vpn{arena_page}, offset);
}

// Charges as the laws say.
inline void Recount(TaskState* task) {
  task->locked_vm = task->total_vm = Pages{0};
  for (const Range& range : task->ranges) {
    task->total_vm += range.end - range.start;
    if (range.Has(kRangeLocked)) task->locked_vm += range.end - range.start;
  }
  task->map_count = static_cast<uint32_t>(task->ranges.size());
}

// Pages [first, first + count) of the arena become a range with these bits,
// whatever was there; 0 unmaps.
inline void SetVpn(TaskState* task, Vpn start, Pages count, uint32_t bits) {
  const Vpn end = start + count;
  std::vector<Range> ranges;
  for (Range range : task->ranges) {
    const Range whole = range;
    if (whole.start < start) {
      range.end = std::min(whole.end, start);
      range.eof = std::min(whole.eof, range.end);
      ranges.push_back(range);
    }
    if (whole.end > end) {
      range = whole;
      range.start = std::max(whole.start, end);
      ranges.push_back(range);
    }
  }
  if (bits != 0) {
    ranges.push_back({.start = start, .end = end, .bits = bits, .eof = end});
  }
  std::sort(ranges.begin(), ranges.end(),
            [](const Range& a, const Range& b) { return a.start < b.start; });
  task->ranges = std::move(ranges);
  Recount(task);
}
inline void Set(TaskState* task, uint64_t first, uint64_t count,
                uint32_t bits) {
  SetVpn(task, Page(first), Pages{count}, bits);
}

// One step of task 0. The configuration is v4.9 without defects, the task has
// no capability and may lock 16 pages.
struct Case {
  Config config;
  Step step;
  Outcome outcome;
  World before, after;
  FakeEngine engine;
  StepEvents events;
  uint64_t prepared = 0;

  explicit Case(Op op = Op::kNone) {
    config.defects = {};
    step.op = op;
    TaskState& task = before.tasks[0];
    task.exists = true;
    task.mm = 1;
    task.memlock_limit = 16 * kPageSize;
    task.brk = kHeapBase;
    after = before;
  }
  void Use(absl::string_view kernel) {
    config.SetProfile(**FindProfile(kernel));
    config.defects = {};
  }

  TaskState& was() { return before.tasks[0]; }
  TaskState& is() { return after.tasks[0]; }
  // Maps before the step, and after it as long as nothing changes that.
  void Map(uint64_t first, uint64_t count, uint32_t bits) {
    Set(&was(), first, count, bits);
    after = before;
  }
  Case& Over(uint64_t page, uint64_t pages) {
    step.addr = At(page);
    step.length = pages * kPageSize;
    return *this;
  }
  void Prepare(absl::string_view name) {
    prepared = FindContract(name)->prepare(step, before, engine);
  }

  StepContext Context() const {
    return {.config = config,
            .step = step,
            .outcome = outcome,
            .before = before,
            .after = after,
            .engine = engine,
            .events = events,
            .changed = engine.changed,
            .prepared = prepared};
  }
  // The contract `name` holds; it is shown this step by its ops.
  bool Holds(absl::string_view name, Mismatch* mismatch = nullptr) const {
    const Contract* contract = FindContract(name);
    if (contract == nullptr || (contract->ops & OpBit(step.op)) == 0) abort();
    Mismatch ignored;
    return contract->holds(Context(),
                           mismatch == nullptr ? &ignored : mismatch);
  }
  bool Holds(absl::string_view name, Outcome instead) {
    outcome = instead;
    return Holds(name);
  }
};

}  // namespace lockstep::contracts

#endif  // LOCKSTEP_PROPS_CONTRACT_TESTING_H_
