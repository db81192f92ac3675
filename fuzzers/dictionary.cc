// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "fuzzers/dictionary.h"

#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/defect.h"
#include "engine/outcome.h"
#include "engine/profile.h"
#include "engine/step.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "lockstep/program.pb.h"

namespace lockstep {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Reflection;

// Outcomes have no list: numbers up to the kernel's largest errno and signal.
void AddOutcomes(std::set<std::string>* names) {
  constexpr int kMaxErrno = 133;  // EHWPOISON
  constexpr int kMaxSignal = 31;  // SIGSYS
  names->insert(std::string(OutcomeName(Outcome::Ok())));
  names->insert(std::string(OutcomeName(Outcome::Skipped())));
  names->insert(std::string(OutcomeName(Outcome::Unsupported())));
  auto add_known = [names](const Outcome& outcome) {
    const absl::string_view name = OutcomeName(outcome);
    if (OutcomeFromName(name) == outcome) names->insert(std::string(name));
  };
  for (int i = 1; i <= kMaxErrno; ++i) add_known(Outcome::Errno(i));
  for (int i = 1; i <= kMaxSignal; ++i) add_known(Outcome::Signal(i));
}

// What stands in a program's strings.
std::set<std::string> Names() {
  std::set<std::string> names = {"none"};
  for (const Profile& profile : AllProfiles()) {
    names.insert(std::string(profile.name));
  }
  for (const DefectInfo& info : AllDefects()) {
    names.insert(absl::StrCat("+", info.name));
  }
  for (const PointInfo& info : AllPoints()) {
    if (info.point != Point::kNone) names.insert(std::string(info.name));
  }
  AddOutcomes(&names);
  return names;
}

void AddEnum(const EnumDescriptor& type, std::set<std::string>* words) {
  for (int i = 0; i < type.value_count(); ++i) {
    words->insert(type.value(i)->name());
  }
}

// The words of a message and of those in it. The schema has no message inside
// itself.
void AddMessage(const Descriptor& type, std::set<std::string>* words) {
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (const Descriptor* inner = field.message_type(); inner != nullptr) {
      words->insert(absl::StrCat(field.name(), " {"));
      AddMessage(*inner, words);
      continue;
    }
    words->insert(absl::StrCat(field.name(), ": "));
    if (field.enum_type() != nullptr) AddEnum(*field.enum_type(), words);
  }
}

// A program whose only step has this alternative of a oneof, empty.
std::string OneStep(const FieldDescriptor& call) {
  proto::Program program;
  proto::Step* step = program.add_steps();
  step->GetReflection()->MutableMessage(step, &call);
  return program.SerializeAsString();
}

std::string OneDuring(const FieldDescriptor& action) {
  proto::Step step;
  proto::During* during = step.add_during();
  during->GetReflection()->MutableMessage(during, &action);
  return step.SerializeAsString();
}

// A configuration with one field, a number of 1.
std::string OneConfigField(const FieldDescriptor& field) {
  proto::Config config;
  const Reflection& reflection = *config.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT64:
      reflection.SetUInt64(&config, &field, 1);
      break;
    case FieldDescriptor::CPPTYPE_UINT32:
      reflection.SetUInt32(&config, &field, 1);
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      reflection.SetBool(&config, &field, true);
      break;
    case FieldDescriptor::CPPTYPE_ENUM:
      reflection.SetEnumValue(&config, &field, 1);
      break;
    case FieldDescriptor::CPPTYPE_STRING:
      reflection.SetString(&config, &field, "none");
      break;
    default:
      return "";
  }
  return config.SerializeAsString();
}

std::vector<std::string> Entries(const std::set<std::string>& words) {
  std::vector<std::string> entries;
  for (const std::string& word : words) {
    if (!word.empty() && word.size() <= kMaxDictionaryEntry) {
      entries.push_back(word);
    }
  }
  return entries;
}

}  // namespace

std::vector<std::string> TextDictionary() {
  std::set<std::string> words;
  AddMessage(*proto::Program::descriptor(), &words);
  for (const std::string& name : Names()) {
    words.insert(absl::StrCat("\"", name, "\""));
  }
  return Entries(words);
}

std::vector<std::string> BinaryDictionary() {
  std::set<std::string> words = Names();
  const auto& call = *proto::Step::descriptor()->FindOneofByName("call");
  for (int i = 0; i < call.field_count(); ++i) {
    words.insert(OneStep(*call.field(i)));
  }
  const auto& action = *proto::During::descriptor()->FindOneofByName("action");
  for (int i = 0; i < action.field_count(); ++i) {
    words.insert(OneDuring(*action.field(i)));
  }
  const Descriptor& config = *proto::Config::descriptor();
  for (int i = 0; i < config.field_count(); ++i) {
    words.insert(OneConfigField(*config.field(i)));
  }
  return Entries(words);
}

std::string FormatDictionary(absl::Span<const std::string> entries) {
  std::string text;
  for (const std::string& entry : entries) {
    absl::StrAppend(&text, "\"");
    for (const char c : entry) {
      if (c == '"' || c == '\\') {
        absl::StrAppend(&text, "\\", std::string(1, c));
      } else if (absl::ascii_isprint(static_cast<unsigned char>(c))) {
        text.push_back(c);
      } else {
        absl::StrAppendFormat(&text, "\\x%02x", static_cast<unsigned char>(c));
      }
    }
    absl::StrAppend(&text, "\"\n");
  }
  return text;
}

}  // namespace lockstep
