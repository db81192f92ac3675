// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Dictionaries for engines that mutate bytes (libFuzzer, AFL++, Honggfuzz):
// what a program is spelt with. Made from the schema and the catalogues, so
// that they know every field, operation and name that there is.

#ifndef LOCKSTEP_FUZZERS_DICTIONARY_H_
#define LOCKSTEP_FUZZERS_DICTIONARY_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace lockstep {

// libFuzzer passes over longer entries (Word::kMaxSize).
inline constexpr size_t kMaxDictionaryEntry = 64;

// Of text programs: field names as they stand before their value, names of enum
// values, and the quoted names of kernels, defects, points and outcomes.
std::vector<std::string> TextDictionary();

// Of binary programs: each operation as a whole step, each environment action
// as a `during` of one, each field of a configuration, and the same names.
std::vector<std::string> BinaryDictionary();

// One `"entry"` a line, bytes that are not printable as \xNN.
std::string FormatDictionary(absl::Span<const std::string> entries);

}  // namespace lockstep

#endif  // LOCKSTEP_FUZZERS_DICTIONARY_H_
