// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Structure-aware mutation of programs: the same for libFuzzer, AFL++ and
// whatever else asks for it. Steps are drawn by the vocabulary; a mutated
// program is always a valid one, and the same seed gives the same on every
// compiler and library.

#ifndef LOCKSTEP_FUZZERS_MUTATOR_H_
#define LOCKSTEP_FUZZERS_MUTATOR_H_

#include <cstddef>
#include <cstdint>

#include "engine/program.h"
#include "props/random.h"
#include "props/vocabulary.h"

namespace lockstep {

struct MutatorOptions {
  // What steps and configurations are drawn from. `steps` is the length of a
  // program that is made from nothing.
  VocabularyOptions vocabulary;
  // Programs keep their kernel and defects, and mutation changes both;
  // otherwise each gets those of the vocabulary.
  bool any_kernel = false;
  // No program grows beyond this.
  size_t max_steps = 32;
};

class Mutator {
 public:
  explicit Mutator(const VocabularyOptions& options);
  explicit Mutator(const MutatorOptions& options);

  // Changes the program in a few places. One without steps is replaced by a
  // random one. Expectations and description go: they say what was seen of the
  // program as it was.
  void Mutate(Random& random, Program* program);
  // Puts a part of `other` into the program.
  void CrossOver(Random& random, const Program& other, Program* program);

  const MutatorOptions& options() const { return options_; }

 private:
  // Kernel, defects, length, and only what a file can say.
  void Normalise(Program* program) const;

  MutatorOptions options_;
  Vocabulary vocabulary_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_FUZZERS_MUTATOR_H_
