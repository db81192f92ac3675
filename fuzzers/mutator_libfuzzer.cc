// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// What libFuzzer, and every engine with its interface, asks of a mutator.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "fuzzers/mutator.h"
#include "fuzzers/program_input.h"
#include "fuzzers/target.h"

namespace lockstep {
namespace {

Mutator& TheMutator() {
  static Mutator& mutator = *new Mutator(TargetMutatorOptions());
  return mutator;
}

// The input as a program; an empty one if it is none.
Program ProgramOf(const uint8_t* data, size_t size) {
  absl::StatusOr<const Program*> program =
      ProgramInput::Shared().Parse(data, size);
  return program.ok() ? **program : Program();
}

// What suits programs, for who does not say otherwise: inputs of any length at
// once, since a program of a few bytes is none; edges, not how often each was
// taken, no schedule by entropy and no smaller input for every feature, which
// together cost more than running the programs does.
constexpr const char* kDefaults[] = {"-len_control=0", "-entropic=0",
                                     "-use_counters=0", "-reduce_inputs=0"};

bool IsGiven(absl::string_view flag, int argc, char** argv) {
  const absl::string_view name = flag.substr(0, flag.find('=') + 1);
  for (int i = 1; i < argc; ++i) {
    if (absl::StartsWith(argv[i], name)) return true;
  }
  return false;
}

}  // namespace
}  // namespace lockstep

// Called by libFuzzer before it reads its flags.
extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  static auto& arguments = *new std::vector<char*>(*argv, *argv + *argc);
  for (const char* flag : lockstep::kDefaults) {
    if (lockstep::IsGiven(flag, *argc, *argv)) continue;
    arguments.insert(arguments.begin() + 1, const_cast<char*>(flag));
  }
  *argc = static_cast<int>(arguments.size());
  arguments.push_back(nullptr);
  *argv = arguments.data();
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size,
                                          size_t max_size, unsigned int seed) {
  lockstep::Random random(seed);
  lockstep::Program program = lockstep::ProgramOf(data, size);
  lockstep::TheMutator().Mutate(random, &program);
  const size_t written =
      lockstep::ProgramInput::Shared().Write(program, data, max_size);
  // Too little room for any program: what was there is as good.
  return written != 0 ? written : size < max_size ? size : max_size;
}

extern "C" size_t LLVMFuzzerCustomCrossOver(const uint8_t* data1, size_t size1,
                                            const uint8_t* data2, size_t size2,
                                            uint8_t* out, size_t max_out_size,
                                            unsigned int seed) {
  lockstep::Random random(seed);
  lockstep::Program program = lockstep::ProgramOf(data1, size1);
  const lockstep::Program other = lockstep::ProgramOf(data2, size2);
  lockstep::TheMutator().CrossOver(random, other, &program);
  return lockstep::ProgramInput::Shared().Write(program, out, max_out_size);
}
