// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Programs as bytes: protobuf's wire format. The format itself accepts nearly
// anything (fields that the schema lacks are kept, counts are not limited), so
// the bytes are checked against the schema before protobuf sees them.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/program.h"
#include "engine/program_proto.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/wire_format_lite.h"
#include "lockstep/program.pb.h"

namespace lockstep {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

// Walks messages without building them. The schema has no message inside
// itself, so its depth bounds the recursion.
class WireCheck {
 public:
  explicit WireCheck(absl::string_view bytes)
      : bytes_(bytes),
        stream_(reinterpret_cast<const uint8_t*>(bytes.data()),
                static_cast<int>(bytes.size())) {}

  // True if the bytes up to the current limit are fields of `type`.
  bool Message(const Descriptor& type);

  // What is wrong, after Message returned false.
  std::string error() const {
    return absl::StrCat("byte ", offset_, ": ", error_);
  }

 private:
  bool Fail(absl::string_view what) {
    if (error_.empty()) error_ = std::string(what);
    return false;
  }
  bool Field(const Descriptor& type, uint32_t tag);
  bool Delimited(const FieldDescriptor& field);
  bool Numbers(uint32_t end);

  absl::string_view bytes_;
  CodedInputStream stream_;
  int offset_ = 0;  // of the field looked at last
  size_t parts_ = 0;
  std::string error_;
};

bool WireCheck::Message(const Descriptor& type) {
  while (stream_.BytesUntilLimit() != 0) {
    offset_ = stream_.CurrentPosition();
    const uint32_t tag = stream_.ReadTagNoLastTag();
    if (tag == 0) {
      // The end of the outermost message, or a tag that is none.
      if (offset_ == static_cast<int>(bytes_.size())) return true;
      return Fail("expected a field, found a malformed tag");
    }
    if (!Field(type, tag)) return false;
  }
  return true;
}

bool WireCheck::Field(const Descriptor& type, uint32_t tag) {
  const int number = WireFormatLite::GetTagFieldNumber(tag);
  const FieldDescriptor* field = type.FindFieldByNumber(number);
  if (field == nullptr) {
    return Fail(absl::StrCat("expected a field of ", type.name(),
                             ", found number ", number));
  }
  const auto wire_type = WireFormatLite::GetTagWireType(tag);
  if (wire_type == WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
    return Delimited(*field);
  }
  const bool number_field =
      field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE &&
      field->cpp_type() != FieldDescriptor::CPPTYPE_STRING;
  if (wire_type != WireFormatLite::WIRETYPE_VARINT || !number_field) {
    return Fail(absl::StrCat("wrong wire type ", wire_type, " for the field ",
                             field->full_name()));
  }
  uint64_t value;
  return stream_.ReadVarint64(&value) || Fail("truncated or malformed number");
}

bool WireCheck::Delimited(const FieldDescriptor& field) {
  uint32_t size;
  if (!stream_.ReadVarint32(&size)) return Fail("truncated or malformed size");
  const int start = stream_.CurrentPosition();
  const int limit = stream_.BytesUntilLimit();
  const size_t left =
      limit >= 0 ? static_cast<size_t>(limit) : bytes_.size() - start;
  if (size > left) {
    return Fail(absl::StrCat("truncated: ", field.full_name(), " has ", size,
                             " bytes, ", left, " are left"));
  }
  if (++parts_ > kMaxMessages) {
    return Fail(absl::StrCat("more than ", kMaxMessages, " messages"));
  }
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
    if (FindNonUtf8(bytes_.substr(start, size)) != absl::string_view::npos) {
      return Fail(absl::StrCat("expected UTF-8 in ", field.full_name()));
    }
    return stream_.Skip(static_cast<int>(size));
  }
  if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE &&
      !field.is_repeated()) {
    return Fail(
        absl::StrCat("wrong wire type 2 for the field ", field.full_name()));
  }
  const auto outer = stream_.PushLimit(static_cast<int>(size));
  const bool good = field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE
                        ? Message(*field.message_type())
                        : Numbers(start + size);
  stream_.PopLimit(outer);
  return good;
}

// A packed list.
bool WireCheck::Numbers(uint32_t end) {
  while (stream_.CurrentPosition() < static_cast<int>(end)) {
    uint64_t value;
    if (!stream_.ReadVarint64(&value)) {
      return Fail("truncated or malformed number");
    }
  }
  return true;
}

absl::Status Error(absl::string_view name, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": not a program: ", what));
}

}  // namespace

absl::StatusOr<Program> ParseProgramBinary(absl::string_view bytes,
                                           absl::string_view name) {
  // A saved program is never empty: it names its kernel.
  if (bytes.empty()) return Error(name, "empty");
  if (bytes.size() > kMaxProgramBytes) {
    return Error(name,
                 absl::StrCat("larger than ", kMaxProgramBytes, " bytes"));
  }
  WireCheck check(bytes);
  if (!check.Message(*proto::Program::descriptor())) {
    return Error(name, check.error());
  }
  proto::Program message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Error(name, "malformed");
  }
  Program program;
  ProgramProblem problem;
  if (!ProgramFromProto(message, &program, &problem)) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": ", problem.Path(), ": ", problem.message));
  }
  return program;
}

std::string FormatProgramBinary(const Program& program) {
  return ProgramToProto(program).SerializeAsString();
}

}  // namespace lockstep
