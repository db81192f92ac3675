// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Programs as text: protobuf's text format, one step a line.

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "engine/program.h"
#include "engine/program_proto.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/text_format.h"
#include "lockstep/program.pb.h"

namespace lockstep {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::TextFormat;

constexpr absl::string_view kHeader =
    "# proto-file: proto/lockstep/program.proto\n"
    "# proto-message: lockstep.proto.Program\n";

// Lines and columns count from 1, columns in bytes.
absl::Status ErrorAt(absl::string_view name, int line, int column,
                     absl::string_view message) {
  return absl::InvalidArgumentError(
      absl::StrCat(name, ":", line, ":", column, ": ", message));
}

absl::Status ErrorAtOffset(absl::string_view name, absl::string_view text,
                           size_t offset, absl::string_view message) {
  const absl::string_view before = text.substr(0, offset);
  const auto line = std::count(before.begin(), before.end(), '\n');
  const size_t newline = before.rfind('\n');
  const size_t column =
      newline == absl::string_view::npos ? offset : offset - newline - 1;
  return ErrorAt(name, static_cast<int>(line) + 1, static_cast<int>(column) + 1,
                 message);
}

// What could have stood where the parser found a name that it does not know.
std::string KnownNames(absl::string_view message) {
  const std::vector<absl::string_view> parts = absl::StrSplit(message, '"');
  if (parts.size() != 5 || !absl::StrContains(parts[2], "has no field named")) {
    return "";
  }
  const Descriptor* type =
      DescriptorPool::generated_pool()->FindMessageTypeByName(
          std::string(parts[1]));
  if (type == nullptr) return "";
  if (type->field_count() == 0) return " Expected \"}\".";
  std::vector<std::string> names;
  for (int i = 0; i < type->field_count(); ++i) {
    names.push_back(type->field(i)->name());
  }
  return absl::StrCat(" Expected one of: ", absl::StrJoin(names, ", "), ".");
}

// The parser's message as one line that says what was found at the end, too.
std::string Readable(absl::string_view message) {
  if (absl::EndsWith(message, "got: ")) {
    return absl::StrCat(message, "the end of the text");
  }
  std::string line;
  for (const char c : message) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
      absl::StrAppend(&line, absl::CEscape(absl::string_view(&c, 1)));
    } else {
      line.push_back(c);
    }
  }
  return absl::StrCat(line, KnownNames(message));
}

// Keeps the first error: what follows it is mostly its consequence.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (!message_.empty()) return;
    line_ = line + 1;
    column_ = column + 1;
    message_ = Readable(message);
  }
  void AddWarning(int, int, const std::string&) override {}

  absl::Status ToStatus(absl::string_view name) const {
    return ErrorAt(name, std::max(line_, 1), std::max(column_, 1),
                   message_.empty() ? "malformed" : message_);
  }

 private:
  int line_ = 0;
  int column_ = 0;
  std::string message_;
};

// The input was checked to be at most kMaxProgramBytes, which an int holds.
bool ParseMessage(absl::string_view text, FirstError* error,
                  TextFormat::ParseInfoTree* locations,
                  proto::Program* message) {
  TextFormat::Parser parser;
  parser.RecordErrorsTo(error);
  if (locations != nullptr) parser.WriteLocationsTo(locations);
  // The schema nests six deep.
  parser.SetRecursionLimit(32);
  google::protobuf::io::ArrayInputStream stream(text.data(),
                                                static_cast<int>(text.size()));
  return parser.Parse(&stream, message);
}

// Finds the line of a problem by parsing again with locations, which cost more
// than the message itself and are not wanted otherwise.
absl::Status LocateProblem(absl::string_view name, absl::string_view text,
                           const ProgramProblem& problem) {
  FirstError error;
  TextFormat::ParseInfoTree root;
  proto::Program message;
  ParseMessage(text, &error, &root, &message);

  TextFormat::ParseInfoTree* tree = &root;
  const Descriptor* type = proto::Program::descriptor();
  TextFormat::ParseLocation location;
  for (const ProgramProblem::Part& part : problem.where) {
    const auto* field = type->FindFieldByName(std::string(part.field));
    // Elements of a [list] have no place of their own: that of their owner.
    const TextFormat::ParseLocation here = tree->GetLocation(field, part.index);
    if (here.line >= 0) location = here;
    type = field->message_type();
    if (type != nullptr) tree = tree->GetTreeForNested(field, part.index);
    if (type == nullptr || tree == nullptr) break;
  }
  return ErrorAt(name, std::max(location.line, 0) + 1,
                 std::max(location.column, 0) + 1,
                 absl::StrCat(problem.Path(), ": ", problem.message));
}

absl::Status CheckBeforeParsing(absl::string_view text,
                                absl::string_view name) {
  if (text.size() > kMaxProgramBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, ": larger than ", kMaxProgramBytes, " bytes, not a program"));
  }
  const size_t bad = FindNonUtf8(text);
  if (bad != absl::string_view::npos) {
    return ErrorAtOffset(
        name, text, bad,
        absl::StrFormat("expected UTF-8 text, found byte %#04x",
                        static_cast<unsigned char>(text[bad])));
  }
  if (static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
        return c == '{' || c == '<';
      })) > kMaxMessages) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, ": more than ", kMaxMessages, " messages, not a program"));
  }
  return absl::OkStatus();
}

constexpr size_t kLineLength = 100;

void PrintField(absl::string_view field,
                const google::protobuf::Message& message, std::string* out) {
  TextFormat::Printer printer;
  printer.SetUseUtf8StringEscaping(true);
  printer.SetUseShortRepeatedPrimitives(true);
  std::string body;
  printer.SetSingleLineMode(true);
  printer.PrintToString(message, &body);
  absl::StripTrailingAsciiWhitespace(&body);
  if (field.size() + body.size() + 5 <= kLineLength) {
    absl::StrAppend(out, field, " { ", body, body.empty() ? "}\n" : " }\n");
    return;
  }
  printer.SetSingleLineMode(false);
  printer.SetInitialIndentLevel(1);
  printer.PrintToString(message, &body);
  absl::StrAppend(out, field, " {\n", body, "}\n");
}

}  // namespace

absl::StatusOr<Program> ParseProgramText(absl::string_view text,
                                         absl::string_view name) {
  if (absl::Status status = CheckBeforeParsing(text, name); !status.ok()) {
    return status;
  }
  proto::Program message;
  FirstError error;
  if (!ParseMessage(text, &error, nullptr, &message)) {
    return error.ToStatus(name);
  }
  Program program;
  ProgramProblem problem;
  if (!ProgramFromProto(message, &program, &problem)) {
    return LocateProblem(name, text, problem);
  }
  return program;
}

std::string FormatProgramText(const Program& program) {
  const proto::Program message = ProgramToProto(program);
  std::string out(kHeader);
  if (!message.description().empty()) {
    proto::Program description;
    description.set_description(message.description());
    TextFormat::Printer printer;
    printer.SetUseUtf8StringEscaping(true);
    std::string line;
    printer.PrintToString(description, &line);
    out += line;
  }
  PrintField("config", message.config(), &out);
  for (const proto::Step& step : message.steps()) {
    PrintField("steps", step, &out);
  }
  return out;
}

}  // namespace lockstep
