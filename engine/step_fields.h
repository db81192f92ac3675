// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Which field of which message of program.proto is which field of a Step: the
// one table behind loading, saving and printing steps.

#ifndef LOCKSTEP_ENGINE_STEP_FIELDS_H_
#define LOCKSTEP_ENGINE_STEP_FIELDS_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/program.h"
#include "engine/step.h"
#include "google/protobuf/descriptor.h"

namespace lockstep {

// The slots that a field chooses from: its number is taken modulo theirs.
enum class SlotKind : uint8_t { kNone, kTask, kFile, kShm, kUser, kCpu, kZone };

struct StepField {
  const google::protobuf::FieldDescriptor* field;
  Field target;
  SlotKind slots;
};

// One alternative of Step.call (and of During.action).
struct StepMessage {
  Op op;
  const google::protobuf::FieldDescriptor* call;    // null for kNone
  const google::protobuf::FieldDescriptor* action;  // null: not in a During
  std::vector<StepField> fields;
};

const StepMessage& MessageOf(Op op);

uint32_t SlotCount(SlotKind kind, const Config& config);
// The number of slots that the slot of such a step is one of; 1 if it has none.
uint32_t SlotsOf(Op op, const Config& config);

// Step::value of a number from outside: an unknown source of mmap is a file.
uint32_t ValueFromNumber(Op op, uint64_t number);

// kAddr or kNewAddr of the step; null where it is left out of files.
const Address* GivenAddress(const Step& step, Field field);

// The op of an alternative's field number; kNone for 0 (not set).
Op OpOfCall(int field_number);
Op OpOfAction(int field_number);

// The bits that a flag enum has names for, low to high, each with its name.
// Numbers that are not a single bit (MADV_*, commands) are not bits.
std::vector<const google::protobuf::EnumValueDescriptor*> NamedBits(
    const google::protobuf::EnumDescriptor& flags);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_STEP_FIELDS_H_
