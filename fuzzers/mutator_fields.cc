// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Mutations of the fields of steps: towards ranges, boundaries and numbers that
// the program uses already.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <iterator>
#include <optional>
#include <vector>

#include "engine/step_fields.h"
#include "engine/uapi.h"
#include "fuzzers/mutator_operations.h"
#include "props/property.h"
#include "props/shrink_order.h"

namespace lockstep::mutator_internal {
namespace {

// A step among those that `accepts`, the same chance for each; none if there is
// no such step.
template <typename Accepts>
std::optional<size_t> PickStep(const MutationContext& context,
                               const Program& program, const Accepts& accepts) {
  size_t count = 0;
  for (const Step& step : program.steps) count += accepts(step) ? 1 : 0;
  if (count == 0) return std::nullopt;
  size_t skip = context.Pick(count);
  for (size_t i = 0;; ++i) {
    if (accepts(program.steps[i]) && skip-- == 0) return i;
  }
}

bool UsesAddress(const Step& step) {
  return InfoOf(step.op).Uses(Field::kAddr);
}
bool HasRange(const Step& step) {
  return InfoOf(step.op).Uses(Field::kAddr) &&
         InfoOf(step.op).Uses(Field::kLength);
}
bool MovesTo(const Step& step) {
  return step.op == Op::kMremap && (step.flags & uapi::kMremapFixed) != 0;
}

absl::Span<const Step> Before(const Program& program, size_t at) {
  return absl::MakeConstSpan(program.steps).first(at);
}

// Flags that have a name, by call. A call whose flags are one number out of a
// list (advice, commands) gets another number instead.
struct CallFlags {
  Op op;
  bool bits;
  absl::Span<const uint32_t> values;
};
constexpr uint32_t kMmapFlags[] = {
    uapi::kMapShared,        uapi::kMapPrivate,   uapi::kMapDroppable,
    uapi::kMapFixed,         uapi::kMapAnonymous, uapi::kMapGrowsdown,
    uapi::kMapLocked,        uapi::kMapNoreserve, uapi::kMapPopulate,
    uapi::kMapNonblock,      uapi::kMapStack,     uapi::kMapHugetlb,
    uapi::kMapFixedNoreplace};
constexpr uint32_t kMremapFlags[] = {uapi::kMremapMaymove, uapi::kMremapFixed,
                                     uapi::kMremapDontunmap};
constexpr uint32_t kMsyncFlags[] = {uapi::kMsAsync, uapi::kMsInvalidate,
                                    uapi::kMsSync};
constexpr uint32_t kMlock2Flags[] = {uapi::kMlockOnfault, 2};
constexpr uint32_t kMlockallFlags[] = {uapi::kMclCurrent, uapi::kMclFuture,
                                       uapi::kMclOnfault, 8};
constexpr uint32_t kShmatFlags[] = {uapi::kShmRdonly, uapi::kShmRemap};
constexpr uint32_t kAdvice[] = {
    uapi::kMadvNormal,        uapi::kMadvRandom,
    uapi::kMadvSequential,    uapi::kMadvWillneed,
    uapi::kMadvDontneed,      uapi::kMadvFree,
    uapi::kMadvRemove,        uapi::kMadvDontfork,
    uapi::kMadvDofork,        uapi::kMadvMergeable,
    uapi::kMadvUnmergeable,   uapi::kMadvHugepage,
    uapi::kMadvNohugepage,    uapi::kMadvDontdump,
    uapi::kMadvDodump,        uapi::kMadvWipeonfork,
    uapi::kMadvKeeponfork,    uapi::kMadvCold,
    uapi::kMadvPageout,       uapi::kMadvPopulateRead,
    uapi::kMadvPopulateWrite, uapi::kMadvDontneedLocked,
    uapi::kMadvCollapse,      uapi::kMadvGuardInstall,
    uapi::kMadvGuardRemove};
constexpr uint32_t kShmCommands[] = {uapi::kIpcRmid, uapi::kShmLock,
                                     uapi::kShmUnlock};
constexpr CallFlags kCallFlags[] = {
    {Op::kMmap, true, kMmapFlags},         {Op::kMremap, true, kMremapFlags},
    {Op::kMsync, true, kMsyncFlags},       {Op::kMlock2, true, kMlock2Flags},
    {Op::kMlockall, true, kMlockallFlags}, {Op::kShmat, true, kShmatFlags},
    {Op::kMadvise, false, kAdvice},        {Op::kShmctl, false, kShmCommands},
};
const CallFlags* FlagsOf(Op op) {
  for (const CallFlags& row : kCallFlags) {
    if (row.op == op) return &row;
  }
  return nullptr;
}

// Calls that take the same arguments: one may stand for another.
constexpr Op kRangeCalls[] = {Op::kMunmap, Op::kMprotect, Op::kMadvise,
                              Op::kMsync,  Op::kMincore,  Op::kMlock,
                              Op::kMlock2, Op::kMunlock};
constexpr Op kPageActions[] = {Op::kTouch,   Op::kReclaim, Op::kIsolate,
                               Op::kPutback, Op::kMigrate, Op::kCollapse,
                               Op::kSplit};
constexpr Op kWholeCalls[] = {
    Op::kMlockall, Op::kMunlockall,  Op::kExec,        Op::kExit,
    Op::kDrain,    Op::kFatalSignal, Op::kHoldMmapLock};
constexpr absl::Span<const Op> kLikeCalls[] = {kRangeCalls, kPageActions,
                                               kWholeCalls};

constexpr uint64_t kSwitches = OpBit(Op::kFork) | OpBit(Op::kSetcap) |
                               OpBit(Op::kTouch) | OpBit(Op::kSplit) |
                               OpBit(Op::kShmget) | OpBit(Op::kReclaim);

uint32_t NormalValue(Op op, uint32_t value) {
  if ((kSwitches & OpBit(op)) != 0) return value != 0 ? 1 : 0;
  return ValueFromNumber(op, value);
}

// A task that some step makes, or the first.
uint8_t PickTask(const MutationContext& context, const Program& program) {
  std::array<uint8_t, kTaskSlots> tasks = {0};
  size_t count = 1;
  for (const Step& step : program.steps) {
    if (step.op != Op::kFork || count == tasks.size()) continue;
    const auto known = tasks.begin() + static_cast<std::ptrdiff_t>(count);
    if (std::find(tasks.begin(), known, step.slot) == known) {
      tasks[count++] = step.slot;
    }
  }
  // Rarely one that nobody made.
  if (context.random.OneIn(16)) {
    return static_cast<uint8_t>(context.random.Below(kTaskSlots));
  }
  return tasks[context.Pick(count)];
}

// An address of a page inside the range, or one beside it.
Address PageIn(const MutationContext& context, const Step& step) {
  Address address = step.addr;
  const uint64_t pages = std::clamp<uint64_t>(step.length / kPageSize, 1, 64);
  address.value += context.random.Below(pages) * kPageSize;
  return address;
}

}  // namespace

bool RedrawFields(const MutationContext& context, Program* program) {
  const size_t at = context.Pick(program->steps.size());
  Step step = program->steps[at];
  context.vocabulary.RedrawFields(context.random, program->config,
                                  Before(*program, at), &step);
  program->steps[at] = step;
  return true;
}

bool RedrawOneField(const MutationContext& context, Program* program) {
  const size_t at = context.Pick(program->steps.size());
  Step& step = program->steps[at];
  const uint8_t fields = InfoOf(step.op).fields;
  if (fields == 0) return false;
  Step drawn = step;
  context.vocabulary.RedrawFields(context.random, program->config,
                                  Before(*program, at), &drawn);
  uint8_t left = fields;
  size_t skip = context.Pick(static_cast<size_t>(std::popcount(fields)));
  while (skip-- > 0) left &= static_cast<uint8_t>(left - 1);
  switch (static_cast<Field>(left & -left)) {
    case Field::kAddr:
      step.addr = drawn.addr;
      break;
    case Field::kLength:
      step.length = drawn.length;
      break;
    case Field::kProt:
      step.prot = drawn.prot;
      break;
    case Field::kFlags:
      step.flags = drawn.flags;
      break;
    case Field::kSlot:
      step.slot = drawn.slot;
      break;
    case Field::kNewAddr:
      step.new_addr = drawn.new_addr;
      break;
    case Field::kLength2:
      step.length2 = drawn.length2;
      break;
    case Field::kValue:
      step.value = drawn.value;
      break;
  }
  return true;
}

bool ShareRange(const MutationContext& context, Program* program) {
  const std::optional<size_t> to = PickStep(context, *program, UsesAddress);
  const std::optional<size_t> from = PickStep(context, *program, HasRange);
  if (!to || !from || *to == *from) return false;
  Step& step = program->steps[*to];
  const Step& known = program->steps[*from];
  if (!HasRange(step)) {
    step.addr = PageIn(context, known);
  } else if (MovesTo(step) && context.random.OneIn(2)) {
    step.new_addr = known.addr;
  } else {
    step.addr = known.addr;
    step.length = known.length;
  }
  return true;
}

bool TouchBoundary(const MutationContext& context, Program* program) {
  const std::optional<size_t> to = PickStep(context, *program, UsesAddress);
  const std::optional<size_t> from = PickStep(context, *program, HasRange);
  if (!to || !from || *to == *from) return false;
  Step& step = program->steps[*to];
  const Step& known = program->steps[*from];
  const uint64_t start = known.addr.value;
  const uint64_t end = start + known.length;
  step.addr.base = known.addr.base;
  switch (context.random.Below(4)) {
    case 0:  // begins where the other ends
      step.addr.value = end;
      break;
    case 1:  // ends where the other begins
      step.addr.value = start - (HasRange(step) ? step.length : kPageSize);
      break;
    case 2:  // ends where the other ends, or is its last page
      step.addr.value = end - (HasRange(step) ? step.length : kPageSize);
      break;
    default:  // a page more on each side
      step.addr.value = start - kPageSize;
      if (HasRange(step)) step.length = known.length + 2 * kPageSize;
      break;
  }
  return true;
}

bool ShiftAddress(const MutationContext& context, Program* program) {
  const std::optional<size_t> at = PickStep(context, *program, UsesAddress);
  if (!at) return false;
  Step& step = program->steps[*at];
  Address& address =
      MovesTo(step) && context.random.OneIn(2) ? step.new_addr : step.addr;
  const uint64_t huge = uint64_t{1} << program->config.hpage_pmd_order;
  const uint64_t pages[] = {1, 1, 2, huge, huge - 1};
  const uint64_t shift = pages[context.Pick(std::size(pages))] * kPageSize;
  address.value += context.random.OneIn(2) ? shift : -shift;
  return true;
}

bool ResizeRange(const MutationContext& context, Program* program) {
  const std::optional<size_t> at = PickStep(
      context, *program,
      [](const Step& step) { return InfoOf(step.op).Uses(Field::kLength); });
  if (!at) return false;
  Step& step = program->steps[*at];
  uint64_t& length = step.op == Op::kMremap && context.random.OneIn(2)
                         ? step.length2
                         : step.length;
  const uint64_t huge = uint64_t{kPageSize} << program->config.hpage_pmd_order;
  switch (context.random.Below(6)) {
    case 0:
      length += kPageSize;
      break;
    case 1:
      length -= std::min(length, kPageSize);
      break;
    case 2:
      length = huge;
      break;
    case 3:
      length = kPageSize * (1 + context.random.Below(4));
      break;
    case 4:
      length = program->config.memlock_limit & kPageMask;
      break;
    default: {
      const std::optional<size_t> from = PickStep(context, *program, HasRange);
      if (!from) return false;
      length = program->steps[*from].length;
      break;
    }
  }
  return true;
}

bool LeavePage(const MutationContext& context, Program* program) {
  const std::optional<size_t> at = PickStep(context, *program, UsesAddress);
  if (!at) return false;
  Step& step = program->steps[*at];
  const uint64_t bytes[] = {1, kPageSize - 1, 8,
                            1 + context.random.Below(4094)};
  const uint64_t by = bytes[context.Pick(std::size(bytes))];
  uint64_t& number =
      HasRange(step) && context.random.OneIn(2) ? step.length : step.addr.value;
  number += context.random.OneIn(2) ? by : -by;
  return true;
}

bool FlipFlag(const MutationContext& context, Program* program) {
  const std::optional<size_t> at =
      PickStep(context, *program,
               [](const Step& step) { return FlagsOf(step.op) != nullptr; });
  if (!at) return false;
  Step& step = program->steps[*at];
  const CallFlags& row = *FlagsOf(step.op);
  const uint32_t value = row.values[context.Pick(row.values.size())];
  step.flags = row.bits ? step.flags ^ value : value;
  return true;
}

bool FlipProtection(const MutationContext& context, Program* program) {
  const std::optional<size_t> at = PickStep(
      context, *program,
      [](const Step& step) { return InfoOf(step.op).Uses(Field::kProt); });
  if (!at) return false;
  program->steps[*at].prot ^= uint32_t{1} << context.random.Below(3);
  return true;
}

bool ChangeCall(const MutationContext& context, Program* program) {
  const size_t at = context.Pick(program->steps.size());
  Step& step = program->steps[at];
  for (absl::Span<const Op> group : kLikeCalls) {
    if (std::find(group.begin(), group.end(), step.op) == group.end()) {
      continue;
    }
    Step changed = step;
    changed.op = group[context.Pick(group.size())];
    // What the old call did not have is drawn for the new one.
    Step drawn = changed;
    context.vocabulary.RedrawFields(context.random, program->config,
                                    Before(*program, at), &drawn);
    const OpInfo& old = InfoOf(step.op);
    if (!old.Uses(Field::kProt)) changed.prot = drawn.prot;
    if (!old.Uses(Field::kValue)) changed.value = drawn.value;
    changed.flags = drawn.flags;
    step = changed;
    return true;
  }
  return false;
}

bool ChangeTask(const MutationContext& context, Program* program) {
  const size_t at = context.Pick(program->steps.size());
  program->steps[at].task = PickTask(context, *program);
  return true;
}

bool ChangeTaskOfRun(const MutationContext& context, Program* program) {
  const uint8_t task = PickTask(context, *program);
  const Run run = PickRun(context.random, program->steps.size(), 16);
  for (size_t i = run.first; i < run.first + run.count; ++i) {
    program->steps[i].task = task;
  }
  return true;
}

bool ChangeSlot(const MutationContext& context, Program* program) {
  const Config& config = program->config;
  const std::optional<size_t> at = PickStep(
      context, *program,
      [&config](const Step& step) { return SlotsOf(step.op, config) > 1; });
  if (!at) return false;
  Step& step = program->steps[*at];
  step.slot =
      static_cast<uint8_t>(context.random.Below(SlotsOf(step.op, config)));
  return true;
}

bool AddInterleaving(const MutationContext& context, Program* program) {
  const std::optional<size_t> at =
      PickStep(context, *program, [](const Step& step) {
        return step.op != Op::kNone && !IsEnvironment(step.op) &&
               step.during_count < kMaxDuring;
      });
  if (!at) return false;
  Step& step = program->steps[*at];
  // The vocabulary knows what can happen where.
  constexpr int kTries = 48;
  for (int i = 0; i < kTries; ++i) {
    Step drawn = step;
    context.vocabulary.RedrawFields(context.random, program->config,
                                    Before(*program, *at), &drawn);
    if (drawn.during_count == 0) continue;
    During during = drawn.during[0];
    // Its page was chosen for the drawn range.
    if (HasRange(step) && InfoOf(during.op).Uses(Field::kAddr) &&
        !context.random.OneIn(4)) {
      during.addr = PageIn(context, step);
    }
    return step.Add(during);
  }
  return false;
}

bool DropInterleaving(const MutationContext& context, Program* program) {
  const std::optional<size_t> at =
      PickStep(context, *program,
               [](const Step& step) { return step.during_count > 0; });
  if (!at) return false;
  Step& step = program->steps[*at];
  step.during[context.Pick(step.during_count)] =
      step.during[step.during_count - 1];
  step.during[--step.during_count] = During();
  return true;
}

bool ChangeInterleaving(const MutationContext& context, Program* program) {
  const std::optional<size_t> at =
      PickStep(context, *program,
               [](const Step& step) { return step.during_count > 0; });
  if (!at) return false;
  Step& step = program->steps[*at];
  During& during = step.during[context.Pick(step.during_count)];
  switch (context.random.Below(5)) {
    case 0:
      during.nth = static_cast<uint16_t>(context.random.Below(8));
      break;
    case 1:
      during.task = PickTask(context, *program);
      break;
    case 2:
      if (HasRange(step)) {
        during.addr = PageIn(context, step);
        break;
      }
      [[fallthrough]];
    case 3: {
      const Op action = kPageActions[context.Pick(std::size(kPageActions))];
      during.op = action;
      break;
    }
    default:
      // kNone is the first and no point.
      during.point =
          AllPoints()[1 + context.Pick(AllPoints().size() - 1)].point;
      break;
  }
  return true;
}

bool MoveIntoCall(const MutationContext& context, Program* program) {
  const std::vector<Step>& steps = program->steps;
  // An action right before or behind a call.
  const auto is_call = [&steps](size_t i) {
    return i < steps.size() && !IsEnvironment(steps[i].op) &&
           steps[i].op != Op::kNone && steps[i].op != Op::kTouch &&
           steps[i].during_count < kMaxDuring;
  };
  const size_t start = context.Pick(steps.size());
  for (size_t k = 0; k < steps.size(); ++k) {
    const size_t i = (start + k) % steps.size();
    const bool action = IsEnvironment(steps[i].op) || steps[i].op == Op::kTouch;
    const size_t call = is_call(i + 1) ? i + 1 : i - 1;
    if (!action || !is_call(call)) continue;
    During during = AsAction(steps[i]);
    // kNone is the first and no point.
    const size_t points = AllPoints().size();
    during.point = AllPoints()[1 + context.Pick(points - 1)].point;
    during.nth = static_cast<uint16_t>(
        context.random.OneIn(2) ? 0 : context.random.Below(6));
    program->steps[call].Add(during);
    program->steps.erase(program->steps.begin() +
                         static_cast<std::ptrdiff_t>(i));
    return true;
  }
  return false;
}

bool MoveOutOfCall(const MutationContext& context, Program* program) {
  if (program->steps.size() >= context.options.max_steps) return false;
  const std::optional<size_t> at =
      PickStep(context, *program,
               [](const Step& step) { return step.during_count > 0; });
  if (!at) return false;
  Step& step = program->steps[*at];
  const During during = step.during[--step.during_count];
  step.during[step.during_count] = During();
  const size_t behind = context.random.OneIn(2) ? 1 : 0;
  program->steps.insert(
      program->steps.begin() + static_cast<std::ptrdiff_t>(*at + behind),
      AsStep(during));
  return true;
}

void NormaliseStep(const Config& config, Step* step) {
  ClearUnusedFields(step);
  step->task %= kTaskSlots;
  step->slot = static_cast<uint8_t>(step->slot % SlotsOf(step->op, config));
  step->value = NormalValue(step->op, step->value);
  uint8_t kept = 0;
  for (int i = 0; i < step->during_count; ++i) {
    During during = step->during[i];
    const bool action = IsEnvironment(during.op) || during.op == Op::kTouch;
    if (!action || during.point == Point::kNone) continue;
    during.task %= kTaskSlots;
    during.slot =
        static_cast<uint8_t>(during.slot % SlotsOf(during.op, config));
    during.value = static_cast<uint16_t>(NormalValue(during.op, during.value));
    step->during[kept++] = during;
  }
  step->during_count = kept;
  // Once more: values have changed, interleavings may have gone.
  ClearUnusedFields(step);
}

}  // namespace lockstep::mutator_internal
