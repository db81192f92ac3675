// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Whatever message is loaded, its program comes back equal from text and from
// bytes, and is written the same way again.

#include <cstdint>
#include <random>
#include <string>

#include "engine/program.h"
#include "engine/program_proto.h"
#include "engine/step.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "gtest/gtest.h"
#include "lockstep/program.pb.h"

namespace lockstep {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

void ExpectRoundTrips(const Program& program) {
  const std::string text = FormatProgramText(program);
  const auto from_text = ParseProgramText(text, "text");
  ASSERT_TRUE(from_text.ok()) << from_text.status() << "\n" << text;
  ASSERT_TRUE(*from_text == program) << text;
  ASSERT_EQ(FormatProgramText(*from_text), text);

  const std::string bytes = FormatProgramBinary(program);
  const auto from_binary = ParseProgramBinary(bytes, "binary");
  ASSERT_TRUE(from_binary.ok()) << from_binary.status() << "\n" << text;
  ASSERT_TRUE(*from_binary == program) << text;
  ASSERT_EQ(FormatProgramBinary(*from_binary), bytes);
}

// ---- Each field by itself ----

// A step of the op with something in every field that it uses.
Step FullStep(Op op) {
  const OpInfo& info = InfoOf(op);
  Step step;
  step.op = op;
  step.task = 7;
  if (info.Uses(Field::kAddr)) step.addr = Address::Arena({3}, 17);
  if (info.Uses(Field::kNewAddr)) step.new_addr = Address::Heap({5}, 19);
  if (info.Uses(Field::kLength)) step.length = 0xfedcba9876543210;
  if (info.Uses(Field::kLength2)) step.length2 = 0xf123456789abcdef;
  if (info.Uses(Field::kSlot)) step.slot = 1;
  if (info.Uses(Field::kFlags)) step.flags = 0xdeadbeef;
  if (info.Uses(Field::kProt)) step.prot = 0xc0ffee01;
  if (info.Uses(Field::kValue)) step.value = 1;
  return step;
}

Program OneStep(const Step& step) {
  Program program;
  program.config.zones = 2;
  program.steps = {step};
  return program;
}

class OpRoundTripTest : public testing::TestWithParam<int> {
 protected:
  Op op() const { return static_cast<Op>(GetParam()); }
};
std::string OpName(const testing::TestParamInfo<int>& info) {
  return std::string(InfoOf(static_cast<Op>(info.param)).name);
}

TEST_P(OpRoundTripTest, WithEveryFieldItUses) {
  ExpectRoundTrips(OneStep(FullStep(op())));
}

TEST_P(OpRoundTripTest, WithNothingSet) {
  Step step;
  step.op = op();
  ExpectRoundTrips(OneStep(step));
}

INSTANTIATE_TEST_SUITE_P(Ops, OpRoundTripTest, testing::Range(0, kOpCount),
                         OpName);

class ActionRoundTripTest : public OpRoundTripTest {};
TEST_P(ActionRoundTripTest, AsAnInterleaving) {
  const Step full = FullStep(op());
  During during;
  during.point = Point::kMlockPageMarked;
  during.op = op();
  during.addr = full.addr;
  during.slot = full.slot;
  during.value = static_cast<uint16_t>(full.value);
  during.nth = 65535;
  during.task = 6;
  Step step;
  step.op = Op::kMunlockall;
  step.Add(during);
  during.point = Point::kStackChargeRead;
  step.Add(during);
  ExpectRoundTrips(OneStep(step));
}

INSTANTIATE_TEST_SUITE_P(Actions, ActionRoundTripTest,
                         testing::Range(static_cast<int>(Op::kTouch), kOpCount),
                         OpName);

TEST(RoundTripTest, EveryKindOfAddress) {
  for (const uint64_t value :
       {uint64_t{0}, uint64_t{1}, kPageSize, (uint64_t{1} << 63) - 1,
        uint64_t{1} << 63, ~uint64_t{0}}) {
    for (const Address::Base base :
         {Address::Base::kArena, Address::Base::kHeap, Address::Base::kRaw}) {
      Step step = FullStep(Op::kMremap);
      step.addr = {value, base};
      step.new_addr = step.addr;
      ExpectRoundTrips(OneStep(step));
    }
  }
}

TEST(RoundTripTest, EveryPoint) {
  for (const PointInfo& info : AllPoints()) {
    if (info.point == Point::kNone) continue;
    During during;
    during.point = info.point;
    during.op = Op::kDrain;
    Step step;
    step.Add(during);
    ExpectRoundTrips(OneStep(step));
  }
}

TEST(RoundTripTest, EveryNumberOfTheConfiguration) {
  Program program;
  Config& config = program.config;
  config.SetProfile(**FindProfile("v3.12"));
  config.defects.Remove(Defect::kRmapTrylock);
  config.arena_pages = uint64_t{1} << 32;
  config.memory_pages = 77;
  config.image_pages = 5;
  config.image_lockable_pages = 6;
  config.memlock_limit = kRlimInfinity;
  config.file_size = 0;
  config.zones = 3;
  config.cpus = 4;
  config.hpage_pmd_order = 9;
  config.max_map_count = 1;
  config.nr_hugepages = 3;
  config.stack_guard_gap = 0;
  config.uid = 3;
  config.cap_ipc_lock = true;
  config.protection_keys = true;
  config.transparent_hugepage = TransparentHugepage::kAlways;
  ExpectRoundTrips(program);
}

// ---- Any message ----

class RandomMessages {
 public:
  explicit RandomMessages(uint64_t seed) : engine_(seed) {}

  proto::Program Next() {
    proto::Program message;
    Fill(&message);
    return message;
  }

 private:
  uint64_t Below(uint64_t n) { return engine_() % n; }

  // Small, at a boundary, or anything.
  uint64_t Number() {
    switch (Below(4)) {
      case 0:
        return Below(8);
      case 1:
        return uint64_t{1} << Below(64);
      case 2:
        return (uint64_t{1} << Below(64)) - 1;
      default:
        return engine_();
    }
  }

  std::string String(const FieldDescriptor& field) {
    const auto pick = [this](std::initializer_list<const char*> list) {
      return std::string(list.begin()[Below(list.size())]);
    };
    if (field.name() == "kernel") return pick({"v3.12", "v4.9", "v6.18"});
    if (field.name() == "defects") return pick({"", "none", "-D21", "+D1,-D3"});
    if (field.name() == "outcome") return pick({"", "OK", "ENOMEM", "SIGBUS"});
    if (field.name() == "point") {
      const auto points = AllPoints();
      return Below(9) == 0 ? "no:such"
                           : std::string(points[Below(points.size())].name);
    }
    return pick({"", "nr_mlock", "two\nlines \"quoted\" \\", "Größe\x01"});
  }

  void Set(Message* message, const FieldDescriptor* field) {
    const Reflection& reflection = *message->GetReflection();
    const bool repeated = field->is_repeated();
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Fill(repeated ? reflection.AddMessage(message, field)
                             : reflection.MutableMessage(message, field));
      case FieldDescriptor::CPPTYPE_STRING:
        return repeated ? reflection.AddString(message, field, String(*field))
                        : reflection.SetString(message, field, String(*field));
      case FieldDescriptor::CPPTYPE_ENUM:
        return repeated ? reflection.AddEnumValue(message, field,
                                                  static_cast<int>(Number()))
                        : reflection.SetEnumValue(message, field,
                                                  static_cast<int>(Number()));
      case FieldDescriptor::CPPTYPE_BOOL:
        return reflection.SetBool(message, field, Below(2) != 0);
      case FieldDescriptor::CPPTYPE_UINT32:
        return reflection.SetUInt32(message, field,
                                    static_cast<uint32_t>(Number()));
      case FieldDescriptor::CPPTYPE_UINT64:
        return reflection.SetUInt64(message, field, Number());
      case FieldDescriptor::CPPTYPE_INT64:
        return reflection.SetInt64(message, field,
                                   static_cast<int64_t>(Number()));
      default:
        FAIL() << "a type the schema did not have: " << field->full_name();
    }
  }

  void Fill(Message* message) {
    const auto* type = message->GetDescriptor();
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor* field = type->field(i);
      if (field->real_containing_oneof() != nullptr) continue;
      for (uint64_t n = Below(field->is_repeated() ? 4 : 2); n > 0; --n) {
        Set(message, field);
      }
    }
    for (int i = 0; i < type->real_oneof_decl_count(); ++i) {
      const auto* oneof = type->oneof_decl(i);
      if (Below(9) == 0) continue;
      Set(message, oneof->field(static_cast<int>(
                       Below(static_cast<uint64_t>(oneof->field_count())))));
    }
  }

  std::mt19937_64 engine_;
};

TEST(RoundTripTest, AnyMessageIsAProgramThatComesBackEqual) {
  RandomMessages messages(1);
  size_t steps = 0;
  size_t interleavings = 0;
  size_t expectations = 0;
  for (int i = 0; i < 4000; ++i) {
    const proto::Program message = messages.Next();
    const auto program = ProgramFromProto(message);
    // The lists of defects do not fit every profile.
    if (!program.ok()) {
      ASSERT_NE(program.status().message().find("config.defects"),
                std::string::npos)
          << program.status();
      continue;
    }
    ASSERT_NO_FATAL_FAILURE(ExpectRoundTrips(*program));
    steps += program->steps.size();
    expectations += program->expectations.size();
    for (const Step& step : program->steps) interleavings += step.during_count;
  }
  EXPECT_GT(steps, 3000u);
  EXPECT_GT(interleavings, 1000u);
  EXPECT_GT(expectations, 3000u);
}

// The numbers of a loaded program are all within the bounds that engines rely
// on.
TEST(RoundTripTest, AnyMessageIsAProgramWithinBounds) {
  RandomMessages messages(2);
  for (int i = 0; i < 2000; ++i) {
    const auto program = ProgramFromProto(messages.Next());
    if (!program.ok()) continue;
    const Config& config = program->config;
    ASSERT_TRUE(config.arena_pages >= 1 && config.arena_pages <= uint64_t{1}
                                                                     << 32);
    ASSERT_TRUE(config.memory_pages >= 1 && config.memory_pages <= uint64_t{1}
                                                                       << 24);
    ASSERT_LE(config.image_pages, uint64_t{1} << 32);
    ASSERT_LE(config.image_lockable_pages, uint64_t{1} << 20);
    ASSERT_TRUE(config.zones >= 1 && config.zones <= kMaxZones);
    ASSERT_TRUE(config.cpus >= 1 && config.cpus <= kMaxCpus);
    ASSERT_TRUE(config.hpage_pmd_order >= 1 && config.hpage_pmd_order <= 9);
    ASSERT_GE(config.max_map_count, 1u);
    ASSERT_LE(config.nr_hugepages, 1u << 16);
    ASSERT_LT(config.uid, kUsers);
    ASSERT_LE(config.transparent_hugepage, TransparentHugepage::kAlways);
    for (const Step& step : program->steps) {
      ASSERT_LT(step.task, kTaskSlots);
      ASSERT_LT(step.slot, 8);
      ASSERT_LT(static_cast<int>(step.op), kOpCount);
      for (const During& during : step.interleavings()) {
        ASSERT_TRUE(IsEnvironment(during.op) || during.op == Op::kTouch);
        ASSERT_NE(during.point, Point::kNone);
        ASSERT_LT(during.task, kTaskSlots);
        ASSERT_LT(during.slot, 4);
      }
    }
  }
}

}  // namespace
}  // namespace lockstep
