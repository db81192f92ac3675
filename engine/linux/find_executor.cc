// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "engine/linux/kernel.h"

namespace lockstep {
namespace {

bool IsProgram(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_regular_file(path, error) &&
         access(path.c_str(), X_OK) == 0;
}

}  // namespace

absl::StatusOr<std::string> FindExecutor() {
  if (const char* path = std::getenv("LOCKSTEP_EXECUTOR"); path != nullptr) {
    if (IsProgram(path)) return path;
    return absl::NotFoundError(
        absl::StrCat("LOCKSTEP_EXECUTOR is \"", path,
                     "\", which is not a program that can be started"));
  }
  std::error_code error;
  const std::filesystem::path self =
      std::filesystem::read_symlink("/proc/self/exe", error);
  const std::string beside = self.parent_path() / "lockstep_executor";
  if (IsProgram(beside)) return beside;
  const std::string built = LOCKSTEP_BUILT_EXECUTOR;
  if (IsProgram(built)) return built;
  return absl::NotFoundError(absl::StrCat(
      "no lockstep_executor: it is neither ", beside, " nor ", built,
      ", and LOCKSTEP_EXECUTOR in the environment does not name it"));
}

}  // namespace lockstep
