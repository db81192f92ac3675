// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The vocabulary of steps behind every way of searching: how likely each call
// is, which ranges it gets, the reuse of pages and boundaries already touched.
// The same seed gives the same program on every compiler.

#ifndef LOCKSTEP_PROPS_VOCABULARY_H_
#define LOCKSTEP_PROPS_VOCABULARY_H_

#include <cstdint>
#include <vector>

#include "engine/program.h"
#include "engine/step.h"
#include "props/random.h"

namespace lockstep {

struct VocabularyOptions {
  // Profile and defects of generated configurations.
  const Profile* profile = &DefaultProfile();
  DefectSet defects = DefaultProfile().shipped;
  size_t steps = 16;
  // Draw the rest of the configuration (limits, capability, zones, huge pages,
  // huge sparse arenas, ...) too; otherwise every program has `config` below.
  bool vary_config = true;
  Config config;
  // Programs for a real kernel: no environment actions, interleavings, huge
  // pages or devices, and only configurations that a process can be given
  // (limits of at most kMostRealLimit).
  bool real_kernel = false;
  static constexpr uint64_t kMostRealLimit = 8 << 20;  // bytes
};

class Vocabulary {
 public:
  explicit Vocabulary(const VocabularyOptions& options);

  // Replaces *program by a random one; reuses its memory.
  void Generate(Random& random, Program* program);

  // The pieces, for mutators. NextStep draws a step for a program with this
  // configuration, given the steps before it.
  Config NextConfig(Random& random) const;
  Step NextStep(Random& random, const Config& config,
                absl::Span<const Step> before);

 private:
  Config NextRealConfig(Random& random) const;

  VocabularyOptions options_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_PROPS_VOCABULARY_H_
