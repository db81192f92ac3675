// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/judged.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/step.h"
#include "props/judged_text.h"

namespace lockstep {
namespace {

bool MatchesEngine(const Judged& row, absl::string_view engine) {
  return row.engines.empty() ||
         std::any_of(
             row.engines.begin(), row.engines.end(),
             [engine](const std::string& name) {
               return engine == name ||
                      (name == "guest" && absl::StartsWith(engine, "guest:"));
             });
}

bool Matches(const Judged& row, const JudgedContext& context) {
  const Violation& violation = context.violation;
  if (row.property != violation.property ||
      !MatchesEngine(row, context.engine) ||
      !absl::StrContains(violation.expected, row.expected) ||
      !absl::StrContains(violation.seen, row.seen)) {
    return false;
  }
  if (!row.kernels.empty() && std::find(row.kernels.begin(), row.kernels.end(),
                                        context.kernel) == row.kernels.end()) {
    return false;
  }
  if (row.call.empty()) return true;
  return violation.step < context.program.steps.size() &&
         InfoOf(context.program.steps[violation.step].op).name == row.call;
}

}  // namespace

absl::StatusOr<std::vector<Judged>> LoadJudged(const std::string& path) {
  if (path.empty()) return ParseJudged(kJudgedText, "corpus/judged.txtpb");
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) {
    return absl::NotFoundError(
        absl::StrCat(path, ": cannot read the judged divergences"));
  }
  return ParseJudged(text.str(), path);
}

const Judged* FindJudged(const std::vector<Judged>& rows,
                         const JudgedContext& context) {
  for (const Judged& row : rows) {
    if (Matches(row, context)) return &row;
  }
  return nullptr;
}

}  // namespace lockstep
