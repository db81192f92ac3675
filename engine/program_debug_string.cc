// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Steps as one line for a person.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "engine/program.h"
#include "engine/step.h"
#include "engine/step_fields.h"
#include "google/protobuf/descriptor.h"

namespace lockstep {
namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;

// "arena 3", "arena 3+0x10", "heap 0-0x1", "0xffff800000000000".
std::string Format(const Address& address) {
  if (address.base == Address::Base::kRaw) {
    return absl::StrFormat("%#x", address.value);
  }
  const absl::string_view base =
      address.base == Address::Base::kHeap ? "heap " : "arena ";
  if (static_cast<int64_t>(address.value) < 0) {
    return absl::StrFormat("%s0-%#x", base, -address.value);
  }
  const uint64_t offset = OffsetInPage(address.value);
  return absl::StrCat(base, PageOf(address.value).n,
                      offset == 0 ? "" : absl::StrFormat("+%#x", offset));
}

// "READ|WRITE", "PRIVATE|0x4", "0".
std::string FormatBits(const EnumDescriptor& type, uint32_t bits) {
  std::vector<std::string> names;
  for (const EnumValueDescriptor* bit : NamedBits(type)) {
    const uint32_t number = static_cast<uint32_t>(bit->number());
    if ((bits & number) == 0) continue;
    names.push_back(bit->name());
    bits &= ~number;
  }
  if (bits != 0) names.push_back(absl::StrFormat("%#x", bits));
  return names.empty() ? "0" : absl::StrJoin(names, "|");
}

std::string FormatNumber(const FieldDescriptor& field, uint64_t number) {
  if (field.cpp_type() != FieldDescriptor::CPPTYPE_ENUM) {
    return absl::StrCat(number);
  }
  const EnumDescriptor& type = *field.enum_type();
  if (field.is_repeated()) {
    return FormatBits(type, static_cast<uint32_t>(number));
  }
  const EnumValueDescriptor* value =
      type.FindValueByNumber(static_cast<int>(number));
  return value != nullptr ? value->name() : absl::StrCat(number);
}

// What would be taken for something else without its name.
bool NeedsName(const FieldDescriptor& field, Field target) {
  return target == Field::kSlot || target == Field::kLength2 ||
         target == Field::kNewAddr || field.name() == "nth" ||
         field.name() == "source";
}

// Left out where it is the default and says nothing: modes that are off, and
// what only some forms of a call use.
bool Omitted(const Step& step, Field target) {
  if (target == Field::kValue) return step.value == 0;
  if (step.op == Op::kMmap) {
    return (target == Field::kSlot || target == Field::kLength2) &&
           NumberIn(step, target) == 0;
  }
  return target == Field::kNewAddr && step.new_addr == Address();
}

std::string Argument(const Step& step, const StepField& field) {
  if (field.field->cpp_type() == FieldDescriptor::CPPTYPE_BOOL) {
    return field.field->name();
  }
  const bool address =
      field.target == Field::kAddr || field.target == Field::kNewAddr;
  return absl::StrCat(
      NeedsName(*field.field, field.target) ? field.field->name() + " " : "",
      address ? Format(field.target == Field::kAddr ? step.addr : step.new_addr)
              : FormatNumber(*field.field, NumberIn(step, field.target)));
}

// "mlock(arena 3, 8192)".
std::string Call(const Step& step) {
  std::vector<std::string> arguments;
  const bool everything = step.op == Op::kReclaim && step.value == 0;
  for (const StepField& field : MessageOf(step.op).fields) {
    if (everything || Omitted(step, field.target)) continue;
    arguments.push_back(Argument(step, field));
  }
  return absl::StrCat(InfoOf(step.op).name, "(", absl::StrJoin(arguments, ", "),
                      ")");
}

std::string Interleaving(const During& during) {
  return absl::StrCat(
      ", task ", during.task, ": ", Call(AsStep(during)), " at ",
      InfoOf(during.point).name,
      during.nth == 0 ? "" : absl::StrCat(" after ", during.nth));
}

}  // namespace

std::string DebugString(const Step& step) {
  std::string line = absl::StrCat("task ", step.task, ": ", Call(step));
  for (const During& during : step.interleavings()) {
    line += Interleaving(during);
  }
  return line;
}

}  // namespace lockstep
