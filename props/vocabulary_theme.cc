// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/vocabulary_theme.h"

#include <array>
#include <cstddef>
#include <iterator>

namespace lockstep::vocabulary_internal {
namespace {

struct OpWeights {
  Op op;
  std::array<uint8_t, kThemeCount> weights;  // by Theme
};
constexpr OpWeights kOpWeights[] = {
    // clang-format off
    {Op::kMmap,              {14, 12, 14, 12, 16}},
    {Op::kMunmap,            { 6,  5,  7,  4,  2}},
    {Op::kMprotect,          { 5,  6,  4,  3,  2}},
    {Op::kMremap,            { 4,  4,  3,  2,  1}},
    {Op::kBrk,               { 2,  2,  1,  1,  1}},
    {Op::kMadvise,           { 4,  2,  4,  2,  1}},
    {Op::kMsync,             { 1,  1,  1,  1,  1}},
    {Op::kMincore,           { 1,  1,  1,  1,  1}},
    {Op::kMlock,             {12, 20, 14, 14,  8}},
    {Op::kMlock2,            { 6, 12,  6,  4,  3}},
    {Op::kMunlock,           {10, 14, 16, 12,  3}},
    {Op::kMlockall,          { 4,  8,  3,  3,  4}},
    {Op::kMunlockall,        { 3,  4,  3,  3,  1}},
    {Op::kFork,              { 3,  2,  2,  8, 10}},
    {Op::kExec,              { 1,  1,  1,  1,  1}},
    {Op::kExit,              { 1,  1,  1,  2,  1}},
    {Op::kSetrlimit,         { 4,  6,  1,  2,  3}},
    {Op::kSetcap,            { 2,  3,  1,  1,  1}},
    {Op::kSetuid,            { 1,  1,  1,  1,  1}},
    {Op::kShmget,            { 3,  1,  1,  6,  1}},
    {Op::kShmat,             { 3,  1,  1,  6,  1}},
    {Op::kShmdt,             { 1,  1,  1,  3,  1}},
    {Op::kShmctl,            { 3,  1,  1,  6,  1}},
    {Op::kMemfdSecret,       { 1,  1,  1,  1,  1}},
    {Op::kFtruncate,         { 2,  1,  2,  3,  1}},
    {Op::kTouch,             {10,  8, 16, 12, 28}},
    {Op::kSetCpu,            { 2,  1,  8,  2,  1}},
    {Op::kDrain,             { 1,  1,  4,  1,  1}},
    {Op::kReclaim,           { 2,  1,  6,  3,  1}},
    {Op::kIsolate,           { 2,  1,  8,  2,  1}},
    {Op::kPutback,           { 1,  1,  4,  1,  1}},
    {Op::kMigrate,           { 2,  1,  6,  2,  1}},
    {Op::kCollapse,          { 1,  1,  4,  1,  1}},
    {Op::kSplit,             { 1,  1,  5,  1,  1}},
    {Op::kFailAllocation,    { 1,  1,  2,  1,  1}},
    {Op::kFatalSignal,       { 1,  1,  1,  1,  1}},
    {Op::kHoldMmapLock,      { 1,  1,  1,  1,  1}},
    {Op::kSetAllocationZone, { 1,  1,  3,  1,  1}},
    // clang-format on
};

// The weights of a theme unrolled: slot i of `count` is as likely as any.
struct OpSlots {
  std::array<Op, 256> ops{};
  int count = 0;
};
constexpr std::array<OpSlots, kThemeCount> Unroll() {
  std::array<OpSlots, kThemeCount> themes;
  for (const OpWeights& row : kOpWeights) {
    for (int theme = 0; theme < kThemeCount; ++theme) {
      OpSlots& slots = themes[theme];
      for (int i = 0; i < row.weights[theme]; ++i) {
        slots.ops[slots.count++] = row.op;
      }
    }
  }
  return themes;
}
constexpr std::array<OpSlots, kThemeCount> kOpSlots = Unroll();

}  // namespace

Theme DrawTheme(Random& random, const Config& config) {
  static constexpr Theme kThemes[] = {
      Theme::kEverything, Theme::kEverything, Theme::kLocking, Theme::kLocking,
      Theme::kPages,      Theme::kPages,      Theme::kSharing, Theme::kStacks,
  };
  const uint64_t drawn = random.Below(std::size(kThemes));
  if (config.transparent_hugepage != TransparentHugepage::kNever &&
      drawn >= 6) {
    return Theme::kPages;
  }
  return kThemes[drawn];
}

Op DrawOp(Random& random, Theme theme, size_t index) {
  // Without a mapping there is little to do.
  if (index == 0 && !random.OneIn(16)) return Op::kMmap;
  if (index == 1 && random.OneIn(4)) return Op::kMmap;
  const OpSlots& slots = kOpSlots[static_cast<int>(theme)];
  return slots.ops[random.Below(static_cast<uint64_t>(slots.count))];
}

}  // namespace lockstep::vocabulary_internal
