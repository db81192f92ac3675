// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/step.h"

#include <set>
#include <string>

#include "engine/step_fields.h"
#include "gtest/gtest.h"
#include "lockstep/program.pb.h"

namespace lockstep {
namespace {

TEST(StepTest, RowsOfOpsAreInOrderWithUniqueNames) {
  ASSERT_EQ(AllOps().size(), static_cast<size_t>(kOpCount));
  std::set<absl::string_view> names;
  for (size_t i = 0; i < AllOps().size(); ++i) {
    const OpInfo& info = AllOps()[i];
    EXPECT_EQ(info.op, static_cast<Op>(i)) << info.name;
    EXPECT_EQ(&InfoOf(info.op), &info);
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
  }
}

TEST(StepTest, RowsOfPointsAreInOrderWithUniqueNames) {
  ASSERT_EQ(AllPoints().size(), static_cast<size_t>(kPointCount));
  std::set<absl::string_view> names;
  for (size_t i = 0; i < AllPoints().size(); ++i) {
    const PointInfo& info = AllPoints()[i];
    EXPECT_EQ(info.point, static_cast<Point>(i)) << info.name;
    EXPECT_EQ(&InfoOf(info.point), &info);
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
    EXPECT_FALSE(info.meaning.empty()) << info.name;
  }
}

TEST(StepTest, PointsAreFoundByName) {
  EXPECT_EQ(PointFromName("munlock_pagevec:isolated"), Point::kMunlockIsolated);
  for (const PointInfo& info : AllPoints()) {
    if (info.point == Point::kNone) continue;
    EXPECT_EQ(PointFromName(info.name), info.point) << info.name;
  }
}

TEST(StepTest, TheNameOfNoPointIsNoPoint) {
  EXPECT_FALSE(PointFromName("none").has_value());
  EXPECT_FALSE(PointFromName("").has_value());
  EXPECT_FALSE(PointFromName("munlock_pagevec").has_value());
}

TEST(StepTest, EveryCallOfTheSchemaIsAnOp) {
  const auto* call = proto::Step::descriptor()->FindOneofByName("call");
  EXPECT_EQ(call->field_count(), kOpCount - 1);
  for (int i = 0; i < call->field_count(); ++i) {
    const Op op = OpOfCall(call->field(i)->number());
    EXPECT_EQ(InfoOf(op).name, call->field(i)->name());
  }
}

TEST(StepTest, ActionsAreTheEnvironmentOpsAndTouch) {
  for (const OpInfo& info : AllOps()) {
    EXPECT_EQ(MessageOf(info.op).action != nullptr,
              IsEnvironment(info.op) || info.op == Op::kTouch)
        << info.name;
  }
  const auto* action = proto::During::descriptor()->FindOneofByName("action");
  for (int i = 0; i < action->field_count(); ++i) {
    const Op op = OpOfAction(action->field(i)->number());
    EXPECT_EQ(InfoOf(op).name, action->field(i)->name());
  }
}

TEST(StepTest, FieldsOfAnOpAreThoseOfItsMessage) {
  for (const OpInfo& info : AllOps()) {
    int fields = 0;
    for (const StepField& field : MessageOf(info.op).fields) {
      // Two fields of a message in one place would overwrite each other.
      EXPECT_EQ(fields & static_cast<int>(field.target), 0)
          << field.field->full_name();
      fields |= static_cast<int>(field.target);
    }
    // Whether reclaim's page is given at all is its value.
    if (info.op == Op::kReclaim) fields |= static_cast<int>(Field::kValue);
    EXPECT_EQ(fields, info.fields) << info.name;
  }
}

}  // namespace
}  // namespace lockstep
