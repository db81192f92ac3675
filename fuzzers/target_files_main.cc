// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Writes what an infrastructure wants beside the targets:
//
//   lockstep_target_files                   the names of the targets that can
//                                           run for ever anywhere, one a line
//   lockstep_target_files --all             those of all targets
//   lockstep_target_files CORPUS OUT TARGET...
//       OUT/TARGET.options, OUT/TARGET.dict and the folder OUT/TARGET_seeds;
//       CORPUS is a folder like corpus/
//
// Exit status: 0; 2 wrong usage, unreadable or unwritable files.

#include <cstdio>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/program.h"
#include "fuzzers/target_files.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

absl::Status WriteFilesOf(const std::string& name, const std::string& corpus,
                          const std::string& out) {
  const TargetInfo* target = FindTarget(name);
  if (target == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", name, "\" is no target; --all lists them"));
  }
  absl::StatusOr<SeedCorpus> seeds = Seeds(*target, corpus);
  if (!seeds.ok()) return seeds.status();
  const fs::path beside = fs::path(out) / name;
  const std::string folder = beside.string() + "_seeds";
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    return absl::PermissionDeniedError(
        absl::StrCat("cannot create ", folder, ": ", error.message()));
  }
  absl::Status status =
      WriteFileAtomically(beside.string() + ".options", OptionsOf(*target));
  if (const std::string words = DictionaryOf(*target); !words.empty()) {
    status.Update(WriteFileAtomically(beside.string() + ".dict", words));
  }
  for (const auto& [seed, bytes] : *seeds) {
    status.Update(WriteFileAtomically(absl::StrCat(folder, "/", seed), bytes));
  }
  return status;
}

void List(bool all) {
  for (const TargetInfo& target : AllTargets()) {
    if (all || target.not_continuous.empty()) {
      absl::PrintF("%s\n", target.name);
    }
  }
}

int Main(const std::vector<std::string>& args) {
  if (args.empty() || (args.size() == 1 && args[0] == "--all")) {
    List(!args.empty());
    return 0;
  }
  if (args.size() < 3) {
    absl::FPrintF(stderr,
                  "usage: lockstep_target_files [--all | CORPUS OUT "
                  "TARGET...]\n");
    return 2;
  }
  for (size_t i = 2; i < args.size(); ++i) {
    const absl::Status status = WriteFilesOf(args[i], args[0], args[1]);
    if (!status.ok()) {
      absl::FPrintF(stderr, "lockstep_target_files: %s\n", status.message());
      return 2;
    }
  }
  return 0;
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  return lockstep::Main(std::vector<std::string>(argv + 1, argv + argc));
}
