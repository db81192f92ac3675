// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// What an infrastructure finds beside a target: its seed corpus, its dictionary
// and its options. All are made from corpus/ and the schema.

#ifndef LOCKSTEP_FUZZERS_TARGET_FILES_H_
#define LOCKSTEP_FUZZERS_TARGET_FILES_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace lockstep {

enum class InputKind : uint8_t {
  kProgram,       // binary programs; the target puts its own kernel into them
  kSoundProgram,  // those that violate nothing on the kernel that they name
  kFile,          // binary programs with all that a file can say
  kText,          // text programs
  kTrace,         // what an executor writes
};

struct TargetInfo {
  absl::string_view name;  // of the executable
  InputKind inputs;
  // Empty: fit to run for ever, anywhere, and a crash is a bug of Lockstep.
  // Otherwise why not.
  absl::string_view not_continuous;
};

// Every target, one row each.
absl::Span<const TargetInfo> AllTargets();
// nullptr if there is none of that name.
const TargetInfo* FindTarget(absl::string_view name);

// File names and contents. The names tell where a seed comes from
// ("spec-1.2-fatal-signal.binpb"); the order and every byte are the same
// whenever and wherever they are made.
using SeedCorpus = std::map<std::string, std::string>;

// The seeds of the target from the programs below `corpus`, a folder like
// corpus/; those of traces need none. NotFound if it has none; what LoadProgram
// returns if one does not load.
absl::StatusOr<SeedCorpus> Seeds(const TargetInfo& target,
                                 const std::string& corpus);

// A dictionary file; empty if bytes of the target's inputs have no words.
std::string DictionaryOf(const TargetInfo& target);

// An .options file, in the form of ClusterFuzz.
std::string OptionsOf(const TargetInfo& target);

}  // namespace lockstep

#endif  // LOCKSTEP_FUZZERS_TARGET_FILES_H_
