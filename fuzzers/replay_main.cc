// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Stands in for a fuzzing engine: runs the target once over each file, and over
// each file below each directory, in the order of their names.
//
// Flags are an engine's and mean nothing here; `--` is passed over. Exit
// status: 0; 2 if a file cannot be read or none was given. A finding aborts.

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "fuzzers/finding.h"
#include "fuzzers/target.h"

extern "C" __attribute__((weak)) int LLVMFuzzerInitialize(int* argc,
                                                          char*** argv);

namespace lockstep {
namespace {

namespace fs = std::filesystem;

// The files that `path` stands for; false if there is no such thing.
bool FilesOf(const std::string& path, std::vector<std::string>* files) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    files->push_back(path);
    return fs::exists(path, error);
  }
  std::vector<std::string> found;
  for (fs::recursive_directory_iterator i(path, error), end; i != end;
       i.increment(error)) {
    if (i->is_regular_file()) found.push_back(i->path().string());
  }
  std::sort(found.begin(), found.end());
  files->insert(files->end(), found.begin(), found.end());
  return !error;
}

int Replay(int argc, char** argv) {
  std::vector<std::string> files;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (absl::StartsWith(argument, "-")) continue;
    if (!FilesOf(argument, &files)) {
      absl::FPrintF(stderr, "%s: cannot read %s\n", argv[0], argument);
      return 2;
    }
  }
  size_t refused = 0;
  for (const std::string& file : files) {
    std::ifstream stream(file, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(stream)),
                            std::istreambuf_iterator<char>());
    if (!stream) {
      absl::FPrintF(stderr, "%s: cannot read %s\n", argv[0], file);
      return 2;
    }
    SetInputName(file);
    refused +=
        LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()),
                               bytes.size()) != 0;
  }
  absl::FPrintF(stderr, "%s: %d inputs replayed, %d of them refused\n", argv[0],
                files.size(), refused);
  return files.empty() ? 2 : 0;
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  if (LLVMFuzzerInitialize != nullptr) LLVMFuzzerInitialize(&argc, &argv);
  return lockstep::Replay(argc, argv);
}
