// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The bytes that a fuzzing engine keeps, as programs. What the mutator wrote is
// remembered: the target, which gets the same bytes next, does not parse them.

#ifndef LOCKSTEP_FUZZERS_PROGRAM_INPUT_H_
#define LOCKSTEP_FUZZERS_PROGRAM_INPUT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/program.h"

namespace lockstep {

// Inputs that cost more than a fuzzing run can pay are refused: machines and
// programs larger than these.
inline constexpr uint64_t kMostInputMemoryPages = 1 << 16;
inline constexpr size_t kMostInputSteps = 1024;

class ProgramInput {
 public:
  // The one of this process, shared by mutator and target.
  static ProgramInput& Shared();

  // The program, binary or text; it is valid until the next call of a member.
  // InvalidArgument if it is none; OutOfRange if it is too large.
  absl::StatusOr<const Program*> Parse(const uint8_t* data, size_t size);

  // Writes the program as binary and remembers it. Steps at its end are left
  // out until it fits into `max` bytes. Returns the size; 0 if not even the
  // configuration fits.
  size_t Write(const Program& program, uint8_t* data, size_t max);

  // How many inputs had to be parsed.
  uint64_t parsed() const { return parsed_; }

 private:
  struct Entry {
    std::string bytes;  // empty: none
    Program program;
  };
  // Programs of a corpus come again and again; what the mutator wrote comes
  // once or twice, soon, and does not drive them out.
  std::vector<Entry> written_ = std::vector<Entry>(64);
  std::vector<Entry> known_ = std::vector<Entry>(8192);
  uint64_t parsed_ = 0;
};

}  // namespace lockstep

#endif  // LOCKSTEP_FUZZERS_PROGRAM_INPUT_H_
