// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Programs for RapidCheck: drawn by the vocabulary, shrunk by the one
// definition of simpler. Only for tests.

#ifndef LOCKSTEP_PROPS_RAPIDCHECK_PROGRAM_H_
#define LOCKSTEP_PROPS_RAPIDCHECK_PROGRAM_H_

#include <optional>
#include <ostream>
#include <utility>

#include "engine/program.h"
#include "props/random.h"
#include "props/shrink.h"
#include "props/vocabulary.h"
#include "rapidcheck.h"

namespace lockstep {

// A counterexample is printed as the file that replays it. Found by argument
// dependent lookup.
inline void showValue(const Program& program, std::ostream& os) {
  os << FormatProgramText(program);
}

// SimplerPrograms as a lazy sequence of RapidCheck's.
class SimplerProgramSeq {
 public:
  explicit SimplerProgramSeq(const Program& program) : simpler_(program) {}

  rc::Maybe<rc::Shrinkable<Program>> operator()();

 private:
  SimplerPrograms simpler_;
};

// A program and, drawn only when it fails, what is simpler.
inline rc::Shrinkable<Program> ShrinkableProgram(Program program) {
  return rc::shrinkable::lambda(
      [program] { return program; },
      [program] { return rc::makeSeq<SimplerProgramSeq>(program); });
}

inline rc::Maybe<rc::Shrinkable<Program>> SimplerProgramSeq::operator()() {
  std::optional<Program> simpler = simpler_.Next();
  if (!simpler.has_value()) return rc::Nothing;
  return ShrinkableProgram(*std::move(simpler));
}

// RapidCheck's size chooses the number of steps: 1 at first, then up to
// options.steps.
inline rc::Gen<Program> GenProgram(const VocabularyOptions& options) {
  return [options](const rc::Random& random, int size) {
    VocabularyOptions sized = options;
    sized.steps = 1 + (options.steps - 1) * static_cast<size_t>(size) /
                          static_cast<size_t>(rc::kNominalSize);
    rc::Random source(random);
    Random seeded(source.next());
    Program program;
    Vocabulary(sized).Generate(seeded, &program);
    return ShrinkableProgram(std::move(program));
  };
}

}  // namespace lockstep

#endif  // LOCKSTEP_PROPS_RAPIDCHECK_PROGRAM_H_
