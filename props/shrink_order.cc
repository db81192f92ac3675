// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/shrink_order.h"

#include <array>
#include <bit>
#include <cstddef>
#include <tuple>

#include "engine/uapi.h"
#include "props/shrink.h"

namespace lockstep {
namespace {

// The gap is optional: 0 stands for the profile's own, n + 1 for n pages.
uint64_t GetStackGuardGap(const Config& config) {
  return config.stack_guard_gap ? uint64_t{*config.stack_guard_gap} + 1 : 0;
}
void SetStackGuardGap(Config* config, uint64_t value) {
  if (value == 0) {
    config->stack_guard_gap.reset();
  } else {
    config->stack_guard_gap = static_cast<uint32_t>(value - 1);
  }
}

#define LOCKSTEP_CONFIG_FIELD(field, minimum, is_bytes)         \
  {                                                             \
#field,                                                       \
        [](const Config& config) -> uint64_t {                    \
          return static_cast<uint64_t>(config.field);             \
        },                                                        \
        [](Config* config, uint64_t value) {                      \
          config->field = static_cast<decltype(config->field)>(value); \
        },                                                        \
        minimum, is_bytes \
  }
constexpr ConfigField kConfigFields[] = {
    LOCKSTEP_CONFIG_FIELD(transparent_hugepage, 0, false),
    LOCKSTEP_CONFIG_FIELD(nr_hugepages, 0, false),
    LOCKSTEP_CONFIG_FIELD(arena_pages, 1, false),
    LOCKSTEP_CONFIG_FIELD(memory_pages, 1, false),
    LOCKSTEP_CONFIG_FIELD(zones, 1, false),
    LOCKSTEP_CONFIG_FIELD(cpus, 1, false),
    LOCKSTEP_CONFIG_FIELD(hpage_pmd_order, 1, false),
    LOCKSTEP_CONFIG_FIELD(max_map_count, 1, false),
    LOCKSTEP_CONFIG_FIELD(memlock_limit, 0, true),
    LOCKSTEP_CONFIG_FIELD(cap_ipc_lock, 0, false),
    LOCKSTEP_CONFIG_FIELD(protection_keys, 0, false),
    LOCKSTEP_CONFIG_FIELD(uid, 0, false),
    LOCKSTEP_CONFIG_FIELD(image_pages, 0, false),
    LOCKSTEP_CONFIG_FIELD(image_lockable_pages, 0, false),
    LOCKSTEP_CONFIG_FIELD(file_size, 0, true),
    {"stack_guard_gap", GetStackGuardGap, SetStackGuardGap, 0, false},
};
#undef LOCKSTEP_CONFIG_FIELD

// Simplest first. What tells a reader most about locking stands before what the
// rest of the machine does.
constexpr Op kSimplestFirst[] = {
    Op::kNone,         Op::kMlock,
    Op::kMunlock,      Op::kMmap,
    Op::kTouch,        Op::kMunmap,
    Op::kMunlockall,   Op::kMlockall,
    Op::kMlock2,       Op::kMprotect,
    Op::kMincore,      Op::kMsync,
    Op::kMadvise,      Op::kSetrlimit,
    Op::kSetcap,       Op::kSetuid,
    Op::kFork,         Op::kExit,
    Op::kExec,         Op::kBrk,
    Op::kMremap,       Op::kShmget,
    Op::kShmat,        Op::kShmctl,
    Op::kShmdt,        Op::kFtruncate,
    Op::kMemfdSecret,  Op::kDrain,
    Op::kSetCpu,       Op::kPutback,
    Op::kIsolate,      Op::kReclaim,
    Op::kMigrate,      Op::kSplit,
    Op::kCollapse,     Op::kSetAllocationZone,
    Op::kHoldMmapLock, Op::kFailAllocation,
    Op::kFatalSignal,
};
static_assert(std::size(kSimplestFirst) == kOpCount);

constexpr std::array<uint8_t, kOpCount> Ranks() {
  std::array<uint8_t, kOpCount> ranks{};
  uint8_t rank = 0;
  for (Op op : kSimplestFirst) ranks[static_cast<int>(op)] = rank++;
  return ranks;
}
constexpr std::array<uint8_t, kOpCount> kRanks = Ranks();

__extension__ typedef unsigned __int128 Sum;

// Everything that is summed over a program, in the order in which it is
// compared.
struct Totals {
  size_t steps = 0;
  size_t interleavings = 0;
  uint64_t ranks = 0;
  uint64_t unusual_bits = 0;
  uint64_t unusual_config = 0;
  uint64_t unusual_numbers = 0;  // raw addresses, odd offsets and lengths
  Sum lengths = 0;
  Sum pages = 0;
  Sum slots_and_values = 0;
  size_t notes = 0;

  auto Key() const {
    return std::tie(steps, interleavings, ranks, unusual_bits, unusual_config,
                    unusual_numbers, lengths, pages, slots_and_values, notes);
  }
};

void AddAddress(const Address& address, Totals* totals) {
  totals->unusual_numbers += 2 * static_cast<uint64_t>(address.base);
  totals->unusual_numbers += OffsetInPage(address.value) != 0;
  totals->pages += address.value;
}

void AddStep(const Step& step, Totals* totals) {
  totals->interleavings += step.during_count;
  totals->ranks += SimplicityRank(step.op);
  totals->unusual_bits +=
      static_cast<uint64_t>(std::popcount(UnusualFlags(step)) +
                            std::popcount(UnusualProtection(step)));
  AddAddress(step.addr, totals);
  AddAddress(step.new_addr, totals);
  totals->unusual_numbers += LengthKind(step.length);
  totals->lengths += step.length;
  totals->lengths += step.length2;
  totals->slots_and_values += Sum{step.task} + step.slot + step.value;
  for (const During& during : step.interleavings()) {
    totals->ranks += SimplicityRank(during.op);
    AddAddress(during.addr, totals);
    totals->slots_and_values +=
        Sum{during.task} + during.slot + during.nth + during.value;
  }
}

Totals TotalsOf(const Program& program) {
  Totals totals;
  totals.steps = program.steps.size();
  for (const Step& step : program.steps) AddStep(step, &totals);
  for (const ConfigField& field : kConfigFields) {
    const uint64_t value = field.get(program.config);
    if (value == DefaultOf(field)) continue;
    ++totals.unusual_config;
    if (field.is_bytes) totals.unusual_numbers += LengthKind(value);
  }
  totals.notes =
      program.expectations.size() + (program.description.empty() ? 0 : 1);
  return totals;
}

auto Key(const Address& address) {
  return std::make_tuple(address.base, address.value);
}

auto Key(const During& during) {
  return std::make_tuple(SimplicityRank(during.op), during.point, during.nth,
                         during.task, during.slot, during.value,
                         Key(during.addr));
}

auto Key(const Step& step) {
  return std::make_tuple(SimplicityRank(step.op), step.task, step.slot,
                         step.flags, step.prot, step.value, step.length,
                         step.length2, Key(step.addr), Key(step.new_addr));
}

// What the sums leave open: the same numbers in another place.
std::weak_ordering CompareInOrder(const Program& a, const Program& b) {
  // The calls first, so that steps that can change places have one order.
  for (size_t i = 0; i < a.steps.size(); ++i) {
    const auto ranks =
        SimplicityRank(a.steps[i].op) <=> SimplicityRank(b.steps[i].op);
    if (ranks != 0) return ranks;
  }
  for (const ConfigField& field : kConfigFields) {
    const auto values = field.get(a.config) <=> field.get(b.config);
    if (values != 0) return values;
  }
  for (size_t i = 0; i < a.steps.size(); ++i) {
    const auto steps = Key(a.steps[i]) <=> Key(b.steps[i]);
    if (steps != 0) return steps;
    const auto counts = a.steps[i].during_count <=> b.steps[i].during_count;
    if (counts != 0) return counts;
    for (int j = 0; j < a.steps[i].during_count; ++j) {
      const auto during =
          Key(a.steps[i].during[j]) <=> Key(b.steps[i].during[j]);
      if (during != 0) return during;
    }
  }
  return std::weak_ordering::equivalent;
}

}  // namespace

absl::Span<const ConfigField> AllConfigFields() { return kConfigFields; }

uint64_t DefaultOf(const ConfigField& field) {
  static const Config* const kDefault = new Config;
  return field.get(*kDefault);
}

uint32_t SimplicityRank(Op op) { return kRanks[static_cast<int>(op)]; }

Op SimplerOp(Op op) {
  switch (op) {
    case Op::kMlock2:
      return Op::kMlock;
    case Op::kMunmap:
      return Op::kMunlock;
    case Op::kMincore:
    case Op::kMsync:
    case Op::kMadvise:
    case Op::kMprotect:
      return Op::kMunlock;
    case Op::kMmap:
      return Op::kMunlock;
    case Op::kMremap:
      return Op::kMunmap;
    case Op::kExec:
      return Op::kExit;
    case Op::kExit:
      return Op::kMunlockall;
    case Op::kMigrate:
      return Op::kIsolate;
    case Op::kReclaim:
      return Op::kDrain;
    default:
      return Op::kNone;
  }
}

uint32_t UnusualFlags(const Step& step) {
  switch (step.op) {
    case Op::kMmap:
      return step.flags ^
             (uapi::kMapPrivate | uapi::kMapFixed | uapi::kMapAnonymous);
    case Op::kMlockall:
      return step.flags ^ uapi::kMclCurrent;
    case Op::kMremap:
    case Op::kMsync:
    case Op::kMlock2:
    case Op::kShmat:
      return step.flags;
    default:
      return 0;
  }
}

uint32_t UnusualProtection(const Step& step) {
  if (!InfoOf(step.op).Uses(Field::kProt)) return 0;
  return step.prot ^ (uapi::kProtRead | uapi::kProtWrite);
}

void ClearUnusedFields(Step* step) {
  const OpInfo& info = InfoOf(step->op);
  if (!info.Uses(Field::kAddr)) step->addr = Address();
  if (!info.Uses(Field::kNewAddr)) step->new_addr = Address();
  if (!info.Uses(Field::kLength)) step->length = 0;
  if (!info.Uses(Field::kLength2)) step->length2 = 0;
  if (!info.Uses(Field::kFlags)) step->flags = 0;
  if (!info.Uses(Field::kProt)) step->prot = 0;
  if (!info.Uses(Field::kSlot)) step->slot = 0;
  if (!info.Uses(Field::kValue)) step->value = 0;
  if (step->op == Op::kMmap && (step->flags & uapi::kMapAnonymous) != 0) {
    step->slot = 0;
    step->value = 0;
  }
  if (step->op == Op::kMremap && (step->flags & uapi::kMremapFixed) == 0) {
    step->new_addr = Address();
  }
  if (step->op == Op::kReclaim && step->value == 0) step->addr = Address();
  for (int i = 0; i < kMaxDuring; ++i) {
    During& during = step->during[i];
    if (i >= step->during_count) {
      during = During();
      continue;
    }
    const OpInfo& action = InfoOf(during.op);
    if (!action.Uses(Field::kAddr)) during.addr = Address();
    if (!action.Uses(Field::kSlot)) during.slot = 0;
    if (!action.Uses(Field::kValue)) during.value = 0;
    if (during.op == Op::kReclaim && during.value == 0) {
      during.addr = Address();
    }
  }
}

uint32_t LengthKind(uint64_t bytes) {
  if (bytes == 0) return 1;
  return OffsetInPage(bytes) == 0 ? 0 : 2;
}

bool IsSimpler(const Program& a, const Program& b) {
  // The sums cost a pass over both programs: the length alone settles most.
  if (a.steps.size() != b.steps.size()) {
    return a.steps.size() < b.steps.size();
  }
  const Totals totals_a = TotalsOf(a);
  const Totals totals_b = TotalsOf(b);
  if (totals_a.Key() != totals_b.Key()) return totals_a.Key() < totals_b.Key();
  return CompareInOrder(a, b) < 0;
}

}  // namespace lockstep
