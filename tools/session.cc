// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/session.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/reference/reference_engine.h"

namespace lockstep {
namespace {

// Pages of a range that are shown one by one.
constexpr uint64_t kPagesShown = 64;

struct NamedRangeBit {
  uint32_t bit;
  absl::string_view name;
};
constexpr NamedRangeBit kRangeNames[] = {
    {kRangeShared, "shared"},
    {kRangeLocked, "VM_LOCKED"},
    {kRangeLockOnFault, "VM_LOCKONFAULT"},
    {kRangeGrowsdown, "growsdown"},
    {kRangeHugetlb, "hugetlb"},
    {kRangeIo, "io"},
    {kRangeSpecial, "special"},
    {kRangeFile, "file"},
    {kRangeSecret, "secret"},
    {kRangeDroppable, "droppable"},
    {kRangeShm, "shm"},
};

constexpr absl::string_view kCounters[] = {
    "nr_mlock",
    "unevictable_pgs_mlocked",
    "unevictable_pgs_munlocked",
    "unevictable_pgs_cleared",
    "unevictable_pgs_stranded",
    "unevictable_pgs_culled",
    "unevictable_pgs_rescued",
    "unevictable_pgs_scanned",
};

std::string DescribeAddress(Vpn page) {
  const uint64_t address = AddressOf(page);
  if (address >= kMmapBase) return absl::StrFormat("%#x", address);
  if (address >= kArenaBase) {
    return absl::StrCat("arena ", (address - kArenaBase) >> kPageShift);
  }
  if (address >= kHeapBase) {
    return absl::StrCat("heap ", (address - kHeapBase) >> kPageShift);
  }
  return absl::StrFormat("%#x", address);
}

// A character a page: "M" mlocked, "p" present, "0" the zero page, "." none.
std::string DescribePages(const Engine& engine, int task, const Range& range) {
  std::string text;
  const Pages size = range.end - range.start;
  const Vpn end =
      size.n > kPagesShown ? range.start + Pages{kPagesShown} : range.end;
  for (Vpn page = range.start; page < end; ++page) {
    const PageState state = engine.ObservePage(task, page);
    text += !state.present    ? '.'
            : state.mlocked   ? 'M'
            : state.zero_page ? '0'
                              : 'p';
  }
  if (size.n > kPagesShown) text += "...";
  return text;
}

std::string DescribeTask(const Engine& engine, int slot,
                         const TaskState& task) {
  std::string text = absl::StrCat(
      "task ", slot, ": mm ", task.mm, ", uid ", task.uid, ", locked_vm ",
      task.locked_vm.n, ", total_vm ", task.total_vm.n, ", map_count ",
      task.map_count, ", RLIMIT_MEMLOCK ",
      task.memlock_limit == kRlimInfinity ? "unlimited"
                                          : absl::StrCat(task.memlock_limit),
      task.cap_ipc_lock ? ", CAP_IPC_LOCK" : "",
      task.future_locked
          ? (task.future_onfault ? ", MCL_FUTURE|MCL_ONFAULT" : ", MCL_FUTURE")
          : "",
      "\n");
  for (const Range& range : task.ranges) {
    absl::StrAppend(
        &text, "  ", DescribeAddress(range.start), " +",
        (range.end - range.start).n, " ", range.Has(kRangeRead) ? "r" : "-",
        range.Has(kRangeWrite) ? "w" : "-", range.Has(kRangeExec) ? "x" : "-");
    for (const NamedRangeBit& name : kRangeNames) {
      if ((range.bits & name.bit) != 0) absl::StrAppend(&text, " ", name.name);
    }
    absl::StrAppend(&text, "  [", DescribePages(engine, slot, range), "]\n");
  }
  return text;
}

}  // namespace

absl::StatusOr<std::optional<Violation>> RunProgram(
    const Program& program, const SessionOptions& options,
    const AfterStep& after_step) {
  reference::ReferenceEngine engine;
  Runner runner(&engine, options.checking);
  if (absl::Status status = runner.Start(program.config); !status.ok()) {
    return status;
  }
  for (size_t i = 0; i < program.steps.size(); ++i) {
    std::optional<Violation> violation = runner.Run(program.steps[i]);
    if (after_step) after_step(i, runner.outcome(), runner);
    if (!violation && options.expectations) {
      violation = CheckExpectations(program, i, runner.outcome(), engine);
    }
    if (violation) return violation;
  }
  return std::nullopt;
}

absl::StatusOr<std::optional<Violation>> Judge(const Program& program) {
  absl::StatusOr<std::optional<Violation>> result =
      RunProgram(program, {.checking = Checking::kIncremental});
  if (!result.ok() || result->has_value()) return result;
  return RunProgram(program, {.checking = Checking::kFull});
}

std::string DebugString(const Program& program, const Violation& violation) {
  const std::string step = violation.step < program.steps.size()
                               ? DebugString(program.steps[violation.step])
                               : "the end";
  return absl::StrCat(violation.property, " after step ", violation.step, ", ",
                      step, ": expected ", violation.expected, ", seen ",
                      violation.seen);
}

absl::Status ChangeConfig(absl::string_view kernel, absl::string_view defects,
                          Config* config) {
  std::string changes(defects);
  if (!kernel.empty()) {
    absl::StatusOr<const Profile*> profile = FindProfile(kernel);
    if (!profile.ok()) return profile.status();
    if (changes.empty()) {
      changes = FormatDefects(*config->profile, config->defects);
    }
    config->SetProfile(**profile);
  }
  if (changes.empty()) return absl::OkStatus();
  absl::StatusOr<DefectSet> set = ParseDefects(*config->profile, changes);
  if (!set.ok()) return set.status();
  config->defects = *set;
  return absl::OkStatus();
}

std::string DescribeState(Runner& runner) {
  const World& world = runner.world();
  std::string text;
  for (int slot = 0; slot < kTaskSlots; ++slot) {
    if (!world.tasks[slot].exists) continue;
    text += DescribeTask(runner.engine(), slot, world.tasks[slot]);
  }
  for (int slot = 0; slot < kShmSlots; ++slot) {
    const ShmState& shm = world.shm[slot];
    if (!shm.exists) continue;
    absl::StrAppend(&text, "segment ", slot, ": ", shm.size, " bytes, owner ",
                    shm.owner, shm.locked ? ", SHM_LOCKED" : "",
                    shm.removed ? ", removed" : "", "\n");
  }
  for (int uid = 0; uid < kUsers; ++uid) {
    if (world.locked_shm[uid].n == 0) continue;
    absl::StrAppend(&text, "user ", uid, ": ", world.locked_shm[uid].n,
                    " pages of locked segments\n");
  }
  for (absl::string_view name : kCounters) {
    int64_t value = 0;
    if (runner.engine().Counter(name, &value).ok()) {
      absl::StrAppend(&text, name, " ", value, "\n");
    }
  }
  return text;
}

}  // namespace lockstep
