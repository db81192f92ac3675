// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/agreement.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/linux/wire.h"
#include "engine/range.h"
#include "engine/uapi.h"
#include "props/contract_support.h"

namespace lockstep {
namespace {

// ---- What is compared ----

// Arena first, then the heap's first pages.
struct PageIndex {
  uint64_t arena_pages;
  uint64_t count() const { return arena_pages + wire::kHeapPages; }
  Vpn page(uint64_t index) const {
    return index < arena_pages ? PageOf(kArenaBase) + Pages{index}
                               : PageOf(kHeapBase) + Pages{index - arena_pages};
  }
};
PageIndex IndexOf(const Config& config) {
  return {std::min<uint64_t>(config.arena_pages, wire::kMaxArenaPages)};
}

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
  const PageIndex index = IndexOf(config);
  const TaskState& task = side->world.tasks[slot];
  std::vector<uint32_t>& pages = side->pages[slot];
  pages.resize(index.count());
  FillBits(task, PageOf(kArenaBase), index.arena_pages, pages.data());
  FillBits(task, PageOf(kHeapBase), wire::kHeapPages,
           pages.data() + index.arena_pages);
}

bool Part(Mismatch* mismatch, std::string model, std::string real) {
  mismatch->expected = std::move(model);
  mismatch->seen = std::move(real);
  return false;
}

// ---- Outcomes ----

bool ReturnsAddress(Op op) {
  return op == Op::kMmap || op == Op::kMremap || op == Op::kShmat ||
         op == Op::kBrk;
}

// Where the arena or the heap is, addresses are the program's; elsewhere the
// kernel chose, and any place is as good.
bool IsProgramsAddress(const Config& config, int64_t value) {
  const auto address = static_cast<uint64_t>(value);
  return address - kArenaBase < config.arena_pages * kPageSize ||
         address - kHeapBase < kArenaBase - kHeapBase;
}

bool OutcomesAgree(const AgreementContext& context, Mismatch* mismatch) {
  const Outcome& model = context.model.outcome;
  const Outcome& real = context.real.outcome;
  bool same = model.kind == real.kind;
  if (same && model.kind != Outcome::Kind::kValue) {
    same = model.value == real.value;
  } else if (same && ReturnsAddress(context.step.op)) {
    same = model.value == real.value ||
           (!IsProgramsAddress(context.config, model.value) &&
            !IsProgramsAddress(context.config, real.value));
  }
  return same || Part(mismatch, DebugString(model), DebugString(real));
}

// ---- Tasks ----

// check(slot, model, real) for every task that lives on both.
template <typename Check>
bool ForTasks(const AgreementContext& context, const Check& check) {
  for (int slot = 0; slot < kTaskSlots; ++slot) {
    const TaskState& model = context.model.world.tasks[slot];
    const TaskState& real = context.real.world.tasks[slot];
    if (!model.exists || !real.exists) continue;
    if (!check(slot, model, real)) return false;
  }
  return true;
}

std::string OfTask(int slot, absl::string_view what) {
  return absl::StrCat("task ", slot, ": ", what);
}

bool PartNumber(Mismatch* mismatch, int slot, absl::string_view what,
                uint64_t model, uint64_t real) {
  return Part(mismatch, OfTask(slot, absl::StrCat(what, " ", model)),
              OfTask(slot, absl::StrCat(what, " ", real)));
}

bool TasksAgree(const AgreementContext& context, Mismatch* mismatch) {
  const auto& model = context.model.world.tasks;
  const auto& real = context.real.world.tasks;
  for (int slot = 0; slot < kTaskSlots; ++slot) {
    if (model[slot].exists != real[slot].exists) {
      return Part(mismatch, OfTask(slot, model[slot].exists ? "lives" : "gone"),
                  OfTask(slot, real[slot].exists ? "lives" : "gone"));
    }
  }
  for (int a = 0; a < kTaskSlots; ++a) {
    for (int b = a + 1; model[a].exists && b < kTaskSlots; ++b) {
      if (!model[b].exists) continue;
      const bool in_model = model[a].mm == model[b].mm;
      if (in_model == (real[a].mm == real[b].mm)) continue;
      const std::string pair = absl::StrCat("tasks ", a, " and ", b, ": ");
      return Part(mismatch, absl::StrCat(pair, in_model ? "one mm" : "two mms"),
                  absl::StrCat(pair, in_model ? "two mms" : "one mm"));
    }
  }
  return true;
}

bool CredentialsAgree(const AgreementContext& context, Mismatch* mismatch) {
  return ForTasks(context, [mismatch](int slot, const TaskState& model,
                                      const TaskState& real) {
    if (model.memlock_limit != real.memlock_limit) {
      return PartNumber(mismatch, slot, "RLIMIT_MEMLOCK", model.memlock_limit,
                        real.memlock_limit);
    }
    if (model.cap_ipc_lock != real.cap_ipc_lock) {
      return PartNumber(mismatch, slot, "CAP_IPC_LOCK", model.cap_ipc_lock,
                        real.cap_ipc_lock);
    }
    return model.uid == real.uid ||
           PartNumber(mismatch, slot, "uid slot", model.uid, real.uid);
  });
}

bool LockedVmAgrees(const AgreementContext& context, Mismatch* mismatch) {
  return ForTasks(context, [mismatch](int slot, const TaskState& model,
                                      const TaskState& real) {
    return model.locked_vm == real.locked_vm ||
           PartNumber(mismatch, slot, "locked_vm", model.locked_vm.n,
                      real.locked_vm.n);
  });
}

bool TotalVmAgrees(const AgreementContext& context, Mismatch* mismatch) {
  return ForTasks(context, [mismatch](int slot, const TaskState& model,
                                      const TaskState& real) {
    return model.total_vm == real.total_vm ||
           PartNumber(mismatch, slot, "total_vm", model.total_vm.n,
                      real.total_vm.n);
  });
}

bool BrkAgrees(const AgreementContext& context, Mismatch* mismatch) {
  return ForTasks(context, [mismatch](int slot, const TaskState& model,
                                      const TaskState& real) {
    return model.brk == real.brk ||
           PartNumber(mismatch, slot, "brk", model.brk - kHeapBase,
                      real.brk - kHeapBase);
  });
}

// ---- Pages ----

std::string OfPage(const AgreementContext& context, int slot, uint64_t index,
                   absl::string_view what) {
  const uint64_t arena = IndexOf(context.config).arena_pages;
  return absl::StrFormat("task %d, %s page %d: %s", slot,
                         index < arena ? "arena" : "heap",
                         index < arena ? index : index - arena, what);
}

// A property of single pages by one bit mask: what of `mask` is set must be the
// same where the page is mapped on both. words(bits) describes a side.
template <typename Words>
bool BitsAgree(const AgreementContext& context, uint32_t mask,
               const Words& words, Mismatch* mismatch) {
  return ForTasks(context, [&](int slot, const TaskState&, const TaskState&) {
    const std::vector<uint32_t>& model = context.model.pages[slot];
    const std::vector<uint32_t>& real = context.real.pages[slot];
    for (size_t i = 0; i < model.size(); ++i) {
      if (((model[i] ^ real[i]) & mask) == 0) continue;
      if (mask != Side::kPageMapped &&
          (model[i] & real[i] & Side::kPageMapped) == 0) {
        continue;
      }
      return Part(mismatch, OfPage(context, slot, i, words(model[i])),
                  OfPage(context, slot, i, words(real[i])));
    }
    return true;
  });
}

bool MappedAgrees(const AgreementContext& context, Mismatch* mismatch) {
  return BitsAgree(
      context, Side::kPageMapped,
      [](uint32_t bits) { return bits != 0 ? "mapped" : "unmapped"; },
      mismatch);
}

bool ProtectionAgrees(const AgreementContext& context, Mismatch* mismatch) {
  return BitsAgree(
      context, contracts::kAccessBits,
      [](uint32_t bits) {
        std::string text;
        text.push_back((bits & kRangeRead) != 0 ? 'r' : '-');
        text.push_back((bits & kRangeWrite) != 0 ? 'w' : '-');
        text.push_back((bits & kRangeExec) != 0 ? 'x' : '-');
        return text;
      },
      mismatch);
}

bool SharedAgrees(const AgreementContext& context, Mismatch* mismatch) {
  return BitsAgree(
      context, kRangeShared,
      [](uint32_t bits) {
        return (bits & kRangeShared) != 0 ? "shared" : "private";
      },
      mismatch);
}

bool LockedAgrees(const AgreementContext& context, Mismatch* mismatch) {
  return BitsAgree(
      context, kRangeLocked,
      [](uint32_t bits) {
        return (bits & kRangeLocked) != 0 ? "VM_LOCKED" : "not VM_LOCKED";
      },
      mismatch);
}

bool OnfaultAgrees(const AgreementContext& context, Mismatch* mismatch) {
  if ((context.sees & wire::kSeesOnfault) == 0) return true;
  return BitsAgree(
      context, kRangeLockOnFault,
      [](uint32_t bits) {
        return (bits & kRangeLockOnFault) != 0 ? "VM_LOCKONFAULT"
                                               : "not VM_LOCKONFAULT";
      },
      mismatch);
}

// check(slot, index, bits, model, real) for every page that is mapped on both
// and that is not of a kind whose pages no two engines have alike.
template <typename Check>
bool ForPages(const AgreementContext& context, const Check& check) {
  constexpr uint32_t kOtherPages = kRangeIo | kRangeHugetlb;
  const PageIndex index = IndexOf(context.config);
  return ForTasks(context, [&](int slot, const TaskState&, const TaskState&) {
    for (uint64_t i = 0; i < index.count(); ++i) {
      const uint32_t bits = context.model.pages[slot][i];
      if ((bits & context.real.pages[slot][i] & Side::kPageMapped) == 0) {
        continue;
      }
      if ((bits & kOtherPages) != 0) continue;
      const Vpn page = index.page(i);
      if (!check(slot, i, bits, context.model_engine.ObservePage(slot, page),
                 context.real_engine.ObservePage(slot, page))) {
        return false;
      }
    }
    return true;
  });
}

// A huge page comes or does not come by rules of khugepaged and of memory that
// is free in one piece.
bool ComparesResidency(const AgreementContext& context) {
  return context.config.transparent_hugepage == TransparentHugepage::kNever;
}

bool PresentAgrees(const AgreementContext& context, Mismatch* mismatch) {
  if (!ComparesResidency(context)) return true;
  return ForPages(context, [&](int slot, uint64_t i, uint32_t bits,
                               const PageState& model, const PageState& real) {
    if (model.present == real.present) return true;
    // Reclaim may take an unlocked page, fault-around may map what a file's
    // page cache has beside the page that was touched.
    if (model.present && (bits & kRangeLocked) == 0) return true;
    if (real.present && (bits & (kRangeFile | kRangeShared)) != 0) return true;
    if (context.reclaimed && (bits & kRangeLocked) == 0) return true;
    // What reclaim left (all of it, without swap) is there when the memory is
    // locked later without being populated.
    if (context.reclaimed && real.present) return true;
    return Part(
        mismatch,
        OfPage(context, slot, i, model.present ? "present" : "not present"),
        OfPage(context, slot, i, real.present ? "present" : "not present"));
  });
}

// The mechanisms behind PG_mlocked (the walk of the reverse mapping up to 5.17,
// mlock_count from 5.18) agree where a page has one mapping and always had: in
// private anonymous memory of a program that never had a second address space.
// Elsewhere mlock_count may undercount, and the specification allows it.
bool MlockedAgrees(const AgreementContext& context, Mismatch* mismatch) {
  if ((context.sees & wire::kSeesPageFlags) == 0 || context.forked ||
      !ComparesResidency(context)) {
    return true;
  }
  return ForPages(context, [&](int slot, uint64_t i, uint32_t bits,
                               const PageState& model, const PageState& real) {
    if ((bits & (kRangeFile | kRangeShared | kRangeSpecial)) != 0 ||
        !model.present || !real.present || model.mlocked == real.mlocked) {
      return true;
    }
    // The model's came back from swap, the real one never went there.
    if (context.reclaimed && real.mlocked && (bits & kRangeLocked) != 0) {
      return true;
    }
    return Part(
        mismatch,
        OfPage(context, slot, i, model.mlocked ? "Mlocked" : "not Mlocked"),
        OfPage(context, slot, i, real.mlocked ? "Mlocked" : "not Mlocked"));
  });
}

bool PageKindAgrees(const AgreementContext& context, Mismatch* mismatch) {
  if ((context.sees & wire::kSeesPageFlags) == 0 ||
      !ComparesResidency(context)) {
    return true;
  }
  const auto kind = [](const PageState& page) {
    return page.zero_page   ? "the zero page"
           : page.anonymous ? "anonymous"
                            : "of a file";
  };
  return ForPages(context, [&](int slot, uint64_t i, uint32_t,
                               const PageState& model, const PageState& real) {
    if (!model.present || !real.present) return true;
    if (model.zero_page == real.zero_page &&
        model.anonymous == real.anonymous) {
      return true;
    }
    return Part(mismatch, OfPage(context, slot, i, kind(model)),
                OfPage(context, slot, i, kind(real)));
  });
}

// ---- Segments ----

std::string DescribeShm(int slot, const ShmState& segment) {
  if (!segment.exists) return absl::StrCat("segment ", slot, ": none");
  return absl::StrCat("segment ", slot, ": ", segment.size, " bytes, owner ",
                      segment.owner, segment.locked ? ", SHM_LOCKED" : "",
                      segment.removed ? ", removed" : "",
                      segment.hugetlb ? ", hugetlb" : "");
}

bool ShmAgrees(const AgreementContext& context, Mismatch* mismatch) {
  for (int slot = 0; slot < kShmSlots; ++slot) {
    const ShmState& model = context.model.world.shm[slot];
    const ShmState& real = context.real.world.shm[slot];
    const bool same =
        model.exists == real.exists &&
        (!model.exists ||
         (model.locked == real.locked && model.removed == real.removed &&
          model.hugetlb == real.hugetlb && model.owner == real.owner &&
          model.size == real.size));
    if (!same) {
      return Part(mismatch, DescribeShm(slot, model), DescribeShm(slot, real));
    }
  }
  return true;
}

// ---- Counters ----

// NR_MLOCK is the sum of Mlocked pages, those of the executor's image included:
// a comparison has to wait until these are unlocked again. The events differ
// between the mechanisms in ways that no program can see.
bool NrMlockAgrees(const AgreementContext& context, Mismatch* mismatch) {
  if ((context.sees & wire::kSeesCounters) == 0 || context.forked ||
      !ComparesResidency(context)) {
    return true;
  }
  // Any task: the one that has left an address space may have shared it.
  for (const TaskState& task : context.model.world.tasks) {
    for (const Range& range : task.ranges) {
      const bool private_memory =
          (range.bits & (kRangeFile | kRangeShared | kRangeSpecial)) == 0;
      const bool image =
          range.start >= PageOf(kImageBase) && range.end <= PageOf(kHeapBase);
      if (range.Has(kRangeLocked) && (image || !private_memory)) return true;
    }
  }
  int64_t model, real;
  if (!context.model_engine.Counter("nr_mlock", &model).ok() ||
      !context.real_engine.Counter("nr_mlock", &real).ok()) {
    return true;
  }
  return model == real || Part(mismatch, absl::StrCat("NR_MLOCK ", model),
                               absl::StrCat("NR_MLOCK ", real));
}

constexpr Agreement kAgreements[] = {
    {"agree-outcome",
     "a step has the same result, errno or signal on both engines; an address "
     "that the kernel chose outside arena and heap may be any",
     "real-kernels.md 3: results and errnos are deterministic", OutcomesAgree},
    {"agree-tasks", "the same tasks live, and share address spaces alike",
     "fork, exit", TasksAgree},
    {"agree-credentials",
     "tasks have the same limit, capability and user on both engines",
     "getrlimit, capget, getuid", CredentialsAgree},
    {"agree-locked-vm", "locked_vm is the same, the process's image included",
     "/proc/PID/status VmLck: exact at once", LockedVmAgrees},
    {"agree-total-vm", "total_vm is the same, the process's image included",
     "/proc/PID/status VmSize", TotalVmAgrees},
    {"agree-brk", "the end of the heap is the same", "brk", BrkAgrees},
    {"agree-mapped", "the same pages of arena and heap are mapped",
     "/proc/PID/maps", MappedAgrees},
    {"agree-protection", "mapped pages have the same protection",
     "/proc/PID/maps", ProtectionAgrees},
    {"agree-shared", "mapped pages are shared or private alike",
     "/proc/PID/maps", SharedAgrees},
    {"agree-locked", "the same pages are in VM_LOCKED mappings",
     "smaps VmFlags lo: exact at once", LockedAgrees},
    {"agree-onfault",
     "the same pages are in VM_LOCKONFAULT mappings, where the kernel tells",
     "smaps VmFlags lf, named from 6.12 on", OnfaultAgrees},
    {"agree-present",
     "the same pages are resident; an unlocked page may be gone, one of a file "
     "may be there through fault-around",
     "pagemap bit 63: exact at once", PresentAgrees},
    {"agree-mlocked",
     "the same private anonymous pages are Mlocked, while there is one address "
     "space",
     "kpageflags KPF_MLOCKED: exact at once", MlockedAgrees},
    {"agree-page-kind",
     "resident pages are anonymous, of a file or the zero page alike",
     "pagemap bit 61, kpageflags KPF_ZERO_PAGE", PageKindAgrees},
    {"agree-shm", "segments exist, are locked and removed alike",
     "shmctl(IPC_STAT)", ShmAgrees},
    {"agree-nr-mlock",
     "NR_MLOCK has moved alike, where the machine does nothing else",
     "/proc/vmstat after stat_refresh", NrMlockAgrees},
};

}  // namespace

absl::Span<const Agreement> AllAgreements() { return kAgreements; }

struct Comparison::State {
  Config config;
  Side model, real;
  bool forked = false;
  bool reclaimed = false;
  Mismatch mismatch;
};

Comparison::Comparison(Engine* model, Engine* real, uint32_t sees)
    : model_(model),
      real_(real),
      sees_(sees),
      state_(std::make_unique<State>()) {}
Comparison::~Comparison() = default;

namespace {

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
  constexpr uint32_t kMadvPageout = 21;
  return step.op == Op::kReclaim ||
         (step.op == Op::kMadvise && step.flags == kMadvPageout);
}

constexpr uint32_t kEveryTask = (uint32_t{1} << kTaskSlots) - 1;

}  // namespace

absl::Status Comparison::Start(const Config& config) {
  State& state = *state_;
  state.config = config;
  state.forked = false;
  state.reclaimed = false;
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
  if (step.op == Op::kFailAllocation && step.value != 0) {
    over_ = true;
    return std::nullopt;
  }
  const AgreementContext context{.config = state.config,
                                 .step = step,
                                 .sees = sees_,
                                 .forked = state.forked,
                                 .reclaimed = state.reclaimed,
                                 .model = state.model,
                                 .real = state.real,
                                 .model_engine = *model_,
                                 .real_engine = *real_};
  for (const Agreement& row : kAgreements) {
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

namespace {

Pages LockedImage(const TaskState& task, Pages image_lockable) {
  const Vpn start = PageOf(kImageBase);
  return contracts::LockedPages(task, start, start + image_lockable);
}

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
    const bool compares =
        !task.cap_ipc_lock && task.memlock_limit != kRlimInfinity;
    const bool locks_image =
        step.op == Op::kMlockall && (step.flags & uapi::kMclCurrent) != 0;
    if (compares &&
        (locks_image || LockedImage(task, trace.image_lockable) > Pages{0})) {
      return i;
    }
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
