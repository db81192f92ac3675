// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/session.h"

#include "absl/strings/str_cat.h"

namespace lockstep {
absl::StatusOr<std::optional<Violation>> RunProgram(
    const Program& program, const SessionOptions& options,
    const AfterStep& after_step) {
  reference::ReferenceEngine engine;
  Runner runner(&engine, options.checking);
  if (absl::Status status = runner.Start(program.config); !status.ok()) {
    return status;
  }
  for (size_t i = 0; i < program.steps.size(); ++i) {
    std::optional<Violation> violation = runner.Run(program.steps[i]);
    if (after_step) after_step(i, runner.outcome(), engine);
    if (!violation && options.expectations) {
      violation = CheckExpectations(program, i, runner.outcome(), engine);
    }
    if (violation) return violation;
  }
  return std::nullopt;
}

absl::StatusOr<std::optional<Violation>> Judge(const Program& program) {
  absl::StatusOr<std::optional<Violation>> result =
      RunProgram(program, {.checking = Checking::kIncremental});
  if (!result.ok() || result->has_value()) return result;
  return RunProgram(program, {.checking = Checking::kFull});
}

std::string DebugString(const Program& program, const Violation& violation) {
  const std::string step = violation.step < program.steps.size()
                               ? DebugString(program.steps[violation.step])
                               : "the end";
  return absl::StrCat(violation.property, " after step ", violation.step, ", ",
                      step, ": expected ", violation.expected, ", seen ",
                      violation.seen);
}

absl::Status ChangeConfig(absl::string_view kernel, absl::string_view defects,
                          Config* config) {
  std::string changes(defects);
  if (!kernel.empty()) {
    absl::StatusOr<const Profile*> profile = FindProfile(kernel);
    if (!profile.ok()) return profile.status();
    if (changes.empty()) {
      changes = FormatDefects(*config->profile, config->defects);
    }
    config->SetProfile(**profile);
  }
  if (changes.empty()) return absl::OkStatus();
  absl::StatusOr<DefectSet> set = ParseDefects(*config->profile, changes);
  if (!set.ok()) return set.status();
  config->defects = *set;
  return absl::OkStatus();
}

std::string DescribeState(const reference::ReferenceEngine& engine) {
  std::string text = engine.DebugString();
  for (int slot = 0; slot < kShmSlots; ++slot) {
    const ShmState shm = engine.ObserveShm(slot);
    if (!shm.exists) continue;
    absl::StrAppend(&text, "segment ", slot, ": ", shm.size, " bytes, owner ",
                    shm.owner, shm.locked ? ", SHM_LOCKED" : "",
                    shm.removed ? ", removed" : "", "\n");
  }
  for (int uid = 0; uid < kUsers; ++uid) {
    const Pages locked = engine.LockedShm(uid);
    if (locked.n == 0) continue;
    absl::StrAppend(&text, "user ", uid, ": ", locked.n,
                    " pages of locked segments\n");
  }
  return text;
}

}  // namespace lockstep
