// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "fuzzers/trace_programs.h"

#include <cstddef>
#include <vector>

#include "engine/program.h"
#include "props/random.h"
#include "props/vocabulary.h"

namespace lockstep {

const std::vector<Program>& TracePrograms() {
  static const std::vector<Program>& programs = *[] {
    auto* made = new std::vector<Program>(128);
    for (size_t i = 0; i < made->size(); ++i) {
      VocabularyOptions options;
      options.real_kernel = true;
      options.steps = 1 + i % 4;
      Random random(i);
      Vocabulary(options).Generate(random, &(*made)[i]);
    }
    return made;
  }();
  return programs;
}

}  // namespace lockstep
