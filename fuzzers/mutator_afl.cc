// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The mutator as AFL++'s custom mutator:
//   AFL_CUSTOM_MUTATOR_LIBRARY=.../lockstep_afl_mutator.so
// Inputs are programs for every target over programs; kernel and defects are
// those of the environment (kernel_choice.h), else the inputs' own. Interface
// of AFL++ 4.04: include/afl-fuzz.h, struct custom_mutator.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "fuzzers/kernel_choice.h"
#include "fuzzers/mutator.h"
#include "fuzzers/program_input.h"
#include "props/random.h"

namespace lockstep {
namespace {

class AflMutator {
 public:
  explicit AflMutator(unsigned int seed)
      : random_(seed), mutator_(MutatorOptionsFor(KernelFromEnvironment())) {}

  // The mutated input; valid until the next call.
  size_t Fuzz(const uint8_t* data, size_t size, const uint8_t* other,
              size_t other_size, uint8_t** out, size_t max_size) {
    Program program = ProgramOf(data, size);
    // AFL++ has no hook for crossovers: it gives another input of its queue.
    if (other != nullptr && random_.OneIn(4)) {
      mutator_.CrossOver(random_, ProgramOf(other, other_size), &program);
    } else {
      mutator_.Mutate(random_, &program);
    }
    buffer_.resize(max_size);
    *out = buffer_.data();
    return input_.Write(program, buffer_.data(), max_size);
  }

 private:
  Program ProgramOf(const uint8_t* data, size_t size) {
    absl::StatusOr<const Program*> program = input_.Parse(data, size);
    return program.ok() ? **program : Program();
  }

  Random random_;
  Mutator mutator_;
  ProgramInput input_;
  std::vector<uint8_t> buffer_;
};

}  // namespace
}  // namespace lockstep

extern "C" {

// `afl` is AFL++'s state, which is not needed.
__attribute__((visibility("default"))) void* afl_custom_init(
    void* /*afl*/, unsigned int seed) {
  return new lockstep::AflMutator(seed);
}

// 0: this input is left out.
__attribute__((visibility("default"))) size_t afl_custom_fuzz(
    void* mutator, uint8_t* data, size_t size, uint8_t** out, uint8_t* other,
    size_t other_size, size_t max_size) {
  return static_cast<lockstep::AflMutator*>(mutator)->Fuzz(
      data, size, other, other_size, out, max_size);
}

__attribute__((visibility("default"))) void afl_custom_deinit(void* mutator) {
  delete static_cast<lockstep::AflMutator*>(mutator);
}

}  // extern "C"
