// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Helpers of the tests of this room: processes, temporary directories.

#ifndef LOCKSTEP_TOOLS_TESTING_H_
#define LOCKSTEP_TOOLS_TESTING_H_

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace lockstep {

// A directory that is gone with the object.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = ::testing::TempDir() + "/lockstep-XXXXXX";
    path_ = mkdtemp(name.data());
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::permissions(path_, std::filesystem::perms::owner_all,
                                 ignored);
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  std::string path(const std::string& name = "") const {
    return name.empty() ? path_ : path_ + "/" + name;
  }
  // Writes a file there and returns its path.
  std::string Write(const std::string& name,
                    const std::string& contents) const {
    std::ofstream(path(name), std::ios::binary) << contents;
    return path(name);
  }

 private:
  std::string path_;
};

inline std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

struct ShellResult {
  int status = -1;  // exit status; 128 + signal as the shell has it
  std::string out, err;
};

// Runs a command line by sh.
inline ShellResult Shell(const std::string& command) {
  const TemporaryDirectory directory;
  const int status =
      std::system(absl::StrCat("(", command, ") >", directory.path("out"),
                               " 2>", directory.path("err"))
                      .c_str());
  ShellResult result;
  result.status =
      WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.out = ReadAll(directory.path("out"));
  result.err = ReadAll(directory.path("err"));
  return result;
}

}  // namespace lockstep

#endif  // LOCKSTEP_TOOLS_TESTING_H_
