// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Which calls a program is made of. Only for the files of vocabulary.

#ifndef LOCKSTEP_PROPS_VOCABULARY_THEME_H_
#define LOCKSTEP_PROPS_VOCABULARY_THEME_H_

#include <cstdint>

#include "engine/program.h"
#include "engine/step.h"
#include "props/random.h"

namespace lockstep::vocabulary_internal {

// What a program is about. A program that does a little of everything rarely
// does enough of one thing, so each draws a theme (swarm testing) that shifts
// the weights; no theme rules out what it needs to set its scene.
enum class Theme : uint8_t {
  kEverything,
  kLocking,  // lock and unlock the same ranges near the limit
  kPages,    // what the rest of the machine does to locked pages
  kSharing,  // two tasks or two mappings of the same pages
  kStacks,   // mappings that grow by themselves, threads
};
inline constexpr int kThemeCount = static_cast<int>(Theme::kStacks) + 1;

Theme DrawTheme(Random& random, const Config& config);

// The call or action of the step with this index.
Op DrawOp(Random& random, Theme theme, size_t index);

}  // namespace lockstep::vocabulary_internal

#endif  // LOCKSTEP_PROPS_VOCABULARY_THEME_H_
