// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <string>

#include "engine/program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

Program Parse(const std::string& text) {
  absl::StatusOr<Program> program = ParseProgramText(text, "test.txtpb");
  EXPECT_TRUE(program.ok()) << program.status();
  return program.ok() ? *program : Program();
}

Step ParseStep(const std::string& step) {
  const Program program = Parse("steps { " + step + " }");
  return program.steps.empty() ? Step() : program.steps[0];
}

std::string ErrorOf(const std::string& text) {
  absl::StatusOr<Program> program = ParseProgramText(text, "test.txtpb");
  EXPECT_TRUE(absl::IsInvalidArgument(program.status())) << program.status();
  return std::string(program.status().message());
}

// ---- What is read ----

TEST(ProgramTextTest, NoTextIsTheDefaultProgram) {
  EXPECT_EQ(Parse(""), Program());
  EXPECT_EQ(Parse("# nothing but a comment\n"), Program());
}

TEST(ProgramTextTest, ZeroInTheConfigurationIsTheDefault) {
  EXPECT_EQ(Parse("config { arena_pages: 0 memory_pages: 0 zones: 0 cpus: 0 "
                  "hpage_pmd_order: 0 max_map_count: 0 kernel: \"\" }"),
            Program());
}

TEST(ProgramTextTest, ZeroInAnOptionalNumberIsZero) {
  const Config config =
      Parse("config { memlock_limit: 0 file_size: 0 stack_guard_gap: 0 }")
          .config;
  EXPECT_EQ(config.memlock_limit, 0u);
  EXPECT_EQ(config.file_size, 0u);
  EXPECT_EQ(config.stack_guard_gap, 0u);
}

TEST(ProgramTextTest, NumbersAreBroughtIntoTheirRanges) {
  const Config config =
      Parse(
          "config { arena_pages: 18446744073709551615 "
          "memory_pages: 18446744073709551615 zones: 4294967295 "
          "cpus: 9 hpage_pmd_order: 10 image_pages: 18446744073709551615 "
          "image_lockable_pages: 18446744073709551615 "
          "nr_hugepages: 4294967295 uid: 6 transparent_hugepage: 77 }")
          .config;
  EXPECT_EQ(config.arena_pages, uint64_t{1} << 32);
  EXPECT_EQ(config.memory_pages, uint64_t{1} << 24);
  EXPECT_EQ(config.image_pages, uint64_t{1} << 32);
  EXPECT_EQ(config.image_lockable_pages, uint64_t{1} << 20);
  EXPECT_EQ(config.zones, 4u);
  EXPECT_EQ(config.cpus, 4u);
  EXPECT_EQ(config.hpage_pmd_order, 9u);
  EXPECT_EQ(config.nr_hugepages, 1u << 16);
  EXPECT_EQ(config.uid, 2u);
  EXPECT_EQ(config.transparent_hugepage, TransparentHugepage::kAlways);
  EXPECT_EQ(
      Parse("config { transparent_hugepage: -1 }").config.transparent_hugepage,
      TransparentHugepage::kNever);
}

TEST(ProgramTextTest, AKernelBringsItsDefectsAndTheListChangesThem) {
  const Config config =
      Parse("config { kernel: \"v3.12\" defects: \"none,+D3\" }").config;
  EXPECT_EQ(config.profile->name, "v3.12");
  EXPECT_EQ(config.defects, DefectSet({Defect::kOverlapDoubleCount}));
  EXPECT_EQ(Parse("config { kernel: \"v3.12\" }").config.defects,
            config.profile->shipped);
}

TEST(ProgramTextTest, SlotsAreTakenModuloTheirNumber) {
  EXPECT_EQ(ParseStep("task: 11 drain {}").task, 3);
  EXPECT_EQ(ParseStep("fork { child: 4294967295 }").slot, 7);
  EXPECT_EQ(ParseStep("ftruncate { fd: 6 }").slot, 2);
  EXPECT_EQ(ParseStep("memfd_secret { fd: 7 }").slot, 3);
  EXPECT_EQ(ParseStep("mmap { fd: 5 }").slot, 1);
  EXPECT_EQ(ParseStep("shmget { shm: 5 }").slot, 1);
  EXPECT_EQ(ParseStep("setuid { uid: 5 }").slot, 1);
}

TEST(ProgramTextTest, CpusAndZonesAreTakenModuloThoseOfTheMachine) {
  const Program program = Parse(
      "steps { set_cpu { cpu: 4 } } steps { set_allocation_zone { zone: "
      "4 } during { point: \"mlock:marked\" set_cpu { cpu: 5 } } } "
      "config { cpus: 3 zones: 2 }");
  EXPECT_EQ(program.steps[0].slot, 1);
  EXPECT_EQ(program.steps[1].slot, 0);
  EXPECT_EQ(program.steps[1].during[0].slot, 2);
}

TEST(ProgramTextTest, AddressesWrapAround) {
  EXPECT_EQ(ParseStep("brk { addr { heap_page: 2 offset: 1 } }").addr,
            Address::Heap({2}, 1));
  EXPECT_EQ(ParseStep("brk { addr { page: 4503599627370496 offset: 5 } }").addr,
            Address::Arena({0}, 5));
  EXPECT_EQ(
      ParseStep("brk { addr { raw: 18446744073709551615 offset: 3 } }").addr,
      Address::Raw(2));
  EXPECT_EQ(ParseStep("brk { addr { offset: 7 } }").addr,
            Address::Arena({0}, 7));
}

TEST(ProgramTextTest, FlagListsAreOredTogether) {
  const Step step = ParseStep(
      "mmap { prot: [READ, WRITE, READ] flags: [FIXED, 3, -2147483648] }");
  EXPECT_EQ(step.prot, 3u);
  EXPECT_EQ(step.flags, 0x80000013u);
}

TEST(ProgramTextTest, AnUnknownMmapSourceIsAFile) {
  EXPECT_EQ(ParseStep("mmap { source: SECRET }").value, 3u);
  EXPECT_EQ(ParseStep("mmap { source: 4 }").value, 0u);
  EXPECT_EQ(ParseStep("mmap { source: -1 }").value, 0u);
}

TEST(ProgramTextTest, ReclaimTellsEveryPageFromPageZero) {
  EXPECT_EQ(ParseStep("reclaim {}").value, 0u);
  EXPECT_EQ(ParseStep("reclaim { page {} }").value, 1u);
}

TEST(ProgramTextTest, AStepWithoutACallIsNone) {
  EXPECT_EQ(ParseStep(""), Step());
}

TEST(ProgramTextTest, InterleavingsThatCannotHappenAreDropped) {
  EXPECT_EQ(ParseStep("during { point: \"no:such\" drain {} }").during_count,
            0);
  EXPECT_EQ(ParseStep("during { point: \"mlock:marked\" }").during_count, 0);
  EXPECT_EQ(ParseStep("during { point: \"none\" drain {} }").during_count, 0);
}

TEST(ProgramTextTest, InterleavingsAfterTheSecondAreNotReached) {
  const std::string drain = "during { point: \"mlock:marked\" drain {} } ";
  const std::string never = "during { point: \"no:such\" drain {} } ";
  EXPECT_EQ(ParseStep(drain + drain + drain).during_count, 2);
  EXPECT_EQ(ParseStep(never + drain + drain).during_count, 1);
}

TEST(ProgramTextTest, LargeNumbersOfAnInterleavingAreSaturated) {
  const Step step = ParseStep(
      "during { point: \"mlock:marked\" nth: 70000 task: 9 "
      "fail_allocation { nth: 70000 } }");
  ASSERT_EQ(step.during_count, 1);
  EXPECT_EQ(step.during[0].nth, 65535);
  EXPECT_EQ(step.during[0].value, 65535);
  EXPECT_EQ(step.during[0].task, 1);
}

TEST(ProgramTextTest, ExpectationsKnowTheirStep) {
  const Program program = Parse(R"(
    steps { drain {} }
    steps {
      munlockall {}
      expect { outcome: "OK" locked_vm: 0 map_count: 4 }
      expect {
        kernel: ["v4.9", "v3.12"]
        outcome: "ENOMEM"
        pages { page: 3 locked: false resident: true }
        pages { count: 7 mapped: true onfault: false mlocked: true }
        counters { name: "nr_mlock" value: -1 }
      }
    })");
  ASSERT_EQ(program.expectations.size(), 2u);
  Expectation first;
  first.step = 1;
  first.outcome = "OK";
  first.locked_vm = 0;
  first.map_count = 4;
  EXPECT_EQ(program.expectations[0], first);
  Expectation second;
  second.step = 1;
  second.kernels = {"v4.9", "v3.12"};
  second.outcome = "ENOMEM";
  second.pages.resize(2);
  second.pages[0].page = {3};
  second.pages[0].locked = false;
  second.pages[0].resident = true;
  second.pages[1].count = {7};
  second.pages[1].mapped = true;
  second.pages[1].onfault = false;
  second.pages[1].mlocked = true;
  second.counters = {{"nr_mlock", -1}};
  EXPECT_EQ(program.expectations[1], second);
}

// ---- What is written ----

TEST(FormatProgramTextTest, SpellsOutTheKernelAndOnlyWhatDiffersOtherwise) {
  EXPECT_EQ(FormatProgramText(Program()),
            "# proto-file: proto/lockstep/program.proto\n"
            "# proto-message: lockstep.proto.Program\n"
            "config { kernel: \"v4.9\" }\n");
}

TEST(FormatProgramTextTest, PutsAStepOnALineWithFlagsByName) {
  const Program program = Parse(R"(
    description: "Größe\nof a \"lock\""
    config { kernel: "v3.12" defects: "-D1" cap_ipc_lock: true uid: 1 cpus: 3 }
    steps { mmap { addr { page: 0 } length: 8192 prot: 3 flags: 2098 } }
    steps { task: 1 shmctl { shm: 2 command: LOCK } }
    steps { reclaim { page { page: 0 } } }
    steps { reclaim {} }
    steps {}
    steps { brk { addr { heap_page: 3 offset: 16 } } }
    steps { shmdt { addr { offset: 18446744073709551615 } } })");
  EXPECT_THAT(FormatProgramText(program),
              HasSubstr("description: \"Größe\\nof a \\\"lock\\\"\"\n"
                        "config { kernel: \"v3.12\" defects: "
                        "\"-pagevec-isolation-leak\" cpus: 3 cap_ipc_lock: "
                        "true uid: 1 }\n"
                        "steps { mmap { length: 8192 prot: [READ, WRITE] "
                        "flags: [PRIVATE, FIXED, ANONYMOUS, 2048] } }\n"
                        "steps { task: 1 shmctl { shm: 2 command: LOCK } }\n"
                        "steps { reclaim { page { page: 0 } } }\n"
                        "steps { reclaim { } }\n"
                        "steps { }\n"
                        "steps { brk { addr { heap_page: 3 offset: 16 } } }\n"
                        "steps { shmdt { addr { page: 0 offset: "
                        "18446744073709551615 } } }\n"));
}

TEST(FormatProgramTextTest, BreaksLongStepsIntoLines) {
  const Program program = Parse(
      "steps { mlock { length: 4096 } expect { outcome: \"ENOMEM\" kernel: "
      "\"v3.12\" locked_vm: 1234567 counters { name: \"nr_mlock\" value: 1 } "
      "} }");
  const std::string text = FormatProgramText(program);
  EXPECT_THAT(text, HasSubstr("steps {\n"
                              "  expect {\n"
                              "    kernel: \"v3.12\"\n"
                              "    outcome: \"ENOMEM\"\n"));
  EXPECT_EQ(Parse(text), program);
}

// ---- What is refused, and where ----

struct BadText {
  const char* text;
  const char* error;
};
void PrintTo(const BadText& bad, std::ostream* os) { *os << bad.text; }
class BadTextTest : public testing::TestWithParam<BadText> {};
TEST_P(BadTextTest, IsOneLineWithItsPosition) {
  const std::string error = ErrorOf(GetParam().text);
  EXPECT_EQ(error, std::string("test.txtpb:") + GetParam().error);
  EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 0);
}
INSTANTIATE_TEST_SUITE_P(
    Syntax, BadTextTest,
    testing::Values(
        BadText{"steps { mlock { length: 4096 }\n",
                "2:1: Expected identifier, got: the end of the text"},
        BadText{"steps {\n  mlok {} }",
                "2:8: Message type \"lockstep.proto.Step\" has no field named "
                "\"mlok\". Expected one of: task, during, expect, mmap, "
                "munmap, mprotect, mremap, brk, madvise, msync, mincore, "
                "mlock, mlock2, munlock, mlockall, munlockall, fork, exec, "
                "exit, setrlimit, setcap, setuid, shmget, shmat, shmdt, "
                "shmctl, memfd_secret, ftruncate, touch, set_cpu, drain, "
                "reclaim, isolate, putback, migrate, collapse, split, "
                "fail_allocation, fatal_signal, hold_mmap_lock, "
                "set_allocation_zone."},
        BadText{"steps { munlockall { flags: 1 } }",
                "1:27: Message type \"lockstep.proto.Munlockall\" has no field "
                "named \"flags\". Expected \"}\"."},
        BadText{"}", "1:1: Expected identifier, got: }"},
        BadText{"steps: 3", "1:8: Expected \"{\", found \"3\"."},
        BadText{"steps { task: -1 drain {} }",
                "1:15: Expected integer, got: -"},
        BadText{"steps { task: 4294967296 }",
                "1:15: Integer out of range (4294967296)"},
        BadText{"steps { task: x }", "1:15: Expected integer, got: x"},
        BadText{"steps { setcap { ipc_lock: perhaps } }",
                "1:36: Invalid value for boolean field \"ipc_lock\". Value: "
                "\"perhaps\"."},
        BadText{"description: \"abc", "1:18: Unexpected end of string."},
        BadText{"steps { mlock {} munlock {} }",
                "1:26: Field \"munlock\" is specified along with field "
                "\"mlock\", another member of oneof \"call\"."},
        BadText{"steps { mmap { flags: HUGE } }",
                "1:28: Unknown enumeration value of \"HUGE\" for field "
                "\"flags\"."}));
INSTANTIATE_TEST_SUITE_P(
    Names, BadTextTest,
    testing::Values(
        BadText{"config {\n  kernel: \"v2.6\"\n}",
                "2:3: config.kernel: unknown kernel \"v2.6\", expected one "
                "of: v3.12, v4.9, v6.1, v6.12, v6.18"},
        BadText{"config { defects: \"overlap\" }",
                "1:10: config.defects: defects: expected +name, -name or a "
                "leading none, found \"overlap\""},
        BadText{"config { kernel: \"v4.9\" defects: \"+D2\" }",
                "1:25: config.defects: defect \"D2\" does not exist in the "
                "mechanism of v4.9, expected one of: pagevec-isolation-leak, "
                "overlap-double-count, onfault-double-charge, "
                "overlap-int-overflow, mcl-onfault-alone, unsigned-nr-delta, "
                "racy-stack-charge, mprotect-no-cow, migrate-drops-mlocked, "
                "rmap-trylock, thp-single-event, thp-cow-stale-mlocked"},
        BadText{"steps {}\nsteps {\n  drain {}\n  expect { outcome: "
                "\"EFOO\\n\" }\n}",
                "4:12: steps[1].expect[0].outcome: unknown outcome "
                "\"EFOO\\n\", expected OK, an errno's name such as ENOMEM, "
                "SIGSEGV, SIGBUS, SKIPPED or UNSUPPORTED"},
        BadText{"steps { expect {} expect { kernel: [\"v4.9\", \"v5\"] } }",
                "1:19: steps[0].expect[1].kernel[1]: unknown kernel \"v5\", "
                "expected one of: v3.12, v4.9, v6.1, v6.12, v6.18"},
        BadText{"description: \"\\377\"", "1:1: description: not UTF-8"},
        BadText{"steps { expect { counters { name: \"\\xff\" } } }",
                "1:18: steps[0].expect[0].counters[0]: the name is not "
                "UTF-8"}));
INSTANTIATE_TEST_SUITE_P(
    Bytes, BadTextTest,
    testing::Values(
        BadText{"# one\n# \xff", "2:3: expected UTF-8 text, found byte 0xff"},
        BadText{"\xc0\x80", "1:1: expected UTF-8 text, found byte 0xc0"},
        BadText{"ab\xed\xa0\x80", "1:3: expected UTF-8 text, found byte 0xed"},
        BadText{"\xe2\x82", "1:1: expected UTF-8 text, found byte 0xe2"}));

}  // namespace
}  // namespace lockstep
