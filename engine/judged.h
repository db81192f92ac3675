// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Judged divergences: the rows of corpus/judged.txtpb, as plain structs. Each
// field is as in proto/lockstep/judged.proto.

#ifndef LOCKSTEP_ENGINE_JUDGED_H_
#define LOCKSTEP_ENGINE_JUDGED_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lockstep {

struct Judged {
  std::string name;
  std::vector<std::string> engines;
  std::vector<std::string> kernels;
  std::string property;
  std::string call;
  std::string expected;
  std::string seen;
  std::string reason;
  std::string witness;
};

// `file` stands for the text in errors. InvalidArgument, with line and column
// where the text is malformed; for a row without name, property, reason or
// witness, with a name that was there before, with an unknown kernel or call.
absl::StatusOr<std::vector<Judged>> ParseJudged(absl::string_view text,
                                                absl::string_view file);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_JUDGED_H_
