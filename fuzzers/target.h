// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// What a target is to the engine that feeds it, and to the mutator.

#ifndef LOCKSTEP_FUZZERS_TARGET_H_
#define LOCKSTEP_FUZZERS_TARGET_H_

#include <cstddef>
#include <cstdint>

#include "fuzzers/mutator.h"

// The interface of libFuzzer, which AFL++, Honggfuzz and OSS-Fuzz's engines
// share. Returns 0, or -1 for an input that a corpus should not keep.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace lockstep {

// What programs for this target are made of. Each target over programs defines
// it.
MutatorOptions TargetMutatorOptions();

}  // namespace lockstep

#endif  // LOCKSTEP_FUZZERS_TARGET_H_
