// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/step_fields.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/step.h"
#include "google/protobuf/descriptor.h"
#include "lockstep/program.pb.h"

namespace lockstep {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;

// A name means the same in every message.
struct FieldName {
  absl::string_view name;
  Field target;
  SlotKind slots = SlotKind::kNone;
};
constexpr FieldName kFieldNames[] = {
    {"addr", Field::kAddr},
    {"page", Field::kAddr},
    {"new_addr", Field::kNewAddr},
    {"length", Field::kLength},
    {"old_length", Field::kLength},
    {"size", Field::kLength},
    {"memlock", Field::kLength},
    {"new_length", Field::kLength2},
    {"offset_pages", Field::kLength2},
    {"prot", Field::kProt},
    {"flags", Field::kFlags},
    {"advice", Field::kFlags},
    {"command", Field::kFlags},
    {"child", Field::kSlot, SlotKind::kTask},
    {"fd", Field::kSlot, SlotKind::kFile},
    {"shm", Field::kSlot, SlotKind::kShm},
    {"uid", Field::kSlot, SlotKind::kUser},
    {"cpu", Field::kSlot, SlotKind::kCpu},
    {"zone", Field::kSlot, SlotKind::kZone},
    {"share_vm", Field::kValue},
    {"ipc_lock", Field::kValue},
    {"write", Field::kValue},
    {"pmd_only", Field::kValue},
    {"nth", Field::kValue},
    {"hugetlb", Field::kValue},
    {"source", Field::kValue},
};

// The schema and the tables above are both ours: a gap is a bug.
[[noreturn]] void SchemaBug(const std::string& name) {
  std::fprintf(stderr, "lockstep: program.proto has %s, step_fields.cc not\n",
               name.c_str());
  std::abort();
}

StepField FieldOf(const FieldDescriptor* field) {
  for (const FieldName& row : kFieldNames) {
    if (row.name == field->name()) return {field, row.target, row.slots};
  }
  SchemaBug(field->full_name());
}

// More than the highest field number of either oneof.
constexpr int kMaxFieldNumber = 64;

struct Table {
  Table();
  void Add(const OpInfo& info);

  std::vector<StepMessage> messages;            // by Op
  std::array<SlotKind, kOpCount> slot_kinds{};  // by Op
  std::array<Op, kMaxFieldNumber> calls{};
  std::array<Op, kMaxFieldNumber> actions{};
};

Table::Table() {
  for (const OpInfo& info : AllOps()) Add(info);
}

void Table::Add(const OpInfo& info) {
  StepMessage message{info.op, nullptr, nullptr, {}};
  if (info.op != Op::kNone) {
    const std::string name(info.name);
    message.call = proto::Step::descriptor()->FindFieldByName(name);
    message.action = proto::During::descriptor()->FindFieldByName(name);
    if (message.call == nullptr) SchemaBug("no Step." + name);
    const Descriptor* type = message.call->message_type();
    for (int i = 0; i < type->field_count(); ++i) {
      const StepField& field =
          message.fields.emplace_back(FieldOf(type->field(i)));
      if (field.target == Field::kSlot) {
        slot_kinds[static_cast<int>(info.op)] = field.slots;
      }
    }
    calls[message.call->number()] = info.op;
    if (message.action != nullptr) actions[message.action->number()] = info.op;
  }
  messages.push_back(std::move(message));
}

const Table& GetTable() {
  static const Table* const table = new Table;
  return *table;
}

}  // namespace

const StepMessage& MessageOf(Op op) {
  return GetTable().messages[static_cast<int>(op)];
}

uint32_t SlotCount(SlotKind kind, const Config& config) {
  switch (kind) {
    case SlotKind::kTask:
      return kTaskSlots;
    case SlotKind::kFile:
      return kFileSlots;
    case SlotKind::kShm:
      return kShmSlots;
    case SlotKind::kUser:
      return kUsers;
    case SlotKind::kCpu:
      return config.cpus;
    case SlotKind::kZone:
      return config.zones;
    case SlotKind::kNone:
      break;
  }
  return 1;
}

uint32_t SlotsOf(Op op, const Config& config) {
  return SlotCount(GetTable().slot_kinds[static_cast<int>(op)], config);
}

uint32_t ValueFromNumber(Op op, uint64_t number) {
  const bool unknown_source =
      op == Op::kMmap && number > static_cast<uint64_t>(MmapSource::kSecret);
  return unknown_source ? static_cast<uint32_t>(MmapSource::kFile)
                        : static_cast<uint32_t>(number);
}

const Address* GivenAddress(const Step& step, Field field) {
  const Address& address = field == Field::kAddr ? step.addr : step.new_addr;
  const bool given =
      step.op == Op::kReclaim ? step.value != 0 : !(address == Address());
  return given ? &address : nullptr;
}

Op OpOfCall(int field_number) { return GetTable().calls[field_number]; }

Op OpOfAction(int field_number) { return GetTable().actions[field_number]; }

std::vector<const EnumValueDescriptor*> NamedBits(const EnumDescriptor& flags) {
  std::vector<const EnumValueDescriptor*> bits;
  for (int i = 0; i < flags.value_count(); ++i) {
    const uint32_t number = static_cast<uint32_t>(flags.value(i)->number());
    if (number != 0 && (number & (number - 1)) == 0) {
      bits.push_back(flags.value(i));
    }
  }
  std::sort(bits.begin(), bits.end(),
            [](const EnumValueDescriptor* a, const EnumValueDescriptor* b) {
              return a->number() < b->number();
            });
  return bits;
}

}  // namespace lockstep
