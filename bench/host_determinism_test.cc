// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The same programs give the same bytes, whichever process runs them.

#include <string>

#include "absl/status/statusor.h"
#include "bench/host_results.h"
#include "engine/linux/wire.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

class HostDeterminismTest : public ::testing::TestWithParam<wire::Mode> {};

TEST_P(HostDeterminismTest, FourRunsGiveTheSameBytes) {
  const std::vector<Program> programs = RandomPrograms(300, 7);
  std::string first;
  for (int run = 0; run < 4; ++run) {
    absl::StatusOr<std::string> bytes =
        ResultBytes(programs, wire::Look::kPages, GetParam());
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    if (run == 0) first = *bytes;
    EXPECT_EQ(FirstDifference(*bytes, first), "") << "run " << run + 1;
  }
  EXPECT_FALSE(first.empty());
}

INSTANTIATE_TEST_SUITE_P(Modes, HostDeterminismTest,
                         ::testing::Values(wire::Mode::kChildPerBatch,
                                           wire::Mode::kProcessPerProgram),
                         [](const ::testing::TestParamInfo<wire::Mode>& info) {
                           return info.param == wire::Mode::kChildPerBatch
                                      ? "ChildPerBatch"
                                      : "ProcessPerProgram";
                         });

TEST(HostDeterminismTest, BothModesGiveTheSameBytes) {
  const std::vector<Program> programs = RandomPrograms(300, 8);
  absl::StatusOr<std::string> batch =
      ResultBytes(programs, wire::Look::kPages, wire::Mode::kChildPerBatch);
  absl::StatusOr<std::string> alone =
      ResultBytes(programs, wire::Look::kPages, wire::Mode::kProcessPerProgram);
  ASSERT_TRUE(batch.ok()) << batch.status();
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_EQ(FirstDifference(*batch, *alone), "");
}

}  // namespace
}  // namespace lockstep
