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

// What the steps before tell; older ones say little about what is there now.
Memory MemoryOf(const Config& config, absl::Span<const Step> before) {
  constexpr size_t kLookBack = 32;
  Memory memory(config);
  const size_t first =
      before.size() > kLookBack ? before.size() - kLookBack : 0;
  for (const Step& step : before.subspan(first)) memory.Note(step);
  return memory;
}

}  // namespace

Vocabulary::Vocabulary(const VocabularyOptions& options) : options_(options) {}

bool Vocabulary::RunsForReal(const Step& step) {
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

void Vocabulary::ComposeStep(size_t index, Composer& composer,
                             Step* step) const {
  do {
    *step = Step();
    composer.Compose(index, step);
    if (options_.real_kernel) LeaveOutInterleavings(step);
  } while (options_.real_kernel && !RunsForReal(*step));
}

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
    ComposeStep(i, composer, step);
    memory.Note(*step);
  }
}

Step Vocabulary::NextStep(Random& random, const Config& config,
                          absl::Span<const Step> before) {
  const Memory memory = MemoryOf(config, before);
  const Theme theme = DrawTheme(random, config);
  Composer composer(random, config, memory, theme);
  Step step;
  ComposeStep(before.size(), composer, &step);
  return step;
}

void Vocabulary::RedrawFields(Random& random, const Config& config,
                              absl::Span<const Step> before, Step* step) {
  const Memory memory = MemoryOf(config, before);
  const Theme theme = DrawTheme(random, config);
  Composer(random, config, memory, theme).Recompose(step);
  if (options_.real_kernel) LeaveOutInterleavings(step);
}

}  // namespace lockstep
