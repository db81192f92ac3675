// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// What a step returned.

#ifndef LOCKSTEP_ENGINE_OUTCOME_H_
#define LOCKSTEP_ENGINE_OUTCOME_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace lockstep {

struct Outcome {
  enum class Kind : uint8_t {
    kValue,        // the call returned value
    kErrno,        // the call failed; value is the errno, positive
    kSignal,       // the access or call raised signal value
    kSkipped,      // a step on an empty (or, to create, full) slot
    kUnsupported,  // this engine cannot run this step
  };
  Kind kind = Kind::kValue;
  int64_t value = 0;

  static constexpr Outcome Ok(int64_t value = 0) {
    return {Kind::kValue, value};
  }
  static constexpr Outcome Errno(int error) { return {Kind::kErrno, error}; }
  static constexpr Outcome Signal(int signal) {
    return {Kind::kSignal, signal};
  }
  static constexpr Outcome Skipped() { return {Kind::kSkipped, 0}; }
  static constexpr Outcome Unsupported() { return {Kind::kUnsupported, 0}; }

  constexpr bool ok() const { return kind == Kind::kValue; }
  constexpr bool Is(int error) const {
    return kind == Kind::kErrno && value == error;
  }
  // The step took place on this engine, with whatever result.
  constexpr bool ran() const {
    return kind != Kind::kSkipped && kind != Kind::kUnsupported;
  }
  bool operator==(const Outcome&) const = default;
};

// "OK", "ENOMEM", "SIGSEGV", "SKIPPED", "UNSUPPORTED": the value of a
// successful call is not part of the name. A static string.
absl::string_view OutcomeName(const Outcome& outcome);

// The same with the value where it says something: "OK", "0x200000003000".
std::string DebugString(const Outcome& outcome);

// The errno, signal or kind of that name; nothing if there is none.
std::optional<Outcome> OutcomeFromName(absl::string_view name);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_OUTCOME_H_
