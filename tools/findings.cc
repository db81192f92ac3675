// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/findings.h"

#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/reference/reference_engine.h"
#include "props/shrink.h"
#include "tools/documented.h"
#include "tools/report.h"
#include "tools/repro_c.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

absl::Status CannotWrite(const std::string& path,
                         const std::error_code& error) {
  return absl::PermissionDeniedError(
      absl::StrCat(path, ": cannot write: ", error.message()));
}

}  // namespace

std::string FindingName(const Program& program, const Violation& violation) {
  return absl::StrFormat("%s-%016x", violation.property, Fingerprint(program));
}

absl::StatusOr<std::string> RenderReproducerC(
    const Program& program, const std::optional<Violation>& violation,
    absl::string_view shown_by) {
  reference::ReferenceEngine engine;
  absl::StatusOr<DocumentedProgram> documented =
      Document(program, &engine, shown_by.empty());
  if (!documented.ok()) return documented.status();
  return WriteReproducerC(program, *documented, violation, shown_by);
}

absl::StatusOr<FindingFiles> RenderFinding(const Program& program,
                                           const Violation& violation,
                                           absl::string_view found) {
  absl::StatusOr<std::string> repro = RenderReproducerC(program, violation);
  if (!repro.ok()) return repro.status();
  absl::StatusOr<std::string> report = WriteReport(program, violation, found);
  if (!report.ok()) return report.status();
  return FindingFiles{{{"program.txtpb", FormatProgramText(program)},
                       {"repro.c", *std::move(repro)},
                       {"report.md", *std::move(report)}}};
}

absl::Status PrepareFindings(const std::string& out) {
  std::error_code error;
  fs::create_directories(out, error);
  if (error) return CannotWrite(out, error);
  if (!fs::is_directory(out, error)) {
    return absl::PermissionDeniedError(
        absl::StrCat(out, ": cannot write: not a directory"));
  }
  if (access(out.c_str(), W_OK | X_OK) != 0) {
    return CannotWrite(out, std::error_code(errno, std::generic_category()));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> SaveFinding(const std::string& out,
                                        const std::string& name,
                                        const FindingFiles& files) {
  const fs::path target = fs::path(out) / name;
  std::error_code error;
  if (fs::exists(target, error)) return target.string();
  // Jobs of one hunt, and hunts side by side, may find the same.
  const fs::path beside =
      fs::path(out) / absl::StrFormat(".%s.%d.%p", name, getpid(), &files);
  fs::create_directories(beside, error);
  if (error) return CannotWrite(beside.string(), error);
  absl::Status status;
  for (const auto& [file, contents] : files.files) {
    status.Update(WriteFileAtomically((beside / file).string(), contents));
  }
  if (status.ok()) {
    fs::rename(beside, target, error);
    if (error && !fs::exists(target))
      status = CannotWrite(target.string(), error);
  }
  std::error_code ignored;
  fs::remove_all(beside, ignored);
  if (!status.ok()) return status;
  return target.string();
}

}  // namespace lockstep
