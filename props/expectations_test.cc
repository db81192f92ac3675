// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Each kind of expectation, in the words of the file: one that holds, and one
// that does not and says why.

#include <cctype>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/program.h"
#include "engine/reference/reference_engine.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "props/runner.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

// Of five pages, 0 and 1 are locked, 2 is locked on fault, 3 is only mapped
// and 4 is not.
constexpr absl::string_view kProgram = R"pb(
  config { kernel: "v4.9" defects: "none" }
  steps {
    mmap {
      addr { page: 0 }
      length: 16384
      prot: [ READ, WRITE ]
      flags: [ PRIVATE, FIXED, ANONYMOUS ]
    }
  }
  steps {
    mlock {
      addr { page: 0 }
      length: 8192
    }
  }
  steps { mlock2 {
    addr { page: 2 }
    length: 4096
    flags: ONFAULT
  }
)pb";

// Runs the program with this in the Expect of its last step, and checks it
// after every step.
std::optional<Violation> Check(absl::string_view expect) {
  absl::StatusOr<Program> program = ParseProgramText(
      absl::StrCat(kProgram, "expect { ", expect, " } }"), "test");
  EXPECT_TRUE(program.ok()) << program.status();
  if (!program.ok()) return std::nullopt;
  EXPECT_EQ(program->expectations.size(), 1u);
  reference::ReferenceEngine engine;
  EXPECT_TRUE(engine.Reset(program->config).ok());
  for (size_t i = 0; i < program->steps.size(); ++i) {
    Outcome outcome = engine.Run(program->steps[i]);
    std::optional<Violation> violation =
        CheckExpectations(*program, i, outcome, engine);
    if (violation.has_value()) return violation;
  }
  return std::nullopt;
}

struct Case {
  absl::string_view kind;
  absl::string_view holds;
  absl::string_view fails;
  absl::string_view expected;
  absl::string_view seen;
};
std::ostream& operator<<(std::ostream& os, const Case& row) {
  return os << row.kind;
}

class ExpectationTest : public testing::TestWithParam<Case> {};

TEST_P(ExpectationTest, HoldsWhereItIsSo) {
  std::optional<Violation> violation = Check(GetParam().holds);
  EXPECT_EQ(violation, std::nullopt)
      << violation->expected << ", but " << violation->seen;
}

TEST_P(ExpectationTest, SaysWhatWasExpectedAndSeenWhereItIsNot) {
  std::optional<Violation> violation = Check(GetParam().fails);
  ASSERT_TRUE(violation.has_value());
  EXPECT_EQ(violation->property, "expectation");
  EXPECT_EQ(violation->step, 2u);
  EXPECT_EQ(violation->expected, GetParam().expected);
  EXPECT_EQ(violation->seen, GetParam().seen);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, ExpectationTest,
    testing::ValuesIn(std::vector<Case>{
        {"outcome", R"(outcome: "OK")", R"(outcome: "ENOMEM")", "ENOMEM", "OK"},
        {"locked_vm", "locked_vm: 3", "locked_vm: 0", "locked_vm 0", "3"},
        {"map_count", "map_count: 3", "map_count: 1", "map_count 1", "3"},
        {"mapped", "pages { page: 3 mapped: true }",
         "pages { page: 3 mapped: false }", "page 3 mapped: no", "yes"},
        {"unmapped", "pages { page: 4 mapped: false }",
         "pages { page: 4 mapped: true }", "page 4 mapped: yes", "no"},
        {"locked", "pages { page: 2 locked: true }",
         "pages { page: 2 locked: false }", "page 2 locked: no", "yes"},
        {"not_locked", "pages { page: 3 locked: false }",
         "pages { page: 3 locked: true }", "page 3 locked: yes", "no"},
        {"onfault", "pages { page: 2 onfault: true }",
         "pages { page: 2 onfault: false }", "page 2 onfault: no", "yes"},
        {"not_onfault", "pages { page: 1 onfault: false }",
         "pages { page: 1 onfault: true }", "page 1 onfault: yes", "no"},
        {"resident", "pages { page: 1 resident: true }",
         "pages { page: 1 resident: false }", "page 1 resident: no", "yes"},
        {"not_resident", "pages { page: 2 resident: false }",
         "pages { page: 2 resident: true }", "page 2 resident: yes", "no"},
        {"mlocked", "pages { page: 1 mlocked: true }",
         "pages { page: 1 mlocked: false }", "page 1 mlocked: no", "yes"},
        {"not_mlocked", "pages { page: 2 mlocked: false }",
         "pages { page: 2 mlocked: true }", "page 2 mlocked: yes", "no"},
        {"every_page_of_the_range", "pages { page: 0 count: 3 locked: true }",
         "pages { page: 0 count: 4 locked: true }", "page 3 locked: yes", "no"},
        {"every_range",
         "pages { page: 0 locked: true } pages { page: 3 locked: false }",
         "pages { page: 0 locked: true } pages { page: 1 locked: false }",
         "page 1 locked: no", "yes"},
        {"nr_mlock", R"(counters { name: "nr_mlock" value: 2 })",
         R"(counters { name: "nr_mlock" value: 3 })", "nr_mlock 3", "2"},
        {"event", R"(counters { name: "unevictable_pgs_mlocked" value: 2 })",
         R"(counters { name: "unevictable_pgs_mlocked" value: -1 })",
         "unevictable_pgs_mlocked -1", "2"},
        {"every_counter",
         R"(counters { name: "nr_mlock" value: 2 }
            counters { name: "unevictable_pgs_munlocked" value: 0 })",
         R"(counters { name: "nr_mlock" value: 2 }
            counters { name: "unevictable_pgs_munlocked" value: 1 })",
         "unevictable_pgs_munlocked 1", "0"},
        {"of_this_kernel", R"(kernel: "v4.9" locked_vm: 3)",
         R"(kernel: "v4.9" locked_vm: 0)", "locked_vm 0", "3"},
        {"of_one_of_the_kernels",
         R"(kernel: "v3.12" kernel: "v4.9" locked_vm: 3)",
         R"(kernel: "v3.12" kernel: "v4.9" locked_vm: 0)", "locked_vm 0", "3"},
        {"another_kernels_does_not_count", R"(kernel: "v3.12" locked_vm: 0)",
         R"(locked_vm: 0)", "locked_vm 0", "3"},
        {"the_outcome_comes_first", R"(outcome: "OK" locked_vm: 3)",
         R"(locked_vm: 0 outcome: "EPERM")", "EPERM", "OK"},
    }),
    [](const auto& info) { return std::string(info.param.kind); });

TEST(CheckExpectationsTest, NamesACounterThatIsNotKnown) {
  std::optional<Violation> violation =
      Check(R"(counters { name: "nr_mlocks" value: 0 })");
  ASSERT_TRUE(violation.has_value());
  EXPECT_EQ(violation->expected, "nr_mlocks 0");
  EXPECT_THAT(violation->seen, HasSubstr("unknown counter \"nr_mlocks\""));
}

TEST(CheckExpectationsTest, LooksOnlyAtThoseOfTheStep) {
  Program program;
  program.steps.resize(2);
  Expectation& wanted = program.expectations.emplace_back();
  wanted.step = 1;
  wanted.outcome = "ENOMEM";
  reference::ReferenceEngine engine;
  EXPECT_EQ(CheckExpectations(program, 0, Outcome::Ok(), engine), std::nullopt);
  std::optional<Violation> violation =
      CheckExpectations(program, 1, Outcome::Ok(), engine);
  ASSERT_TRUE(violation.has_value());
  EXPECT_EQ(violation->step, 1u);
}

TEST(CheckExpectationsTest, LooksAtTheTaskOfTheStep) {
  absl::StatusOr<Program> program = ParseProgramText(
      R"pb(
        steps {
          mmap {
            addr { page: 0 }
            length: 4096
            prot: [ READ, WRITE ]
            flags: [ PRIVATE, FIXED, ANONYMOUS, LOCKED ]
          }
        }
        steps {
          fork { child: 1 }
          expect {
            locked_vm: 1
            pages { page: 0 locked: true }
          }
        }
        steps {
          task: 9  # modulo 8
          touch { addr { page: 0 } }
          expect {
            locked_vm: 0
            pages { page: 0 locked: false resident: true }
          }
        })pb",
      "test");
  ASSERT_TRUE(program.ok()) << program.status();
  reference::ReferenceEngine engine;
  ASSERT_TRUE(engine.Reset(program->config).ok());
  for (size_t i = 0; i < program->steps.size(); ++i) {
    Outcome outcome = engine.Run(program->steps[i]);
    EXPECT_EQ(CheckExpectations(*program, i, outcome, engine), std::nullopt)
        << "step " << i;
  }
}

TEST(CheckExpectationsTest, ShowsTheValueOfACallThatShouldHaveFailed) {
  Program program;
  program.steps.resize(1);
  Expectation& wanted = program.expectations.emplace_back();
  wanted.step = 0;
  wanted.outcome = "ENOMEM";
  reference::ReferenceEngine engine;
  std::optional<Violation> violation = CheckExpectations(
      program, 0, Outcome::Ok(static_cast<int64_t>(kArenaBase)), engine);
  ASSERT_TRUE(violation.has_value());
  EXPECT_EQ(violation->expected, "ENOMEM");
  EXPECT_EQ(violation->seen, "0x200000000000");
}

}  // namespace
}  // namespace lockstep
