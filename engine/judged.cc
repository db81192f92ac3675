// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/judged.h"

#include <set>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/profile.h"
#include "engine/step.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/text_format.h"
#include "lockstep/judged.pb.h"

namespace lockstep {
namespace {

// "FILE:LINE:COLUMN: message" of the first error.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  explicit FirstError(absl::string_view file) : file_(file) {}
  void AddError(int line, int column, const std::string& message) override {
    if (!text_.empty()) return;
    text_ = absl::StrCat(file_, ":", line + 1, ":", column + 1, ": ", message);
  }
  void AddWarning(int, int, const std::string&) override {}
  absl::Status status() const {
    return absl::InvalidArgumentError(
        text_.empty() ? absl::StrCat(file_, ": malformed") : text_);
  }

 private:
  const absl::string_view file_;
  std::string text_;
};

bool IsCall(absl::string_view name) {
  for (const OpInfo& info : AllOps()) {
    if (info.op != Op::kNone && info.name == name) return true;
  }
  return false;
}

// What is wrong with the row; empty: nothing.
std::string ProblemOf(const Judged& row, const std::set<std::string>& names) {
  const std::pair<absl::string_view, const std::string&> required[] = {
      {"name", row.name},
      {"property", row.property},
      {"reason", row.reason},
      {"witness", row.witness}};
  for (const auto& [field, value] : required) {
    if (value.empty())
      return absl::StrCat("expected a ", field, ", found none");
  }
  if (names.count(row.name) != 0) return "its name stands there twice";
  for (const std::string& kernel : row.kernels) {
    absl::StatusOr<const Profile*> profile = FindProfile(kernel);
    if (!profile.ok()) return std::string(profile.status().message());
  }
  if (!row.call.empty() && !IsCall(row.call)) {
    return absl::StrCat("unknown call \"", absl::Utf8SafeCEscape(row.call),
                        "\"");
  }
  return "";
}

}  // namespace

absl::StatusOr<std::vector<Judged>> ParseJudged(absl::string_view text,
                                                absl::string_view file) {
  proto::JudgedDivergences message;
  FirstError error(file);
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  if (!parser.ParseFromString(std::string(text), &message)) {
    return error.status();
  }
  std::vector<Judged> rows;
  std::set<std::string> names;
  for (const proto::JudgedDivergence& judged : message.judged()) {
    Judged row;
    row.name = judged.name();
    row.engines.assign(judged.engine().begin(), judged.engine().end());
    row.kernels.assign(judged.kernel().begin(), judged.kernel().end());
    row.property = judged.property();
    row.call = judged.call();
    row.expected = judged.expected();
    row.seen = judged.seen();
    row.reason = judged.reason();
    row.witness = judged.witness();
    if (const std::string problem = ProblemOf(row, names); !problem.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(file, ": judged[", rows.size(), "] \"",
                       absl::Utf8SafeCEscape(row.name), "\": ", problem));
    }
    names.insert(row.name);
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace lockstep
