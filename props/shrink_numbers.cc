// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Shrink passes over the configuration, slots, addresses, lengths and values.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/uapi.h"
#include "props/shrink.h"
#include "props/shrink_order.h"
#include "props/shrink_passes.h"

namespace lockstep::shrink_internal {
namespace {

// Ranges longer than this are meant to wrap or to overflow, not to cover pages.
constexpr uint64_t kLongestRange = uint64_t{1} << 46;

bool IsArena(const Address& address) {
  return address.base == Address::Base::kArena && address.value < kLongestRange;
}

bool UsesRange(const Step& step) {
  return InfoOf(step.op).Uses(Field::kAddr) &&
         InfoOf(step.op).Uses(Field::kLength) && IsArena(step.addr) &&
         step.length < kLongestRange;
}

// length2 is a length of mremap, but an offset in pages of mmap.
bool Length2IsBytes(const Step& step) { return step.op == Op::kMremap; }

// The lengths in bytes of the program's calls.
std::vector<uint64_t*> LengthsOf(Program* program) {
  std::vector<uint64_t*> lengths;
  for (Step& step : program->steps) {
    if (InfoOf(step.op).Uses(Field::kLength)) lengths.push_back(&step.length);
    if (Length2IsBytes(step)) lengths.push_back(&step.length2);
  }
  return lengths;
}

// A number that must stay above some bound gets there in few candidates: less
// by a quarter as often as that goes, then by a sixteenth, ...
constexpr std::array<int, 7> kShares = {2, 4, 8, 12, 16, 24, 32};

// Number `variant` of the lengths to try instead of this one.
constexpr uint64_t kLengthVariants = 5 + kShares.size();
uint64_t LengthVariant(uint64_t length, uint64_t variant) {
  switch (variant) {
    case 0:
      return kPageSize;
    case 1:
      return length / 2 & kPageMask;
    case 2:
      return length & kPageMask;
    case 3:
      return PageAlign(length);
    case 4 + kShares.size():
      return length < kPageSize ? length : length - kPageSize;
    default:
      return PageAlign(length - (length >> kShares[variant - 4]));
  }
}

// 0, half of it, less by a share, one less.
constexpr uint64_t kNumberVariants = 3 + kShares.size();
uint64_t NumberVariant(uint64_t number, uint64_t variant) {
  switch (variant) {
    case 0:
      return 0;
    case 1:
      return number / 2;
    case 2 + kShares.size():
      return number == 0 ? 0 : number - 1;
    default:
      return number - (number >> kShares[variant - 2]);
  }
}

// How much of a number to take away: all, half of it, a share, one.
constexpr uint64_t kPartVariants = 3 + kShares.size();
uint64_t PartVariant(uint64_t number, uint64_t variant) {
  switch (variant) {
    case 0:
      return number;
    case 1:
      return number / 2;
    case 2 + kShares.size():
      return std::min<uint64_t>(number, 1);
    default:
      return number >> kShares[variant - 2];
  }
}

// The pages of the arena that start or end something, in order.
std::vector<uint64_t> BoundariesOf(const Program& program) {
  std::vector<uint64_t> boundaries;
  const auto add = [&boundaries](const Address& address) {
    if (IsArena(address)) boundaries.push_back(PageOf(address.value).n);
  };
  for (const Step& step : program.steps) {
    const OpInfo& info = InfoOf(step.op);
    if (info.Uses(Field::kAddr)) add(step.addr);
    if (info.Uses(Field::kNewAddr)) add(step.new_addr);
    if (UsesRange(step)) {
      boundaries.push_back(PageOf(PageAlign(step.addr.value + step.length)).n);
    }
    for (const During& during : step.interleavings()) {
      if (InfoOf(during.op).Uses(Field::kAddr)) add(during.addr);
    }
  }
  std::sort(boundaries.begin(), boundaries.end());
  boundaries.erase(std::unique(boundaries.begin(), boundaries.end()),
                   boundaries.end());
  return boundaries;
}

// What becomes of a byte of the arena when the `count` pages before `page` are
// taken out of it.
uint64_t Squeeze(uint64_t value, uint64_t page, uint64_t count) {
  const uint64_t end = page * kPageSize;
  const uint64_t start = end - count * kPageSize;
  if (value >= end) return value - (end - start);
  return value > start ? start + OffsetInPage(value) : value;
}

void SqueezeArena(uint64_t page, uint64_t count, Program* program) {
  for (Step& step : program->steps) {
    if (UsesRange(step)) {
      const uint64_t end = step.addr.value + step.length;
      const uint64_t start = Squeeze(step.addr.value, page, count);
      step.length = std::max(Squeeze(end, page, count), start) - start;
    }
  }
  for (Address* address : AddressesOf(program)) {
    if (IsArena(*address)) {
      address->value = Squeeze(address->value, page, count);
    }
  }
}

// Every finite limit above `count` pages is lowered by as much.
void LowerLimits(uint64_t count, Program* program) {
  const uint64_t bytes = count * kPageSize;
  const auto lower = [bytes](uint64_t* limit) {
    if (*limit != kRlimInfinity && *limit > bytes) *limit -= bytes;
  };
  if (program->config.memlock_limit != Config().memlock_limit) {
    lower(&program->config.memlock_limit);
  }
  for (Step& step : program->steps) {
    if (step.op == Op::kSetrlimit) lower(&step.length);
  }
}

// Slots of one kind are exchanged everywhere at once.
enum class SlotKind : uint8_t { kTask, kFile, kShm, kUser, kCpu, kZone };
constexpr int kSlotKinds = 6;

std::optional<SlotKind> SlotKindOf(Op op) {
  switch (op) {
    case Op::kFork:
      return SlotKind::kTask;
    case Op::kMmap:
    case Op::kFtruncate:
    case Op::kMemfdSecret:
      return SlotKind::kFile;
    case Op::kShmget:
    case Op::kShmat:
    case Op::kShmctl:
      return SlotKind::kShm;
    case Op::kSetuid:
      return SlotKind::kUser;
    case Op::kSetCpu:
      return SlotKind::kCpu;
    case Op::kSetAllocationZone:
      return SlotKind::kZone;
    default:
      return std::nullopt;
  }
}

// Every use of a slot of that kind.
std::vector<uint8_t*> SlotsOf(SlotKind kind, Program* program) {
  std::vector<uint8_t*> slots;
  if (kind == SlotKind::kUser) slots.push_back(&program->config.uid);
  for (Step& step : program->steps) {
    if (kind == SlotKind::kTask) slots.push_back(&step.task);
    const bool anonymous =
        step.op == Op::kMmap && (step.flags & uapi::kMapAnonymous) != 0;
    if (SlotKindOf(step.op) == kind && !anonymous) slots.push_back(&step.slot);
    for (int i = 0; i < step.during_count; ++i) {
      During& during = step.during[i];
      if (kind == SlotKind::kTask) slots.push_back(&during.task);
      if (SlotKindOf(during.op) == kind) slots.push_back(&during.slot);
    }
  }
  return slots;
}

// Task 0 is the one that exists from the start; the others are numbered in the
// order in which they are first named.
void RenumberSlots(SlotKind kind, uint8_t first, Program* program) {
  std::array<uint8_t, 256> names{};
  std::array<bool, 256> named{};
  for (int i = 0; i < first; ++i) {
    names[i] = static_cast<uint8_t>(i);
    named[i] = true;
  }
  uint8_t next = first;
  for (uint8_t* slot : SlotsOf(kind, program)) {
    if (!named[*slot]) {
      named[*slot] = true;
      names[*slot] = next++;
    }
    *slot = names[*slot];
  }
}

}  // namespace

std::vector<Address*> AddressesOf(Program* program) {
  std::vector<Address*> addresses;
  for (Step& step : program->steps) {
    const OpInfo& info = InfoOf(step.op);
    if (info.Uses(Field::kAddr)) addresses.push_back(&step.addr);
    if (info.Uses(Field::kNewAddr)) addresses.push_back(&step.new_addr);
    for (int i = 0; i < step.during_count; ++i) {
      During& during = step.during[i];
      if (InfoOf(during.op).Uses(Field::kAddr)) {
        addresses.push_back(&during.addr);
      }
    }
  }
  return addresses;
}

// All fields at once, then each alone.
std::optional<Program> DefaultConfig(const Program& program, uint64_t index) {
  const absl::Span<const ConfigField> fields = AllConfigFields();
  if (index > fields.size()) return std::nullopt;
  Program result = Bare(program);
  for (size_t i = 0; i < fields.size(); ++i) {
    if (index == 0 || index - 1 == i) {
      fields[i].set(&result.config, DefaultOf(fields[i]));
    }
  }
  return result;
}

// What a step of the first task changes, it can have from the start.
std::optional<Program> StepToConfig(const Program& program, uint64_t index) {
  if (index >= program.steps.size()) return std::nullopt;
  const Step& step = program.steps[index];
  Program result = Bare(program);
  if (step.task != 0) return result;
  switch (step.op) {
    case Op::kSetrlimit:
      result.config.memlock_limit = step.length;
      break;
    case Op::kSetcap:
      result.config.cap_ipc_lock = step.value != 0;
      break;
    case Op::kSetuid:
      result.config.uid = static_cast<uint8_t>(step.slot % kUsers);
      break;
    default:
      return result;
  }
  result.steps.erase(result.steps.begin() + static_cast<ptrdiff_t>(index));
  return result;
}

// A limit that is reached: the default one, and the lengths that reach the old
// one longer by the difference.
std::optional<Program> DefaultLimit(const Program& program, uint64_t index) {
  Program result = Bare(program);
  const std::vector<uint64_t*> lengths = LengthsOf(&result);
  if (index >= lengths.size()) return std::nullopt;
  const uint64_t limit = program.config.memlock_limit;
  const uint64_t default_limit = Config().memlock_limit;
  if (limit >= default_limit) return result;
  result.config.memlock_limit = default_limit;
  const uint64_t length = *lengths[index];
  if (length >= kLongestRange) return result;
  const uint64_t longer = PageAlign(default_limit - limit);
  for (uint64_t* other : lengths) {
    if (*other == length) *other += longer;
  }
  return result;
}

// Huge pages of the default size, and everything larger by as much.
std::optional<Program> DefaultHugePages(const Program& program,
                                        uint64_t index) {
  if (index > 0) return std::nullopt;
  Program result = Bare(program);
  const uint32_t order = program.config.hpage_pmd_order;
  const uint32_t default_order = Config().hpage_pmd_order;
  if (order >= default_order) return result;
  result.config.hpage_pmd_order = default_order;
  const uint32_t shift = default_order - order;
  for (uint64_t* length : LengthsOf(&result)) {
    if (*length < kLongestRange) *length <<= shift;
  }
  for (Address* address : AddressesOf(&result)) {
    if (IsArena(*address)) address->value <<= shift;
  }
  return result;
}

// One length in favour of another, such as those whose sum reaches a limit:
// half of the difference, and a page.
std::optional<Program> BalanceLengths(const Program& program, uint64_t index) {
  Program result = Bare(program);
  const std::vector<uint64_t*> lengths = LengthsOf(&result);
  const uint64_t pairs = lengths.size() * lengths.size();
  if (pairs == 0 || index / 2 >= pairs) return std::nullopt;
  const uint64_t larger = *lengths[index / 2 / lengths.size()];
  const uint64_t smaller = *lengths[index / 2 % lengths.size()];
  if (larger <= smaller) return result;
  const uint64_t difference =
      index % 2 == 0 ? (larger - smaller) / 2 & kPageMask : kPageSize;
  for (uint64_t* length : lengths) {
    if (*length == larger) {
      *length -= difference;
    } else if (*length == smaller) {
      *length += difference;
    }
  }
  return result;
}

std::optional<Program> SmallerConfig(const Program& program, uint64_t index) {
  constexpr uint64_t kVariants = kNumberVariants + kLengthVariants;
  const absl::Span<const ConfigField> fields = AllConfigFields();
  const uint64_t number = index / kVariants;
  const uint64_t variant = index % kVariants;
  if (number >= fields.size()) return std::nullopt;
  const ConfigField& field = fields[number];
  const uint64_t value = field.get(program.config);
  const uint64_t smaller =
      variant < kNumberVariants
          ? NumberVariant(value, variant)
          : LengthVariant(value, variant - kNumberVariants);
  Program result = Bare(program);
  field.set(&result.config, std::max(std::min(smaller, value), field.minimum));
  return result;
}

// Exchanges two slots of one kind, the smaller number of which may be unused.
std::optional<Program> SwapSlots(const Program& program, uint64_t index) {
  constexpr uint64_t kPairs = kTaskSlots * kTaskSlots;
  if (index >= kSlotKinds * kPairs) return std::nullopt;
  const auto kind = static_cast<SlotKind>(index / kPairs);
  const uint64_t a = index % kPairs / kTaskSlots;
  const uint64_t b = index % kTaskSlots;
  Program result = Bare(program);
  if (a >= b) return result;
  for (uint8_t* slot : SlotsOf(kind, &result)) {
    if (*slot == b) {
      *slot = static_cast<uint8_t>(a);
    } else if (*slot == a) {
      *slot = static_cast<uint8_t>(b);
    }
  }
  return result;
}

// The start of a page, its first odd byte, then a place in the arena for what
// is elsewhere.
std::optional<Program> PlainAddress(const Program& program, uint64_t index) {
  constexpr uint64_t kVariants = 3;
  Program result = Bare(program);
  const std::vector<Address*> addresses = AddressesOf(&result);
  if (index / kVariants >= addresses.size()) return std::nullopt;
  Address& address = *addresses[index / kVariants];
  switch (index % kVariants) {
    case 0:
      address.value &= kPageMask;
      break;
    case 1:
      if (OffsetInPage(address.value) > 1) {
        address.value = (address.value & kPageMask) + 1;
      }
      break;
    default:
      if (address.base != Address::Base::kArena) {
        address = Address::Arena({0}, OffsetInPage(address.value));
      }
      break;
  }
  return result;
}

// Takes pages out of the arena: everything behind them moves down, what covers
// them gets shorter. Without and with the limits lowered by as much.
std::optional<Program> SqueezePages(const Program& program, uint64_t index) {
  constexpr uint64_t kVariants = 2 * kPartVariants;
  const std::vector<uint64_t> boundaries = BoundariesOf(program);
  const uint64_t number = index / kVariants;
  if (number >= boundaries.size()) return std::nullopt;
  const uint64_t page = boundaries[number];
  const uint64_t gap = page - (number == 0 ? 0 : boundaries[number - 1]);
  const uint64_t count = PartVariant(gap, index % kVariants / 2);
  Program result = Bare(program);
  if (count == 0) return result;
  SqueezeArena(page, count, &result);
  if (index % 2 == 1) LowerLimits(count, &result);
  return result;
}

// Each length alone; then ranges without their first page.
std::optional<Program> SmallerLength(const Program& program, uint64_t index) {
  Program result = Bare(program);
  const std::vector<uint64_t*> lengths = LengthsOf(&result);
  if (index < lengths.size() * kLengthVariants) {
    uint64_t* length = lengths[index / kLengthVariants];
    *length = LengthVariant(*length, index % kLengthVariants);
    return result;
  }
  index -= lengths.size() * kLengthVariants;
  if (index >= result.steps.size()) return std::nullopt;
  Step& step = result.steps[index];
  if (UsesRange(step) && step.length > kPageSize) {
    step.addr.value += kPageSize;
    step.length -= kPageSize;
  }
  return result;
}

// Everything that counts pages divided by 2^20, ... 2: ranges of gigabytes cost
// every later candidate time.
std::optional<Program> ScaleDown(const Program& program, uint64_t index) {
  constexpr uint64_t kMostShift = 20;
  if (index >= kMostShift) return std::nullopt;
  const uint64_t shift = kMostShift - index;
  const auto scaled = [shift](uint64_t bytes) {
    return bytes <= kPageSize || bytes >= kLongestRange
               ? bytes
               : PageAlign(bytes >> shift);
  };
  Program result = Bare(program);
  for (uint64_t* length : LengthsOf(&result)) *length = scaled(*length);
  for (Address* address : AddressesOf(&result)) {
    if (IsArena(*address)) address->value = scaled(address->value);
  }
  if (result.config.memlock_limit != Config().memlock_limit) {
    result.config.memlock_limit = scaled(result.config.memlock_limit);
  }
  return result;
}

// All lengths and limits that are equal at once.
std::optional<Program> SmallerTogether(const Program& program, uint64_t index) {
  Program result = Bare(program);
  std::vector<uint64_t*> lengths = LengthsOf(&result);
  if (index / kLengthVariants >= lengths.size()) return std::nullopt;
  lengths.push_back(&result.config.memlock_limit);
  const uint64_t length = *lengths[index / kLengthVariants];
  const uint64_t smaller = LengthVariant(length, index % kLengthVariants);
  for (uint64_t* other : lengths) {
    if (*other == length) *other = smaller;
  }
  return result;
}

// Each address alone: page 0, half, one page less, or where another one is.
std::optional<Program> SmallerPage(const Program& program, uint64_t index) {
  Program result = Bare(program);
  const std::vector<Address*> addresses = AddressesOf(&result);
  const uint64_t variants = kNumberVariants + addresses.size();
  if (addresses.empty() || index / variants >= addresses.size()) {
    return std::nullopt;
  }
  Address& address = *addresses[index / variants];
  const uint64_t variant = index % variants;
  if (variant < kNumberVariants) {
    const uint64_t page = NumberVariant(PageOf(address.value).n, variant);
    address.value = page * kPageSize + OffsetInPage(address.value);
  } else {
    address = *addresses[variant - kNumberVariants];
  }
  return result;
}

// The rest of the numbers of a step and its actions, each alone.
std::optional<Program> SmallerNumber(const Program& program, uint64_t index) {
  constexpr uint64_t kStepFields = 5;
  constexpr uint64_t kDuringFields = 4;
  constexpr uint64_t kFields = kStepFields + kMaxDuring * kDuringFields;
  const uint64_t number = index / (kFields * kNumberVariants);
  if (number >= program.steps.size()) return std::nullopt;
  const uint64_t variant = index % kNumberVariants;
  const uint64_t field = index / kNumberVariants % kFields;
  Program result = Bare(program);
  Step& step = result.steps[number];
  const auto reduce = [variant](auto* value) {
    *value = static_cast<std::remove_pointer_t<decltype(value)>>(
        NumberVariant(*value, variant));
  };
  if (field < kStepFields) {
    switch (field) {
      case 0:
        reduce(&step.task);
        break;
      case 1:
        reduce(&step.slot);
        break;
      case 2:
        reduce(&step.value);
        break;
      case 3:
        reduce(&step.flags);
        break;
      default:
        if (!Length2IsBytes(step)) reduce(&step.length2);
        break;
    }
    return result;
  }
  const uint64_t action = (field - kStepFields) / kDuringFields;
  if (action >= step.during_count) return result;
  During& during = step.during[action];
  switch ((field - kStepFields) % kDuringFields) {
    case 0:
      reduce(&during.task);
      break;
    case 1:
      reduce(&during.slot);
      break;
    case 2:
      reduce(&during.nth);
      break;
    default:
      reduce(&during.value);
      break;
  }
  return result;
}

std::optional<Program> Renumber(const Program& program, uint64_t index) {
  if (index > 0) return std::nullopt;
  return Canonical(program);
}

}  // namespace lockstep::shrink_internal

namespace lockstep {

Program Canonical(const Program& program) {
  using namespace shrink_internal;  // NOLINT: the passes' own helpers
  Program result = *ClearUnused(program, 0);
  RenumberSlots(SlotKind::kTask, 1, &result);
  RenumberSlots(SlotKind::kFile, 0, &result);
  RenumberSlots(SlotKind::kShm, 0, &result);
  const std::vector<uint64_t> boundaries = BoundariesOf(result);
  if (!boundaries.empty() && boundaries.front() > 0) {
    SqueezeArena(boundaries.front(), boundaries.front(), &result);
  }
  return result;
}

}  // namespace lockstep
