// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Steps, addresses and outcomes as C expressions.

#ifndef LOCKSTEP_TOOLS_REPRO_C_CALLS_H_
#define LOCKSTEP_TOOLS_REPRO_C_CALLS_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "engine/outcome.h"
#include "engine/step.h"
#include "engine/units.h"

namespace lockstep {

// "arena(3) + 5", "heap(0)", "0x7ffffffff000UL".
std::string CAddress(const Address& address);
// The same of an address as the model has it.
std::string CAddress(uint64_t address);
// "8192UL", "0xfffffffffffffffeUL".
std::string CNumber(uint64_t number);
// "OK", "ENOMEM", "-SIGSEGV".
std::string COutcome(const Outcome& outcome);
// A text as a C string literal, and as part of a comment.
std::string CString(absl::string_view text);
std::string CComment(absl::string_view text);

struct CCall {
  std::string code;      // an expression with the outcome
  uint32_t helpers = 0;  // CHelpers that it uses
};
// REQUIRES: the step is a system call or a touch that Document() keeps, other
// than set*, fork, exec and exit.
CCall CCallOf(const Step& step);

}  // namespace lockstep

#endif  // LOCKSTEP_TOOLS_REPRO_C_CALLS_H_
