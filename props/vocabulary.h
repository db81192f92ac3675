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

namespace vocabulary_internal {
class Composer;
}  // namespace vocabulary_internal

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
  // The same for a step whose call and task are chosen already. For a real
  // kernel it may be one that cannot be run there.
  void RedrawFields(Random& random, const Config& config,
                    absl::Span<const Step> before, Step* step);

  // False for what no process can do on a real kernel: environment actions,
  // devices, huge pages, limits above kMostRealLimit.
  static bool RunsForReal(const Step& step);

 private:
  void ComposeStep(size_t index, vocabulary_internal::Composer& composer,
                   Step* step) const;
  Config NextRealConfig(Random& random) const;

  VocabularyOptions options_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_PROPS_VOCABULARY_H_
