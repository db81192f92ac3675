// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Programs as bytes: protobuf's wire format. The format itself accepts nearly
// anything (fields that the schema lacks are kept, counts are not limited), so
// the bytes are checked against the schema before protobuf sees them.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/program.h"
#include "engine/program_proto.h"
#include "engine/step.h"
#include "engine/step_fields.h"
#include "engine/units.h"
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

// ---- Writing ----
//
// Fuzzing writes a program for every one that it runs: steps are written
// without their messages, byte for byte as protobuf writes them.

void AppendVarint(uint64_t value, std::string* bytes) {
  for (; value >= 0x80; value >>= 7) {
    bytes->push_back(static_cast<char>(value | 0x80));
  }
  bytes->push_back(static_cast<char>(value));
}

void AppendNumber(int field, uint64_t value, std::string* bytes) {
  AppendVarint(WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_VARINT),
               bytes);
  AppendVarint(value, bytes);
}

// A number that is left out where it is 0.
void AppendNonZero(int field, uint64_t value, std::string* bytes) {
  if (value != 0) AppendNumber(field, value, bytes);
}

// A message, a string or a packed list, whose contents `append` appends.
template <typename Append>
void AppendDelimited(int field, const Append& append, std::string* bytes) {
  AppendVarint(
      WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED),
      bytes);
  // Most sizes take one byte.
  const size_t start = bytes->size() + 1;
  bytes->push_back(0);
  append();
  const size_t size = bytes->size() - start;
  if (size < 0x80) {
    (*bytes)[start - 1] = static_cast<char>(size);
    return;
  }
  std::string prefix;
  AppendVarint(size, &prefix);
  bytes->replace(start - 1, 1, prefix);
}

// A field of a call's message.
struct WireField {
  int number;
  Field target;
  FieldDescriptor::CppType type;
  std::vector<uint32_t> bits;  // of a repeated enum
};
struct WireCall {
  int call = 0, action = 0;       // field numbers; 0: none
  std::vector<WireField> fields;  // by number
};

const WireCall& WireCallOf(Op op) {
  static const auto& calls = *[] {
    auto* table = new std::vector<WireCall>(kOpCount);
    for (const OpInfo& info : AllOps()) {
      const StepMessage& message = MessageOf(info.op);
      WireCall& call = (*table)[static_cast<size_t>(info.op)];
      if (message.call != nullptr) call.call = message.call->number();
      if (message.action != nullptr) call.action = message.action->number();
      for (const StepField& field : message.fields) {
        WireField& row = call.fields.emplace_back();
        row.number = field.field->number();
        row.target = field.target;
        row.type = field.field->cpp_type();
        if (!field.field->is_repeated()) continue;
        for (const auto* bit : NamedBits(*field.field->enum_type())) {
          row.bits.push_back(static_cast<uint32_t>(bit->number()));
        }
      }
      std::sort(call.fields.begin(), call.fields.end(),
                [](const WireField& a, const WireField& b) {
                  return a.number < b.number;
                });
    }
    return table;
  }();
  return calls[static_cast<size_t>(op)];
}

// As AddressToProto has it.
void AppendAddress(int field, const Address& address, std::string* bytes) {
  AppendDelimited(
      field,
      [&] {
        if (address.base == Address::Base::kRaw) {
          return AppendNumber(proto::Address::kRawFieldNumber, address.value,
                              bytes);
        }
        const bool below = static_cast<int64_t>(address.value) < 0;
        AppendNumber(address.base == Address::Base::kHeap
                         ? proto::Address::kHeapPageFieldNumber
                         : proto::Address::kPageFieldNumber,
                     below ? 0 : PageOf(address.value).n, bytes);
        AppendNonZero(proto::Address::kOffsetFieldNumber,
                      below ? address.value : OffsetInPage(address.value),
                      bytes);
      },
      bytes);
}

// Enums are int32 on the wire: what has the highest bit is negative.
uint64_t EnumNumber(uint32_t value) {
  return static_cast<uint64_t>(int64_t{static_cast<int32_t>(value)});
}

void AppendFlags(const WireField& field, uint32_t flags, std::string* bytes) {
  if (flags == 0) return;
  AppendDelimited(
      field.number,
      [&] {
        for (const uint32_t bit : field.bits) {
          if ((flags & bit) == 0) continue;
          AppendVarint(EnumNumber(bit), bytes);
          flags &= ~bit;
        }
        if (flags != 0) AppendVarint(EnumNumber(flags), bytes);
      },
      bytes);
}

void AppendCall(const Step& step, std::string* bytes) {
  for (const WireField& field : WireCallOf(step.op).fields) {
    if (field.target == Field::kAddr || field.target == Field::kNewAddr) {
      const Address* given = GivenAddress(step, field.target);
      if (given != nullptr) AppendAddress(field.number, *given, bytes);
      continue;
    }
    const uint64_t number = NumberIn(step, field.target);
    if (!field.bits.empty()) {
      AppendFlags(field, static_cast<uint32_t>(number), bytes);
    } else if (field.type == FieldDescriptor::CPPTYPE_ENUM) {
      AppendNonZero(field.number, EnumNumber(static_cast<uint32_t>(number)),
                    bytes);
    } else if (field.type == FieldDescriptor::CPPTYPE_BOOL) {
      AppendNonZero(field.number, number != 0 ? 1 : 0, bytes);
    } else {
      AppendNonZero(field.number, number, bytes);
    }
  }
}

void AppendDuring(const During& during, std::string* bytes) {
  const absl::string_view point = InfoOf(during.point).name;
  if (!point.empty()) {
    AppendDelimited(
        proto::During::kPointFieldNumber,
        [&] { bytes->append(point.data(), point.size()); }, bytes);
  }
  AppendNonZero(proto::During::kNthFieldNumber, during.nth, bytes);
  AppendNonZero(proto::During::kTaskFieldNumber, during.task, bytes);
  const int action = WireCallOf(during.op).action;
  if (action == 0) return;
  AppendDelimited(
      action, [&] { AppendCall(AsStep(during), bytes); }, bytes);
}

void AppendStep(const Step& step, std::string* bytes) {
  AppendDelimited(
      proto::Program::kStepsFieldNumber,
      [&] {
        AppendNonZero(proto::Step::kTaskFieldNumber, step.task, bytes);
        for (const During& during : step.interleavings()) {
          AppendDelimited(
              proto::Step::kDuringFieldNumber,
              [&] { AppendDuring(during, bytes); }, bytes);
        }
        if (step.op == Op::kNone) return;
        AppendDelimited(
            WireCallOf(step.op).call, [&] { AppendCall(step, bytes); }, bytes);
      },
      bytes);
}

// A program without steps. Programs that are written one after the other often
// start alike.
const std::string& ConfigBytes(const Config& config) {
  struct Written {
    Config config;
    std::string bytes;
  };
  thread_local Written last;
  if (last.bytes.empty() || !(last.config == config)) {
    Program program;
    program.config = config;
    last = {config, ProgramToProto(program).SerializeAsString()};
  }
  return last.bytes;
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
  if (!program.expectations.empty() || !program.description.empty()) {
    return ProgramToProto(program).SerializeAsString();
  }
  std::string bytes = ConfigBytes(program.config);
  bytes.reserve(bytes.size() + program.steps.size() * 40);
  for (const Step& step : program.steps) AppendStep(step, &bytes);
  return bytes;
}

}  // namespace lockstep
