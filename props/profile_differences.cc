// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/profile_differences.h"

#include <algorithm>
#include <bit>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/reference/page_table.h"
#include "engine/reference/reference_engine.h"

namespace lockstep {
namespace {

template <typename... Ops>
constexpr uint64_t Bits(Ops... ops) {
  return (OpBit(ops) | ...);
}

// Calls that may bring pages in, and so run out of memory, too. mprotect does
// where locked memory becomes writable.
constexpr uint64_t kPopulatingCalls =
    Bits(Op::kMmap, Op::kMprotect, Op::kMlock, Op::kMlock2, Op::kMlockall,
         Op::kMremap, Op::kBrk, Op::kTouch, Op::kMadvise);
// What looks at pages themselves: the state of each decides what happens.
constexpr uint64_t kPageActions = Bits(Op::kReclaim, Op::kIsolate, Op::kPutback,
                                       Op::kMigrate, Op::kCollapse, Op::kSplit);
// Calls that change or add a VMA, which may become one with its neighbours.
constexpr uint64_t kMergingCalls =
    Bits(Op::kMmap, Op::kMprotect, Op::kMremap, Op::kBrk, Op::kMadvise,
         Op::kMlock, Op::kMlock2, Op::kMunlock, Op::kMlockall, Op::kMunlockall);

constexpr ProfileDifference kDifferences[] = {
    {Behaviour::kMlock2, "mlock2, MCL_ONFAULT",
     Bits(Op::kMlock2, Op::kMlockall)},
    {Behaviour::kKillableMmapLock, "EINTR of a call that a fatal signal meets",
     Bits(Op::kMlock, Op::kMlock2, Op::kMunlock, Op::kMlockall,
          Op::kMunlockall)},
    {Behaviour::kMadvFree, "MADV_FREE", Bits(Op::kMadvise)},
    {Behaviour::kLruPerNode, "nothing", 0},
    {Behaviour::kPteMappedThp,
     "whether a huge page is split, and so what goes as one",
     kPopulatingCalls | kPageActions},
    {Behaviour::kFlushOnCompound,
     "when a new huge page is on an LRU list, and so can be reclaimed",
     kPopulatingCalls | kPageActions},
    {Behaviour::kFlushWhenFull,
     "when a new page is on an LRU list, and so can be reclaimed",
     kPopulatingCalls | kPageActions},
    {Behaviour::kStackGuardGap,
     "how near a stack grows; whether its lowest page can be there; how near "
     "to "
     "it memory without an address is put",
     kPopulatingCalls | kPageActions | kMergingCalls |
         Bits(Op::kMunmap, Op::kShmat)},
    {Behaviour::kOnfaultNeedsAccess, "ENOMEM for lock-on-fault without access",
     Bits(Op::kMlock, Op::kMlock2)},
    {Behaviour::kOverlapClampsEnd,
     "which error a range that wraps gets at the limit",
     Bits(Op::kMlock, Op::kMlock2)},
    {Behaviour::kMlockWalksPages,
     "when the pages of a range become Mlocked: what happens inside the call, "
     "and what reclaim takes",
     kPopulatingCalls | kPageActions},
    {Behaviour::kExecuteOnlyPkey,
     "memory of protection EXEC alone cannot be read", kPopulatingCalls},
    {Behaviour::kMapSharedValidate, "MAP_SHARED_VALIDATE", Bits(Op::kMmap)},
    {Behaviour::kMapFixedNoreplace, "MAP_FIXED_NOREPLACE", Bits(Op::kMmap)},
    {Behaviour::kMemfdSecret, "memfd_secret", Bits(Op::kMemfdSecret)},
    {Behaviour::kSecretmemPerUser, "who is charged for secrets, and when",
     kPopulatingCalls},
    {Behaviour::kMapDroppable, "MAP_DROPPABLE", Bits(Op::kMmap)},
    {Behaviour::kBrkShrinkNeedsHeap, "a break that goes down over a hole",
     Bits(Op::kBrk)},
    {Behaviour::kMapStackNoThp,
     "huge pages in memory mapped with MAP_STACK, and which neighbours become "
     "one VMA with it",
     kPopulatingCalls | kPageActions | kMergingCalls},
    {Behaviour::kThpAlignedPlacement,
     "where memory without an address is put, or moves to",
     Bits(Op::kMmap, Op::kMremap)},
    {Behaviour::kMmapUnmapsLast,
     "what a refused mapping leaves of the old one, and why it was refused",
     Bits(Op::kMmap, Op::kShmat)},
    {Behaviour::kMprotectUnaccounts, "which neighbours become one VMA",
     kMergingCalls},
    {Behaviour::kMremapEmptyOverlapsNothing, "old length 0 onto its own start",
     Bits(Op::kMremap)},
    {Behaviour::kMremapNoPrivateCopy, "old length 0 of private memory",
     Bits(Op::kMremap)},
    {Behaviour::kMremapFixedNeedsMaps, "MREMAP_FIXED near max_map_count",
     Bits(Op::kMremap)},
    {Behaviour::kMremapDontunmap, "MREMAP_DONTUNMAP", Bits(Op::kMremap)},
    {Behaviour::kMremapHugetlb, "hugetlb memory; EFAULT before other errors",
     Bits(Op::kMremap)},
    {Behaviour::kMremapChecksFirst,
     "which error, and what is unmapped before it", Bits(Op::kMremap)},
    {Behaviour::kMremapMovesSeveral, "a move of several mappings",
     Bits(Op::kMremap)},
    {Behaviour::kMadvWipeonfork,
     "MADV_WIPEONFORK, MADV_KEEPONFORK, and which neighbours become one VMA "
     "after one that failed half way",
     kMergingCalls | Bits(Op::kFork)},
    {Behaviour::kMadvCold,
     "MADV_COLD, MADV_PAGEOUT; that a call which fails further on has drained "
     "the batch, and so what is on an LRU list",
     Bits(Op::kMadvise) | kPageActions},
    {Behaviour::kMadvPopulate, "MADV_POPULATE_READ, MADV_POPULATE_WRITE",
     Bits(Op::kMadvise)},
    {Behaviour::kMadvDontneedLocked,
     "MADV_DONTNEED_LOCKED; MADV_DONTNEED of hugetlb memory",
     Bits(Op::kMadvise)},
    {Behaviour::kMadvCollapse,
     "MADV_COLLAPSE; that one which fails has drained the batch, and so what "
     "is "
     "on an LRU list",
     Bits(Op::kMadvise) | kPageActions},
    {Behaviour::kMadvRemoveMaywrite,
     "MADV_REMOVE of memory that is mapped for reading", Bits(Op::kMadvise)},
    {Behaviour::kMadvRemoveHugetlb, "MADV_REMOVE of hugetlb memory",
     Bits(Op::kMadvise)},
    {Behaviour::kMadvPopulateStops, "MADV_POPULATE_* with a hole in its range",
     Bits(Op::kMadvise)},
    {Behaviour::kMadvGuard, "MADV_GUARD_INSTALL, MADV_GUARD_REMOVE",
     Bits(Op::kMadvise)},
    {Behaviour::kMergeIntoUntouched, "which neighbours become one VMA",
     kMergingCalls},
    {Behaviour::kThpCowSplits,
     "how much is copied when a huge page is written to after fork",
     kPopulatingCalls | kPageActions},
    {Behaviour::kForkSkipsSharedHugetlb, "which hugetlb pages the child has",
     Bits(Op::kFork)},
};
static_assert(std::size(kDifferences) == kBehaviourCount);

constexpr uint64_t BitOf(Behaviour behaviour) {
  return uint64_t{1} << static_cast<int>(behaviour);
}

uint64_t OpsOf(const Step& step) {
  uint64_t ops = OpBit(step.op);
  for (const During& during : step.interleavings()) ops |= OpBit(during.op);
  return ops;
}

// ---- What is compared ----

std::string DescribeRange(const Range& range) {
  return absl::StrCat("[0x", absl::Hex(AddressOf(range.start)), ", 0x",
                      absl::Hex(AddressOf(range.end)), ") bits 0x",
                      absl::Hex(range.bits), " eof 0x",
                      absl::Hex(AddressOf(range.eof)));
}

// A number of a state, by name.
template <typename State>
struct Number {
  absl::string_view name;
  uint64_t (*of)(const State& state);
};

// The first of the numbers that parts.
template <typename State, size_t kSize>
std::optional<Parting> CompareNumbers(size_t step,
                                      const Number<State> (&numbers)[kSize],
                                      const State& a, const State& b) {
  for (const Number<State>& number : numbers) {
    const uint64_t of_a = number.of(a);
    const uint64_t of_b = number.of(b);
    if (of_a == of_b) continue;
    return Parting{step, absl::StrCat(number.name, " ", of_a),
                   absl::StrCat(number.name, " ", of_b)};
  }
  return std::nullopt;
}

constexpr Number<TaskState> kTaskNumbers[] = {
    {"exists", [](const TaskState& task) { return uint64_t{task.exists}; }},
    {"CAP_IPC_LOCK",
     [](const TaskState& task) { return uint64_t{task.cap_ipc_lock}; }},
    {"uid", [](const TaskState& task) { return uint64_t{task.uid}; }},
    {"mm", [](const TaskState& task) { return uint64_t{task.mm}; }},
    {"locked_vm", [](const TaskState& task) { return task.locked_vm.n; }},
    {"total_vm", [](const TaskState& task) { return task.total_vm.n; }},
    {"VMAs", [](const TaskState& task) { return uint64_t{task.map_count}; }},
    {"RLIMIT_MEMLOCK",
     [](const TaskState& task) { return task.memlock_limit; }},
    {"brk", [](const TaskState& task) { return task.brk; }},
    {"locks of the future",
     [](const TaskState& task) { return uint64_t{task.future_locked}; }},
    {"locks of the future on fault",
     [](const TaskState& task) { return uint64_t{task.future_onfault}; }},
};

std::optional<Parting> CompareTasks(size_t step, int slot, const TaskState& a,
                                    const TaskState& b) {
  if (auto parting = CompareNumbers(step, kTaskNumbers, a, b)) {
    const std::string whose = absl::StrCat("task ", slot, ": ");
    return Parting{step, whose + parting->a, whose + parting->b};
  }
  if (a.ranges == b.ranges) return std::nullopt;
  size_t i = 0;
  while (i < a.ranges.size() && i < b.ranges.size() &&
         a.ranges[i] == b.ranges[i]) {
    ++i;
  }
  const auto word = [&](const TaskState& task) {
    return absl::StrCat("task ", slot, ": VMA ", i, ": ",
                        i < task.ranges.size() ? DescribeRange(task.ranges[i])
                                               : std::string("none"));
  };
  return Parting{step, word(a), word(b)};
}

// What the machine has that no observation shows and a later call meets: the
// call in which it parts is the one to explain.
constexpr Number<reference::Machine> kMachineNumbers[] = {
    {"allocations until one fails:",
     [](const reference::Machine& machine) {
       return uint64_t{machine.fail_allocation};
     }},
    {"tasks with a fatal signal:",
     [](const reference::Machine& machine) {
       uint64_t tasks = 0;
       for (const reference::Task& task : machine.tasks) {
         tasks = tasks << 1 | uint64_t{task.fatal_signal};
       }
       return tasks;
     }},
    {"huge pages in the pool:",
     [](const reference::Machine& machine) { return machine.hugetlb_free; }},
    {"huge pages reserved:",
     [](const reference::Machine& machine) {
       return machine.hugetlb_reserved;
     }},
};

std::string DescribeShm(int slot, const ShmState& segment) {
  return absl::StrCat("segment ", slot, ": exists ", segment.exists, " locked ",
                      segment.locked, " hugetlb ", segment.hugetlb, " removed ",
                      segment.removed, " owner ", segment.owner, " size ",
                      segment.size);
}

std::optional<Parting> CompareShared(size_t step, const Engine& a,
                                     const Engine& b) {
  for (int slot = 0; slot < kShmSlots; ++slot) {
    const ShmState of_a = a.ObserveShm(slot);
    const ShmState of_b = b.ObserveShm(slot);
    if (of_a != of_b) {
      return Parting{step, DescribeShm(slot, of_a), DescribeShm(slot, of_b)};
    }
  }
  const auto number = [step](absl::string_view what, int slot, uint64_t of_a,
                             uint64_t of_b) {
    return Parting{step, absl::StrCat(what, " ", slot, ": ", of_a),
                   absl::StrCat(what, " ", slot, ": ", of_b)};
  };
  for (int uid = 0; uid < kUsers; ++uid) {
    const Pages of_a = a.LockedShm(uid);
    const Pages of_b = b.LockedShm(uid);
    if (of_a != of_b)
      return number("SHM_LOCK pages of user", uid, of_a.n, of_b.n);
  }
  for (int slot = 0; slot < kFileSlots; ++slot) {
    const uint64_t of_a = a.FileSize(slot);
    const uint64_t of_b = b.FileSize(slot);
    if (of_a != of_b) return number("size of file", slot, of_a, of_b);
  }
  return std::nullopt;
}

std::string DescribePage(int task, Vpn page, const PageState& state) {
  return absl::StrCat("task ", task, ": page 0x", absl::Hex(AddressOf(page)),
                      state.present ? "" : " not", " present",
                      state.anonymous ? ", anonymous" : "",
                      state.zero_page ? ", the zero page" : "",
                      state.guard ? ", a guard page" : "");
}

}  // namespace

absl::Span<const ProfileDifference> AllProfileDifferences() {
  return kDifferences;
}

Profile WithBehavioursOf(const Profile& profile, const Profile& other,
                         uint64_t behaviours) {
  Profile mixed = profile;
  mixed.behaviours =
      (profile.behaviours & ~behaviours) | (other.behaviours & behaviours);
  if ((behaviours & BitOf(Behaviour::kStackGuardGap)) != 0) {
    mixed.stack_guard_gap = other.stack_guard_gap;
  }
  return mixed;
}

struct ProfileComparison::Sides {
  reference::ReferenceEngine a, b;
  Config config_a, config_b;
  TaskState task_a, task_b;

  std::optional<Parting> ComparePage(size_t step, int task, Vpn page) const {
    const PageState of_a = a.ObservePage(task, page);
    const PageState of_b = b.ObservePage(task, page);
    if (of_a.present == of_b.present && of_a.anonymous == of_b.anonymous &&
        of_a.zero_page == of_b.zero_page && of_a.guard == of_b.guard) {
      return std::nullopt;
    }
    return Parting{step, DescribePage(task, page, of_a),
                   DescribePage(task, page, of_b)};
  }

  // The pages of the range that this side has entries for.
  std::optional<Parting> CompareEntries(size_t step, int task,
                                        const Range& range,
                                        const reference::Machine& side) const {
    const int mm = side.tasks[task].mm;
    for (Vpn at = range.start;
         auto entry = reference::NextEntry(side, mm, at, range.end);) {
      at = std::max(at, entry->page);
      const Pages covered{entry->huge ? side.huge_pages : 1};
      for (const Vpn end = std::min(entry->page + covered, range.end); at < end;
           ++at) {
        if (auto parting = ComparePage(step, task, at)) return parting;
      }
    }
    return std::nullopt;
  }

  std::optional<Parting> ComparePages(size_t step) {
    for (int task = 0; task < kTaskSlots; ++task) {
      a.Observe(task, &task_a);
      for (const Range& range : task_a.ranges) {
        for (const reference::ReferenceEngine* side : {&a, &b}) {
          if (auto parting =
                  CompareEntries(step, task, range, side->machine())) {
            return parting;
          }
        }
      }
    }
    return std::nullopt;
  }

  std::optional<Parting> CompareStep(size_t step, const Outcome& outcome_a,
                                     const Outcome& outcome_b) {
    if (outcome_a != outcome_b) {
      return Parting{step, DebugString(outcome_a), DebugString(outcome_b)};
    }
    const uint32_t changed = a.ChangedTasks() | b.ChangedTasks();
    for (uint32_t left = changed; left != 0; left &= left - 1) {
      const int task = std::countr_zero(left);
      a.Observe(task, &task_a);
      b.Observe(task, &task_b);
      if (auto parting = CompareTasks(step, task, task_a, task_b)) {
        return parting;
      }
    }
    if (auto parting = CompareShared(step, a, b)) return parting;
    return CompareNumbers(step, kMachineNumbers, a.machine(), b.machine());
  }
};

ProfileComparison::ProfileComparison(absl::Span<const ProfileDifference> table)
    : table_(table), sides_(std::make_unique<Sides>()) {}
ProfileComparison::~ProfileComparison() = default;

absl::Status ProfileComparison::Start(const Program& program, const Profile& a,
                                      const Profile& b) {
  const auto start = [&program](const Profile& profile, Engine* engine) {
    Config config = program.config;
    config.profile = &profile;
    config.defects = DefectSet();
    return engine->Reset(config);
  };
  absl::Status status = start(a, &sides_->a);
  status.Update(start(b, &sides_->b));
  return status;
}

std::optional<Parting> ProfileComparison::RunBoth(absl::Span<const Step> steps,
                                                  bool pages) {
  for (size_t i = 0; i < steps.size(); ++i) {
    const Outcome a = sides_->a.Run(steps[i]);
    const Outcome b = sides_->b.Run(steps[i]);
    steps_ += 2;
    std::optional<Parting> parting = sides_->CompareStep(i, a, b);
    if (!parting && (pages || i + 1 == steps.size())) {
      parting = sides_->ComparePages(i);
    }
    if (parting) return parting;
  }
  return std::nullopt;
}

absl::StatusOr<std::optional<Parting>> ProfileComparison::FirstParting(
    const Program& program, const Profile& a, const Profile& b) {
  steps_ = 0;
  absl::Span<const Step> steps = program.steps;
  if (absl::Status status = Start(program, a, b); !status.ok()) return status;
  std::optional<Parting> parting = RunBoth(steps, /*pages=*/false);
  if (!parting) return parting;
  // Pages may have parted before what was seen.
  steps = steps.first(parting->step + 1);
  if (absl::Status status = Start(program, a, b); !status.ok()) return status;
  return RunBoth(steps, /*pages=*/true);
}

absl::StatusOr<std::optional<Violation>> ProfileComparison::Check(
    const Program& program, const Profile& a, const Profile& b) {
  uint64_t differing = a.behaviours ^ b.behaviours;
  if (a.stack_guard_gap != b.stack_guard_gap) {
    differing |= BitOf(Behaviour::kStackGuardGap);
  }
  Profile mixed = a;  // a, with what explains the partings so far as b has it
  std::vector<absl::string_view> explaining;
  size_t until = 0;  // the step of the first parting
  uint64_t steps = 0;
  Program head = program;
  while (true) {
    absl::StatusOr<std::optional<Parting>> parting =
        FirstParting(head, mixed, b);
    steps += std::exchange(steps_, 0);
    if (!parting.ok()) return parting.status();
    if (!parting->has_value()) break;
    const size_t step = (*parting)->step;
    const uint64_t ops = OpsOf(program.steps[step]);
    uint64_t named = 0;
    for (const ProfileDifference& row : table_) {
      const uint64_t bit = BitOf(row.behaviour);
      if ((differing & bit) == 0 || (row.ops & ops) == 0) continue;
      named |= bit;
      explaining.push_back(
          AllBehaviours()[static_cast<size_t>(row.behaviour)].name);
    }
    if (named == 0) {
      steps_ = steps;
      return Violation{std::string(kProfileDifferences), step,
                       absl::StrCat(a.name, " and ", b.name, " do the same",
                                    explaining.empty() ? "" : " but for ",
                                    absl::StrJoin(explaining, ", ")),
                       absl::StrCat(a.name, ": ", (*parting)->a, "; ", b.name,
                                    ": ", (*parting)->b)};
    }
    differing &= ~named;
    mixed = WithBehavioursOf(mixed, b, named);
    // Behind the first parting nothing is compared.
    until = std::max(until, step);
    head.steps.resize(until + 1);
  }
  steps_ = steps;
  return std::optional<Violation>();
}

}  // namespace lockstep
