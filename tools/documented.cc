// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/documented.h"

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/uapi.h"

namespace lockstep {
namespace {

// Addresses from the base on that a reproducer calls its own: nothing else is
// mapped there in a process on x86-64.
constexpr uint64_t kArenaBytes = uint64_t{1} << 44;
constexpr uint64_t kHeapBytes = uint64_t{1} << 30;
// vm.mmap_min_addr: nothing can be mapped below.
constexpr uint64_t kMinAddress = 65536;
// Ranges up to this size are looked at page by page.
constexpr uint64_t kPagesToLookAt = 256;
// What the vector of a reproducer's mincore holds.
constexpr uint64_t kMincoreBytes = uint64_t{65536} << kPageShift;
constexpr uint32_t kMmapFlags4_9 =
    0x03 | uapi::kMapFixed | uapi::kMapAnonymous | uapi::kMapGrowsdown |
    uapi::kMapLocked | uapi::kMapPopulate | uapi::kMapNonblock | 0x4000 |
    0x20000 | uapi::kMapHugetlb;

// The call changes or accesses memory, so it must stay inside arena and heap.
bool IsDestructive(const Step& step) {
  switch (step.op) {
    case Op::kMmap:
      return (step.flags & uapi::kMapFixed) != 0;
    case Op::kMunmap:
    case Op::kMprotect:
    case Op::kMremap:
    case Op::kMadvise:
    case Op::kShmat:
    case Op::kShmdt:
    case Op::kTouch:
      return true;
    default:
      return false;
  }
}

// No page of the reproducer's own image can be in [start, start + length).
bool IsHarmless(uint64_t start, uint64_t length) {
  if (start >= kTaskSize) return true;
  uint64_t end = start + PageAlign(length == 0 ? 1 : length);
  if (end <= start) return true;  // wraps around: refused by every call
  const auto within = [&](uint64_t base, uint64_t bytes) {
    return start >= base && end <= base + bytes;
  };
  return within(kArenaBase, kArenaBytes) || within(kHeapBase, kHeapBytes) ||
         within(0, kMinAddress);
}

bool KnowsMapFlags(const Profile& profile, uint32_t flags) {
  uint32_t known = kMmapFlags4_9;
  if (profile.Has(Behaviour::kMapFixedNoreplace)) {
    known |= uapi::kMapFixedNoreplace;
  }
  const uint32_t type = flags & uapi::kMapType;
  if (type == uapi::kMapSharedValidate &&
      !profile.Has(Behaviour::kMapSharedValidate)) {
    return false;
  }
  if (type == uapi::kMapDroppable && profile.Has(Behaviour::kMapDroppable)) {
    known |= uapi::kMapDroppable;
  }
  return (flags & ~known) == 0;
}

// The advice is among what the kernel's profile has; that of v4.9 at least.
bool KnowsAdvice(const Profile& profile, uint32_t advice) {
  static constexpr struct {
    uint32_t last;
    Behaviour behaviour;
  } kAdviceSince[] = {
      {uapi::kMadvKeeponfork, Behaviour::kMadvWipeonfork},
      {uapi::kMadvPageout, Behaviour::kMadvCold},
      {uapi::kMadvPopulateWrite, Behaviour::kMadvPopulate},
      {uapi::kMadvDontneedLocked, Behaviour::kMadvDontneedLocked},
      {uapi::kMadvCollapse, Behaviour::kMadvCollapse},
      {uapi::kMadvGuardRemove, Behaviour::kMadvGuard},
  };
  if (advice <= uapi::kMadvDodump) return true;
  for (const auto& row : kAdviceSince) {
    if (advice <= row.last) return profile.Has(row.behaviour);
  }
  return false;
}

// Why this step cannot be part of a reproducer, looking at it alone; empty if
// it can.
std::string ReasonToLeaveOut(const Step& step, const Profile& profile,
                             bool any_machine) {
  if (step.op == Op::kNone) return "it is no call";
  if (IsEnvironment(step.op)) {
    return "what the rest of the machine does cannot be forced from user space";
  }
  const uint64_t address = step.addr.Resolve();
  if (IsDestructive(step)) {
    const uint64_t length =
        step.op == Op::kTouch || step.op == Op::kShmdt || step.op == Op::kShmat
            ? 1
            : step.length;
    const bool harmless = IsHarmless(address, length) &&
                          (step.op != Op::kMremap ||
                           ((step.flags & uapi::kMremapFixed) == 0 ||
                            IsHarmless(step.new_addr.Resolve(), step.length2)));
    // shmat(NULL) lets the kernel choose.
    if (!harmless) return "it could hit the memory of this process itself";
  } else if (address >= kMmapBase && address < kTaskSize) {
    return "something of this process itself may be mapped there";
  }
  switch (step.op) {
    case Op::kMmap:
      if (!KnowsMapFlags(profile, step.flags)) {
        return "its flags are newer than the documented kernel";
      }
      break;
    case Op::kMremap: {
      uint32_t known = uapi::kMremapMaymove | uapi::kMremapFixed;
      if (profile.Has(Behaviour::kMremapDontunmap)) {
        known |= uapi::kMremapDontunmap;
      }
      if ((step.flags & ~known) != 0) {
        return "its flags are newer than the documented kernel";
      }
      break;
    }
    case Op::kMadvise:
      if (!KnowsAdvice(profile, step.flags)) {
        return "its advice is newer than the documented kernel";
      }
      if (step.flags == uapi::kMadvCollapse && any_machine) {
        return "it depends on how the kernel was configured";
      }
      if (step.flags >= uapi::kMadvFree && step.flags <= uapi::kMadvRemove &&
          step.flags != uapi::kMadvFree) {
        return "it depends on the file system";
      }
      if (any_machine && (step.flags == uapi::kMadvMergeable ||
                          step.flags == uapi::kMadvUnmergeable ||
                          step.flags == uapi::kMadvHugepage ||
                          step.flags == uapi::kMadvNohugepage)) {
        return "it depends on how the kernel was configured";
      }
      break;
    case Op::kMincore:
      if (step.length > kMincoreBytes) return "its vector would be huge";
      break;
    case Op::kBrk:
      if (step.addr.base != Address::Base::kHeap ||
          step.addr.value >= kHeapBytes) {
        return "the heap of a process is somewhere else";
      }
      break;
    default:
      break;
  }
  return "";
}

// What makes the whole program useless, looking at the step alone.
absl::string_view ObstacleOf(const Step& step, bool any_machine) {
  switch (step.op) {
    case Op::kMmap:
      if ((step.flags & uapi::kMapHugetlb) != 0) {
        return "it maps hugetlb pages, whose size differs from the model's";
      }
      if ((step.flags & uapi::kMapAnonymous) == 0 &&
          step.value != static_cast<uint32_t>(MmapSource::kFile)) {
        return "it maps the memory of a device or of memfd_secret";
      }
      [[fallthrough]];
    case Op::kMprotect:
      if (any_machine && step.prot == uapi::kProtExec) {
        return "it has execute-only memory, which some processors keep by "
               "protection keys";
      }
      break;
    case Op::kFork:
      if (step.value != 0) return "it has tasks that share an address space";
      break;
    case Op::kShmget:
      if (step.value != 0) return "it needs hugetlb pages for a segment";
      break;
    case Op::kMemfdSecret:
      return "not every kernel lets a program have memfd_secret";
    default:
      break;
  }
  return "";
}

std::vector<std::string> ObstaclesOf(const Config& config) {
  std::vector<std::string> obstacles;
  if (config.max_map_count != Config().max_map_count) {
    obstacles.push_back(
        absl::StrCat("it needs vm.max_map_count=", config.max_map_count,
                     ", which holds for the whole machine"));
  }
  if (config.stack_guard_gap.has_value()) {
    obstacles.push_back("it needs its own stack_guard_gap at boot");
  }
  return obstacles;
}

// Bytes of the task's mappings within the range.
uint64_t MappedBytes(const TaskState& task, uint64_t start, uint64_t length) {
  uint64_t first = start & kPageMask;
  uint64_t last = PageAlign(start + length);
  if (last <= first) return 0;
  uint64_t bytes = 0;
  for (const Range& range : task.ranges) {
    const uint64_t begin = std::max(first, AddressOf(range.start));
    const uint64_t end = std::min(last, AddressOf(range.end));
    if (begin < end) bytes += end - begin;
  }
  return bytes;
}

// The most that the call can populate, whether or not the kernel that runs it
// refuses it as it should.
uint64_t PopulatedBytes(const Step& step, const TaskState& before) {
  switch (step.op) {
    case Op::kMmap: {
      const bool populates =
          (step.flags & (uapi::kMapLocked | uapi::kMapPopulate)) != 0 ||
          (before.future_locked && !before.future_onfault);
      return populates ? step.length : 0;
    }
    case Op::kMlock:
      return MappedBytes(before, step.addr.Resolve(), step.length);
    case Op::kMlock2:
      if ((step.flags & uapi::kMlockOnfault) != 0) return 0;
      return MappedBytes(before, step.addr.Resolve(), step.length);
    case Op::kMlockall:
      if ((step.flags & uapi::kMclOnfault) != 0) return 0;
      return MappedBytes(before, 0, kTaskSize);
    case Op::kBrk:
      return before.future_locked ? step.addr.value : 0;
    case Op::kMremap:
      return step.length2 > step.length
                 ? std::min(step.length2, kPopulateBudget + 1)
                 : 0;
    case Op::kTouch:
      return kPageSize;
    default:
      return 0;
  }
}

void Append(Vpn start, Vpn end, std::vector<PageSpan>* spans) {
  if (!spans->empty() && spans->back().end == start) {
    spans->back().end = end;
  } else {
    spans->push_back({start, end});
  }
}

// Fills what must be resident, and what must not be, of the task.
void DocumentResidency(const Engine& engine, int task, const TaskState& state,
                       DocumentedStep* out) {
  for (const Range& range : state.ranges) {
    if (!range.Has(kRangeLocked) || !InArena(AddressOf(range.start))) continue;
    const bool onfault = range.Has(kRangeLockOnFault);
    if (!onfault && engine.AllPresent(task, range.start, range.end)) {
      Append(range.start, range.end, &out->resident);
      continue;
    }
    if ((range.end - range.start).n > kPagesToLookAt) continue;
    for (Vpn page = range.start; page < range.end; ++page) {
      const Vpn next = page + Pages{1};
      if (engine.ObservePage(task, page).present) {
        Append(page, next, &out->resident);
      } else if (onfault && !range.Has(kRangeFile)) {
        // Around a fault in a file the kernel maps the neighbours too.
        Append(page, next, &out->absent);
      }
    }
  }
}

// Fills which pages must be Mlocked. For those that are locked on fault it
// hangs on who has touched them before.
void DocumentMlocked(const Engine& engine, int task, const TaskState& state,
                     DocumentedStep* out) {
  for (const Range& range : state.ranges) {
    if (!range.Has(kRangeLocked) || range.Has(kRangeLockOnFault) ||
        !InArena(AddressOf(range.start)) ||
        (range.end - range.start).n > kPagesToLookAt) {
      continue;
    }
    for (Vpn page = range.start; page < range.end; ++page) {
      const PageState seen = engine.ObservePage(task, page);
      if (seen.anonymous && seen.mlocked && !seen.huge) {
        Append(page, page + Pages{1}, &out->mlocked);
      }
    }
  }
}

absl::Status RunDocumented(Config config, Engine* engine,
                           std::vector<DocumentedStep>* steps) {
  if (absl::Status status = engine->Reset(config); !status.ok()) return status;
  TaskState state;
  for (DocumentedStep& documented : *steps) {
    if (!documented.left_out.empty()) continue;
    const int task = documented.step.task % kTaskSlots;
    engine->Observe(task, &documented.before);
    Outcome outcome = engine->Run(documented.step);
    if (documented.step.op == Op::kBrk && outcome.ok() &&
        static_cast<uint64_t>(outcome.value) !=
            documented.step.addr.Resolve()) {
      // brk has no errno: a refusal leaves the end where it was.
      outcome = Outcome::Errno(ENOMEM);
    }
    documented.outcomes = {outcome};
    documented.out_of_memory = engine->Events().allocation_failed;
    documented.locked_vm.reset();
    documented.locked_elsewhere = false;
    documented.resident.clear();
    documented.absent.clear();
    documented.mlocked.clear();
    engine->Observe(task, &state);
    if (state.exists) {
      documented.locked_vm = state.locked_vm;
      documented.cap_ipc_lock = state.cap_ipc_lock;
      for (const Range& range : state.ranges) {
        const uint64_t start = AddressOf(range.start);
        documented.locked_elsewhere |=
            range.Has(kRangeLocked) && !InArena(start) && !InHeap(start);
      }
      DocumentResidency(*engine, task, state, &documented);
      DocumentMlocked(*engine, task, state, &documented);
    }
  }
  return absl::OkStatus();
}

// The same outcome to one who does not look at the value of a success.
bool SameKind(const Outcome& a, const Outcome& b) {
  return (a.ok() && b.ok()) || a == b;
}

// Adds what the program may do on another kernel to what it may do already.
void Widen(const std::vector<DocumentedStep>& other,
           std::vector<DocumentedStep>* steps) {
  for (size_t i = 0; i < steps->size(); ++i) {
    DocumentedStep& step = (*steps)[i];
    const DocumentedStep& more = other[i];
    if (!step.left_out.empty()) continue;
    for (const Outcome& outcome : more.outcomes) {
      const bool known = std::any_of(
          step.outcomes.begin(), step.outcomes.end(),
          [&](const Outcome& have) { return SameKind(have, outcome); });
      // On an empty slot there, after a call that failed there.
      if (!known && outcome.ran()) step.outcomes.push_back(outcome);
    }
    if (step.locked_vm != more.locked_vm) step.locked_vm.reset();
    step.locked_elsewhere |= more.locked_elsewhere;
    if (step.resident != more.resident || step.absent != more.absent) {
      step.resident.clear();
      step.absent.clear();
    }
    if (step.mlocked != more.mlocked) step.mlocked.clear();
  }
}

// Every other kernel that has the documented calls.
void WidenToOtherKernels(Config config, Engine* engine,
                         std::vector<DocumentedStep>* steps) {
  const Profile* const own = config.profile;
  for (const Profile& profile : AllProfiles()) {
    if (&profile == own || !profile.Has(Behaviour::kMlock2)) continue;
    config.SetProfile(profile);
    config.defects = DefectSet();
    std::vector<DocumentedStep> there = *steps;
    if (RunDocumented(config, engine, &there).ok()) Widen(there, steps);
  }
}

}  // namespace

bool InArena(uint64_t address) {
  return address >= kArenaBase && address - kArenaBase < kArenaBytes;
}
bool InHeap(uint64_t address) {
  return address >= kHeapBase && address - kHeapBase < kHeapBytes;
}

const Profile& DocumentedProfile(const Program& program) {
  const Profile& own = *program.config.profile;
  return own.Has(Behaviour::kMlock2) ? own : DefaultProfile();
}

absl::StatusOr<DocumentedProgram> Document(const Program& program,
                                           Engine* engine, bool any_machine) {
  DocumentedProgram result;
  result.profile = &DocumentedProfile(program);
  result.obstacles = ObstaclesOf(program.config);
  for (size_t i = 0; i < program.steps.size(); ++i) {
    DocumentedStep documented;
    documented.index = i;
    documented.step = program.steps[i];
    documented.step.during_count = 0;
    documented.step.during = {};
    documented.left_out =
        ReasonToLeaveOut(documented.step, *result.profile, any_machine);
    result.needs_environment |= program.steps[i].during_count != 0 ||
                                IsEnvironment(program.steps[i].op);
    if (absl::string_view obstacle = ObstacleOf(documented.step, any_machine);
        !obstacle.empty()) {
      result.obstacles.emplace_back(obstacle);
    }
    result.steps.push_back(std::move(documented));
  }

  Config config = program.config;
  config.SetProfile(*result.profile);
  config.defects = DefectSet();
  if (absl::Status status = RunDocumented(config, engine, &result.steps);
      !status.ok()) {
    return status;
  }
  if (any_machine) WidenToOtherKernels(config, engine, &result.steps);
  uint64_t populated = 0;
  for (DocumentedStep& step : result.steps) {
    if (!step.left_out.empty()) continue;
    if (step.out_of_memory) {
      result.obstacles.push_back(absl::StrCat(
          "step ", step.index, " needs a machine of ", config.memory_pages,
          " pages of memory, which it runs out of"));
    }
    if (!step.outcomes.front().ran()) {
      step.left_out = "in the program it is a step on an empty slot";
      continue;
    }
    const uint64_t more = PopulatedBytes(step.step, step.before);
    populated += std::min(more, kPopulateBudget + 1);
  }
  if (populated > kPopulateBudget) {
    result.obstacles.push_back(absl::StrCat("it could populate more than ",
                                            kPopulateBudget >> 20,
                                            " MiB of memory"));
  }
  return result;
}

}  // namespace lockstep
