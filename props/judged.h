// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Which judged divergence a violation on a real kernel is.

#ifndef LOCKSTEP_PROPS_JUDGED_H_
#define LOCKSTEP_PROPS_JUDGED_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/judged.h"
#include "engine/program.h"
#include "props/property.h"

namespace lockstep {

// The rows of the file; of corpus/judged.txtpb as it was when this was built if
// `path` is empty. NotFound, InvalidArgument.
absl::StatusOr<std::vector<Judged>> LoadJudged(const std::string& path);

struct JudgedContext {
  absl::string_view engine;  // that was compared: "guest:6.1"
  absl::string_view kernel;  // profile that it was compared with
  const Program& program;
  const Violation& violation;
};

// The first row that matches; null if none does.
const Judged* FindJudged(const std::vector<Judged>& rows,
                         const JudgedContext& context);

}  // namespace lockstep

#endif  // LOCKSTEP_PROPS_JUDGED_H_
