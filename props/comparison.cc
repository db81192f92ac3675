// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/comparison.h"

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/linux/wire.h"
#include "engine/range.h"
#include "engine/uapi.h"
#include "props/agreement.h"
#include "props/contract_support.h"

namespace lockstep {

struct Comparison::State {
  Config config;
  Side model, real;
  bool forked = false;
  bool reclaimed = false;
  bool left_mlocked = false;
  Mismatch mismatch;
};

Comparison::Comparison(Engine* model, Engine* real, uint32_t sees)
    : model_(model),
      real_(real),
      sees_(sees),
      state_(std::make_unique<State>()) {}
Comparison::~Comparison() = default;

namespace {

// The bits of the pages from `base` on that lie in the task's ranges.
void FillBits(const TaskState& task, Vpn base, uint64_t count, uint32_t* bits) {
  std::fill(bits, bits + count, 0);
  const Vpn end = base + Pages{count};
  auto range = std::partition_point(
      task.ranges.begin(), task.ranges.end(),
      [base](const Range& candidate) { return candidate.end <= base; });
  for (; range != task.ranges.end() && range->start < end; ++range) {
    const uint64_t from = range->start < base ? 0 : (range->start - base).n;
    const uint64_t to = (std::min(range->end, end) - base).n;
    std::fill(bits + from, bits + to, range->bits | Side::kPageMapped);
  }
}

void FillPages(const Config& config, int slot, Side* side) {
  const PageIndex index(config);
  const TaskState& task = side->world.tasks[slot];
  std::vector<uint32_t>& pages = side->pages[slot];
  pages.resize(index.count());
  FillBits(task, PageOf(kArenaBase), index.arena_pages, pages.data());
  FillBits(task, PageOf(kHeapBase), wire::kHeapPages,
           pages.data() + index.arena_pages);
}

void ObserveSide(const Config& config, const Engine& engine, uint32_t changed,
                 Side* side) {
  for (; changed != 0; changed &= changed - 1) {
    const int slot = std::countr_zero(changed);
    engine.Observe(slot, &side->world.tasks[slot]);
    FillPages(config, slot, side);
  }
  for (int slot = 0; slot < kShmSlots; ++slot) {
    side->world.shm[slot] = engine.ObserveShm(slot);
  }
}

bool AsksForReclaim(const Step& step) {
  return step.op == Op::kReclaim ||
         (step.op == Op::kMadvise && step.flags == uapi::kMadvPageout);
}

// D26 takes the lock of the pages beside those that move, and not Mlocked.
bool MayLeaveMlocked(const Config& config, const Step& step) {
  return step.op == Op::kMremap && (step.flags & uapi::kMremapDontunmap) != 0 &&
         config.defects.Has(Defect::kDontunmapUnlocksWhole);
}

// Some private page is Mlocked outside of VM_LOCKED memory.
bool HasMlockedUnlocked(const Engine& engine, int slot, const TaskState& task) {
  constexpr uint32_t kOther = kRangeLocked | kRangeShared | kRangeFile |
                              kRangeIo | kRangeHugetlb | kRangeSpecial;
  for (const Range& range : task.ranges) {
    if ((range.bits & kOther) != 0) continue;
    for (Vpn page = range.start; page < range.end; page += Pages{1}) {
      if (engine.ObservePage(slot, page).mlocked) return true;
    }
  }
  return false;
}

constexpr uint32_t kEveryTask = (uint32_t{1} << kTaskSlots) - 1;

}  // namespace

absl::Status Comparison::Start(const Config& config) {
  State& state = *state_;
  state.config = config;
  state.forked = false;
  state.reclaimed = false;
  state.left_mlocked = false;
  over_ = false;
  steps_ = 0;
  if (absl::Status status = model_->Reset(config); !status.ok()) return status;
  if (absl::Status status = real_->Reset(config); !status.ok()) return status;
  ObserveSide(config, *model_, kEveryTask, &state.model);
  ObserveSide(config, *real_, kEveryTask, &state.real);
  return absl::OkStatus();
}

std::optional<Violation> Comparison::Run(const Step& step) {
  State& state = *state_;
  const size_t index = steps_++;
  state.real.outcome = real_->Run(step);
  state.model.outcome = Outcome::Unsupported();
  if (over_ || state.real.outcome.kind == Outcome::Kind::kUnsupported) {
    return std::nullopt;
  }
  state.model.outcome = model_->Run(step);
  if (state.model.outcome.kind == Outcome::Kind::kUnsupported) {
    over_ = true;
    return std::nullopt;
  }
  ObserveSide(state.config, *model_, model_->ChangedTasks(), &state.model);
  ObserveSide(state.config, *real_, real_->ChangedTasks(), &state.real);
  if (step.op == Op::kFork && step.value == 0 && state.model.outcome.ok()) {
    state.forked = true;
  }
  if (AsksForReclaim(step)) state.reclaimed = true;
  if (MayLeaveMlocked(state.config, step) &&
      HasMlockedUnlocked(*model_, step.task % kTaskSlots,
                         state.model.world.tasks[step.task % kTaskSlots])) {
    state.left_mlocked = true;
  }
  if (step.op == Op::kFailAllocation && step.value != 0) {
    over_ = true;
    return std::nullopt;
  }
  const AgreementContext context{.config = state.config,
                                 .step = step,
                                 .sees = sees_,
                                 .forked = state.forked,
                                 .reclaimed = state.reclaimed,
                                 .left_mlocked = state.left_mlocked,
                                 .model = state.model,
                                 .real = state.real,
                                 .model_engine = *model_,
                                 .real_engine = *real_};
  for (const Agreement& row : AllAgreements()) {
    if (row.holds(context, &state.mismatch)) continue;
    return Violation{std::string(row.name), index, state.mismatch.expected,
                     state.mismatch.seen};
  }
  return std::nullopt;
}

const Outcome& Comparison::model_outcome() const {
  return state_->model.outcome;
}
const Outcome& Comparison::real_outcome() const { return state_->real.outcome; }

Config AsTraced(const Config& config, const Trace& trace) {
  Config traced = config;
  // More memory than a program can fill, one CPU, real page tables.
  traced.memory_pages = uint64_t{1} << 17;
  traced.zones = 1;
  traced.cpus = 1;
  traced.hpage_pmd_order = 9;
  traced.max_map_count = Config().max_map_count;
  traced.stack_guard_gap.reset();
  traced.protection_keys = (trace.sees & wire::kHasProtectionKeys) != 0;
  traced.image_pages = trace.image_other.n;
  traced.image_lockable_pages = trace.image_lockable.n;
  return traced;
}

bool HasExecuteOnly(absl::Span<const Step> steps) {
  return std::any_of(steps.begin(), steps.end(), [](const Step& step) {
    return (step.op == Op::kMmap || step.op == Op::kMprotect) &&
           step.prot == uapi::kProtExec;
  });
}

Program WithoutUnsupported(const Program& program, const Trace& trace) {
  Program without = program;
  for (size_t i = 0; i < trace.steps.size(); ++i) {
    if (trace.steps[i].outcome.kind == Outcome::Kind::kUnsupported) {
      without.steps[i] = Step();
    }
  }
  return without;
}

namespace {

std::string DescribeEnd(const Trace& trace) {
  switch (trace.end) {
    case wire::End::kTimedOut:
      return "it hung and was killed";
    case wire::End::kKilled:
      return absl::StrCat("killed by ",
                          DebugString(Outcome::Signal(trace.signal)));
    case wire::End::kBroken:
      return absl::StrCat("the executor lost it: ",
                          OutcomeName(Outcome::Errno(trace.signal)));
    case wire::End::kCompleted:
    case wire::End::kRefused:
      break;
  }
  return "the end";
}

bool WentDown(const Trace* trace) {
  return trace != nullptr &&
         (trace->end == wire::End::kTimedOut ||
          trace->end == wire::End::kKilled || trace->end == wire::End::kBroken);
}

}  // namespace

std::optional<Violation> HowItEnded(const Program& program, size_t steps,
                                    const Trace* model, const Trace* real) {
  if (!WentDown(model) && !WentDown(real)) return std::nullopt;
  const size_t last = program.steps.empty() ? 0 : program.steps.size() - 1;
  return Violation{std::string(kAgreeEnd), std::min(steps, last),
                   model != nullptr ? DescribeEnd(*model) : "the end",
                   real != nullptr ? DescribeEnd(*real) : "the end"};
}

std::vector<Violation> Comparison::RunAll(const Program& program, size_t steps,
                                          const Trace* model, const Trace* real,
                                          size_t most) {
  std::vector<Violation> parting;
  steps = std::min(steps, program.steps.size());
  for (size_t i = 0; i < steps; ++i) {
    std::optional<Violation> parted = Run(program.steps[i]);
    if (parted) parting.push_back(*std::move(parted));
    if (over() || parting.size() >= most) return parting;
  }
  if (auto ended = HowItEnded(program, steps, model, real)) {
    parting.push_back(*std::move(ended));
  }
  return parting;
}

Pages LockedImage(const TaskState& task, Pages image_lockable) {
  const Vpn start = PageOf(kImageBase);
  return contracts::LockedPages(task, start, start + image_lockable);
}

namespace {

bool IsLimited(const TaskState& task) {
  return !task.cap_ipc_lock && task.memlock_limit != kRlimInfinity;
}

}  // namespace

bool ImageDecides(const Step& step, const TaskState& before) {
  return step.op == Op::kMlockall && (step.flags & uapi::kMclCurrent) != 0 &&
         IsLimited(before);
}

namespace {

// The trace as it would be with the image of another: kernels give a process
// vvar and vdso of different sizes.
Trace WithImageOf(const Trace& other, Trace trace) {
  const Pages image = trace.image_lockable + trace.image_other;
  const Pages others = other.image_lockable + other.image_other;
  const auto shift = [&](TracedStep* step) {
    for (TracedTask& task : step->tasks) {
      if (!task.state.exists) continue;
      const Pages locked = LockedImage(task.state, trace.image_lockable);
      task.state.total_vm.n += others.n - image.n;
      if (locked == trace.image_lockable) {
        task.state.locked_vm.n += other.image_lockable.n - locked.n;
      }
    }
  };
  shift(&trace.start);
  for (TracedStep& step : trace.steps) shift(&step);
  return trace;
}

// Steps before the first whose outcome hangs on the size of the image, which
// mlockall compares with the limit, and every lock call once it is locked.
size_t StepsBeforeImageDecides(const Program& program, const Trace& trace) {
  const size_t steps = std::min(program.steps.size(), trace.steps.size());
  for (size_t i = 0; i < steps; ++i) {
    const Step& step = program.steps[i];
    const TracedStep& before = i == 0 ? trace.start : trace.steps[i - 1];
    const TaskState& task = before.tasks[step.task % kTaskSlots].state;
    const bool locked = LockedImage(task, trace.image_lockable) > Pages{0};
    if (ImageDecides(step, task) || (IsLimited(task) && locked)) return i;
  }
  return steps;
}

}  // namespace

absl::StatusOr<std::vector<Violation>> CompareTraces(const Program& program,
                                                     const Trace& a,
                                                     const Trace& b,
                                                     size_t most) {
  std::vector<Violation> none;
  if (a.end == wire::End::kRefused || b.end == wire::End::kRefused) {
    return none;
  }
  size_t steps = std::min(a.steps.size(), b.steps.size());
  Trace shifted;
  const Trace* other = &b;
  if (a.image_lockable != b.image_lockable || a.image_other != b.image_other) {
    steps = std::min(steps, StepsBeforeImageDecides(program, a));
    shifted = WithImageOf(a, b);
    other = &shifted;
  }
  TraceEngine first("a"), second("b");
  first.Load(&a);
  second.Load(other);
  Comparison comparison(&first, &second, a.sees & b.sees);
  if (absl::Status status = comparison.Start(AsTraced(program.config, a));
      !status.ok()) {
    return status;
  }
  if (((a.sees ^ b.sees) & wire::kHasProtectionKeys) != 0) {
    // Two kernels, but also two CPUs: up to the first execute-only memory.
    const absl::Span<const Step> all(program.steps);
    for (size_t i = 0; i < steps; ++i) {
      if (HasExecuteOnly(all.subspan(i, 1))) steps = i;
    }
  }
  const bool cut = steps < std::min(a.steps.size(), b.steps.size());
  return comparison.RunAll(program, steps, cut ? nullptr : &a,
                           cut ? nullptr : other, most);
}

}  // namespace lockstep
