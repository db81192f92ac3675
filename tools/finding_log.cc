// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/finding_log.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "props/shrink.h"
#include "tools/findings.h"
#include "tools/report.h"

namespace lockstep {

FindingLog::FindingLog(std::string out, std::string origin)
    : out_(std::move(out)), origin_(std::move(origin)) {}

std::string FindingLog::Add(const HuntFinding& finding) {
  const std::lock_guard<std::mutex> lock(mutex_);
  LoggedFinding logged;
  logged.program = finding.program;
  logged.violation = finding.violation;
  logged.index = finding.index;
  absl::StatusOr<std::vector<Defect>> explained_by =
      ExplainingDefects(finding.program, finding.violation);
  if (explained_by.ok()) logged.explained_by = *std::move(explained_by);
  std::string bug = finding.violation.property;
  for (Defect defect : logged.explained_by) {
    absl::StrAppend(&bug, " ", InfoOf(defect).name);
  }
  if (logged.explained_by.empty()) {
    bug = FindingName(finding.program, finding.violation);
  }
  bug_of_[finding.fingerprint] = bug;

  const auto known = bugs_.find(bug);
  if (known != bugs_.end()) {
    ++known->second.programs;
    if (!IsSimpler(finding.program, known->second.program)) return "";
    logged.programs = known->second.programs;
  }
  if (absl::Status written = Write(finding, &logged); !written.ok()) {
    status_.Update(written);
    // The one that is there is better than none.
    if (known != bugs_.end()) return "";
  }
  const std::string line =
      absl::StrCat(known == bugs_.end() ? "found " : "simpler ", logged.path);
  if (known != bugs_.end() && known->second.path != logged.path) {
    std::error_code ignored;
    std::filesystem::remove_all(known->second.path, ignored);
  }
  bugs_.insert_or_assign(bug, std::move(logged));
  return line;
}

absl::Status FindingLog::Write(const HuntFinding& finding,
                               LoggedFinding* logged) {
  const std::string name = FindingName(finding.program, finding.violation);
  logged->path = absl::StrCat(out_, "/", name);
  absl::StatusOr<FindingFiles> files =
      RenderFinding(finding.program, finding.violation,
                    absl::StrCat(origin_, ", program ", finding.index));
  absl::Status status = files.status();
  if (!files.ok()) {
    // Whatever is wrong with the report, the program is not lost.
    files =
        FindingFiles{{{"program.txtpb", FormatProgramText(finding.program)}}};
  }
  absl::StatusOr<std::string> path = SaveFinding(out_, name, *files);
  if (path.ok()) logged->path = *path;
  status.Update(path.status());
  return status;
}

size_t FindingLog::size() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return bugs_.size();
}

absl::Status FindingLog::status() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return status_;
}

std::vector<LoggedFinding> FindingLog::Result(
    const std::vector<HuntFinding>& findings) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::map<std::string, LoggedFinding> bugs = bugs_;
  for (const HuntFinding& finding : findings) {
    const auto bug = bug_of_.find(finding.fingerprint);
    if (bug != bug_of_.end()) bugs[bug->second].hits += finding.hits;
  }
  std::vector<LoggedFinding> result;
  for (auto& [key, logged] : bugs) result.push_back(std::move(logged));
  std::sort(result.begin(), result.end(),
            [](const LoggedFinding& a, const LoggedFinding& b) {
              return a.index != b.index ? a.index < b.index : a.path < b.path;
            });
  return result;
}

}  // namespace lockstep
