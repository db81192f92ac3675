// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// For tests: an executor under a name of its own, so that its processes can be
// told from all others.

#ifndef LOCKSTEP_ENGINE_LINUX_EXECUTOR_TESTING_H_
#define LOCKSTEP_ENGINE_LINUX_EXECUTOR_TESTING_H_

#include <sys/types.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/linux/kernel.h"
#include "gtest/gtest.h"

namespace lockstep {

// A copy of the executor, which FindExecutor finds while this lives.
class ExecutorCopy {
 public:
  ExecutorCopy() {
    absl::StatusOr<std::string> original = FindExecutor();
    EXPECT_TRUE(original.ok()) << original.status();
    // A user other than the test's starts it too: not in TEST_TMPDIR.
    std::string directory =
        (std::filesystem::temp_directory_path() / "lockstep-XXXXXX").string();
    EXPECT_NE(mkdtemp(directory.data()), nullptr);
    directory_ = directory;
    path_ = directory_ / "lockstep_executor";
    std::filesystem::copy_file(*original, path_);
    std::filesystem::permissions(directory_,
                                 static_cast<std::filesystem::perms>(0755));
    std::filesystem::permissions(path_,
                                 static_cast<std::filesystem::perms>(0755));
    setenv("LOCKSTEP_EXECUTOR", path_.c_str(), 1);
  }
  ~ExecutorCopy() {
    unsetenv("LOCKSTEP_EXECUTOR");
    std::error_code error;
    std::filesystem::remove_all(directory_, error);
  }
  ExecutorCopy(const ExecutorCopy&) = delete;
  ExecutorCopy& operator=(const ExecutorCopy&) = delete;

  const std::string& path() const { return path_; }

  // Its processes, by number: the first one started it all, the second is the
  // supervisor, the third the spawner.
  std::vector<pid_t> Processes() const {
    std::vector<pid_t> pids;
    std::error_code error;
    for (const auto& entry :
         std::filesystem::directory_iterator("/proc", error)) {
      int pid;
      if (!absl::SimpleAtoi(entry.path().filename().string(), &pid)) continue;
      std::error_code gone;
      if (std::filesystem::read_symlink(entry.path() / "exe", gone) == path_) {
        pids.push_back(pid);
      }
    }
    std::sort(pids.begin(), pids.end());
    return pids;
  }
  // Waits until there are at least that many; false after ten seconds.
  bool AwaitProcesses(size_t count) const {
    return Await([&] { return Processes().size() >= count; });
  }
  bool AwaitNone() const {
    return Await([&] { return Processes().empty(); });
  }

 private:
  template <typename Condition>
  static bool Await(const Condition& condition) {
    const absl::Time deadline = absl::Now() + absl::Seconds(10);
    while (!condition()) {
      if (absl::Now() > deadline) return false;
      absl::SleepFor(absl::Milliseconds(2));
    }
    return true;
  }

  std::filesystem::path directory_;
  std::string path_;
};

// The value of a line of /proc/PID/status, "" if there is none.
inline std::string StatusLine(pid_t pid, const std::string& name) {
  std::ifstream status(absl::StrCat("/proc/", pid, "/status"));
  std::string line;
  while (std::getline(status, line)) {
    if (line.rfind(name + ":\t", 0) == 0) return line.substr(name.size() + 2);
  }
  return "";
}

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_LINUX_EXECUTOR_TESTING_H_
