// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// What "simpler" compares: tables over the configuration and the calls. Only
// for the files of shrink.

#ifndef LOCKSTEP_PROPS_SHRINK_ORDER_H_
#define LOCKSTEP_PROPS_SHRINK_ORDER_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/program.h"
#include "engine/step.h"

namespace lockstep {

// A number of the configuration. Profile and defects are not among them: they
// say where the program is to fail.
struct ConfigField {
  absl::string_view name;
  uint64_t (*get)(const Config& config);
  void (*set)(Config* config, uint64_t value);
  uint64_t minimum;
  bool is_bytes;  // whole pages are simpler
};
absl::Span<const ConfigField> AllConfigFields();
uint64_t DefaultOf(const ConfigField& field);

// The place of a call among the calls, simplest first.
uint32_t SimplicityRank(Op op);

// A call that does less with the same arguments, such as mlock for mlock2;
// kNone if there is none.
Op SimplerOp(Op op);

// The bits in which `flags` and `prot` differ from the plainest call of this
// kind: private, anonymous, fixed, readable and writable. Numbers that are no
// bits (advice, commands) do not count.
uint32_t UnusualFlags(const Step& step);
uint32_t UnusualProtection(const Step& step);

// Zeroes the fields that mean nothing to the step's op or its actions' ops.
void ClearUnusedFields(Step* step);

// Whole pages, then nothing at all, then the rest: 0, 1, 2.
uint32_t LengthKind(uint64_t bytes);

}  // namespace lockstep

#endif  // LOCKSTEP_PROPS_SHRINK_ORDER_H_
