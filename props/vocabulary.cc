// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/vocabulary.h"

#include <cstddef>

#include "engine/uapi.h"
#include "props/vocabulary_composer.h"
#include "props/vocabulary_memory.h"
#include "props/vocabulary_theme.h"

namespace lockstep {

using vocabulary_internal::Composer;
using vocabulary_internal::DrawTheme;
using vocabulary_internal::Memory;
using vocabulary_internal::Theme;

namespace {

void LeaveOutInterleavings(Step* step) {
  step->during_count = 0;
  step->during = {};
}

// The calls that a process can make on any machine.
bool RunsForReal(const Step& step) {
  switch (step.op) {
    case Op::kMmap: {
      const auto source = static_cast<MmapSource>(step.value);
      return (step.flags & uapi::kMapHugetlb) == 0 &&
             ((step.flags & uapi::kMapAnonymous) != 0 ||
              source == MmapSource::kFile || source == MmapSource::kSecret);
    }
    case Op::kShmget:
      return step.value == 0;
    case Op::kSetrlimit:
      return step.length <= VocabularyOptions::kMostRealLimit;
    default:
      return !IsEnvironment(step.op);
  }
}

}  // namespace

Vocabulary::Vocabulary(const VocabularyOptions& options) : options_(options) {}

void Vocabulary::Generate(Random& random, Program* program) {
  program->config = NextConfig(random);
  program->expectations.clear();
  program->description.clear();
  program->steps.resize(options_.steps);
  const Theme theme = DrawTheme(random, program->config);
  Memory memory(program->config);
  Composer composer(random, program->config, memory, theme);
  for (size_t i = 0; i < options_.steps; ++i) {
    Step* step = &program->steps[i];
    do {
      *step = Step();
      composer.Compose(i, step);
      if (options_.real_kernel) LeaveOutInterleavings(step);
    } while (options_.real_kernel && !RunsForReal(*step));
    memory.Note(*step);
  }
}

Step Vocabulary::NextStep(Random& random, const Config& config,
                          absl::Span<const Step> before) {
  // Older steps say little about what is there now.
  constexpr size_t kLookBack = 32;
  Memory memory(config);
  const size_t first =
      before.size() > kLookBack ? before.size() - kLookBack : 0;
  for (const Step& step : before.subspan(first)) memory.Note(step);
  const Theme theme = DrawTheme(random, config);
  Step step;
  Composer(random, config, memory, theme).Compose(before.size(), &step);
  return step;
}

}  // namespace lockstep
