// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The findings of a hunt, bug by bug: a bug in the model's catalogue shows in
// many shrunk programs (through munlock, munmap, exit, ...), of which the
// simplest one is kept. What no defect explains is kept program by program:
// each may be a bug that nobody knows.

#ifndef LOCKSTEP_TOOLS_FINDING_LOG_H_
#define LOCKSTEP_TOOLS_FINDING_LOG_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/defect.h"
#include "engine/program.h"
#include "props/hunt.h"
#include "props/property.h"

namespace lockstep {

// One bug as it is reported.
struct LoggedFinding {
  Program program;  // the simplest so far
  Violation violation;
  std::vector<Defect> explained_by;
  std::string path;       // its directory
  uint64_t index = 0;     // of the program that showed it
  uint64_t programs = 1;  // shrunk programs that show it
  uint64_t hits = 0;
};

// Thread-safe.
class FindingLog {
 public:
  // `origin` is the command line of the hunt, for the reports.
  FindingLog(std::string out, std::string origin);

  // Writes the finding if it is a new bug or a simpler program for a known one;
  // it is on disk when this returns. Returns a line about it, empty if there is
  // nothing new.
  std::string Add(const HuntFinding& finding);

  size_t size() const;
  // The first error of writing.
  absl::Status status() const;
  // By index, with the hits that the hunt has counted.
  std::vector<LoggedFinding> Result(
      const std::vector<HuntFinding>& findings) const;

 private:
  absl::Status Write(const HuntFinding& finding, LoggedFinding* logged);

  const std::string out_;
  const std::string origin_;
  mutable std::mutex mutex_;  // guards what follows
  std::map<std::string, LoggedFinding> bugs_;
  std::map<uint64_t, std::string> bug_of_;  // by fingerprint
  absl::Status status_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_TOOLS_FINDING_LOG_H_
