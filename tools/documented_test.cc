// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/documented.h"

#include <cerrno>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/reference/reference_engine.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

DocumentedProgram DocumentedOf(const char* text) {
  absl::StatusOr<Program> program = ParseProgramText(text, "program");
  EXPECT_TRUE(program.ok()) << program.status();
  reference::ReferenceEngine engine;
  absl::StatusOr<DocumentedProgram> documented = Document(*program, &engine);
  EXPECT_TRUE(documented.ok()) << documented.status();
  return *std::move(documented);
}

Vpn ArenaPage(uint64_t page) { return PageOf(kArenaBase) + Pages{page}; }

TEST(Document, IgnoresTheDefectsOfTheProgram) {
  // v4.9 takes MCL_ONFAULT alone; the manual page says EINVAL.
  const DocumentedProgram documented =
      DocumentedOf("steps { mlockall { flags: ONFAULT } }");
  EXPECT_THAT(documented.steps[0].outcomes,
              ElementsAre(Outcome::Errno(EINVAL)));
}

TEST(Document, SaysWhatIsResidentAndWhatIsNot) {
  const DocumentedProgram documented = DocumentedOf(R"(
    steps { mmap { addr { page: 0 } length: 16384 prot: READ prot: WRITE
                   flags: PRIVATE flags: ANONYMOUS flags: FIXED } }
    steps { mlock { addr { page: 0 } length: 8192 } }
    steps { mlock2 { addr { page: 2 } length: 8192 flags: ONFAULT } }
    steps { touch { addr { page: 3 } write: true } })");
  EXPECT_EQ(documented.steps[1].locked_vm, Pages{2});
  EXPECT_THAT(documented.steps[1].resident,
              ElementsAre(PageSpan{ArenaPage(0), ArenaPage(2)}));
  EXPECT_EQ(documented.steps[2].locked_vm, Pages{4});
  EXPECT_THAT(documented.steps[2].absent,
              ElementsAre(PageSpan{ArenaPage(2), ArenaPage(4)}));
  EXPECT_THAT(documented.steps[3].resident,
              ElementsAre(PageSpan{ArenaPage(0), ArenaPage(2)},
                          PageSpan{ArenaPage(3), ArenaPage(4)}));
  EXPECT_THAT(documented.steps[3].absent,
              ElementsAre(PageSpan{ArenaPage(2), ArenaPage(3)}));
  EXPECT_THAT(documented.obstacles, IsEmpty());
}

TEST(Document, AllowsBothOutcomesWhereKernelsDiffer) {
  const DocumentedProgram documented = DocumentedOf(R"(
    steps { mmap { addr { page: 0 } length: 4096
                   flags: PRIVATE flags: ANONYMOUS flags: FIXED } }
    steps { mlock2 { addr { page: 0 } length: 4096 flags: ONFAULT } })");
  EXPECT_THAT(documented.steps[1].outcomes,
              ElementsAre(Outcome::Errno(ENOMEM), Outcome::Ok()));
  EXPECT_EQ(documented.steps[1].locked_vm, Pages{1});
}

TEST(Document, HoldsToTheStateOnlyWhereKernelsAgreeOnIt) {
  // What was writable once stays apart up to 6.6 and cannot grow with the rest.
  const DocumentedProgram documented = DocumentedOf(R"(
    steps { mmap { addr { page: 0 } length: 8192 prot: READ
                   flags: PRIVATE flags: ANONYMOUS flags: FIXED } }
    steps { mprotect { length: 4096 prot: READ prot: WRITE } }
    steps { mprotect { length: 4096 prot: READ } }
    steps { mlock2 { length: 8192 flags: ONFAULT } }
    steps { mremap { old_length: 8192 new_length: 12288 } })");
  EXPECT_EQ(documented.steps[3].locked_vm, Pages{2});
  EXPECT_EQ(documented.steps[3].absent.size(), 1u);
  EXPECT_EQ(documented.steps[4].outcomes.size(), 2u);
  EXPECT_EQ(documented.steps[4].locked_vm, std::nullopt);
  EXPECT_THAT(documented.steps[4].absent, IsEmpty());
}

TEST(Document, KnowsWhichPagesMustBeMlocked) {
  const DocumentedProgram documented = DocumentedOf(R"(
    config { kernel: "v6.12" cap_ipc_lock: true defects: "+swapin-not-mlocked" }
    steps { mmap { length: 16384 prot: READ prot: WRITE
                   flags: PRIVATE flags: ANONYMOUS flags: FIXED
                   flags: POPULATE } }
    steps { madvise { length: 8192 advice: PAGEOUT } }
    steps { mlock { length: 8192 } }
    steps { mlock2 { addr { page: 2 } length: 8192 flags: ONFAULT } })");
  const Vpn arena = PageOf(kArenaBase);
  EXPECT_THAT(documented.steps[1].mlocked, IsEmpty());
  EXPECT_THAT(documented.steps[2].mlocked,
              ElementsAre(PageSpan{arena, arena + Pages{2}}));
  EXPECT_THAT(documented.steps[3].mlocked,
              ElementsAre(PageSpan{arena, arena + Pages{2}}));
}

TEST(Document, LeavesOutWhatUserSpaceCannotForce) {
  const DocumentedProgram documented = DocumentedOf(R"(
    steps { drain {} }
    steps { mlock { addr { page: 0 } length: 4096 }
            during { point: "mlock:marked" drain {} } })");
  EXPECT_TRUE(documented.needs_environment);
  EXPECT_THAT(documented.steps[0].left_out, HasSubstr("cannot be forced"));
  EXPECT_EQ(documented.steps[1].left_out, "");
  EXPECT_EQ(documented.steps[1].step.during_count, 0);
}

TEST(Document, LeavesOutWhatCouldHitTheProcessItself) {
  const DocumentedProgram documented = DocumentedOf(R"(
    steps { munmap { addr { page: 0 } length: 0x600000000000 } }
    steps { madvise { addr { raw: 0x7f0000000000 } length: 4096
                      advice: DONTNEED } }
    steps { touch { addr { raw: 0x555555554000 } write: true } }
    steps { mlock { addr { raw: 0x7f0000000000 } length: 4096 } }
    steps { munmap { addr { page: 3 } length: 4096 } }
    steps { munmap { addr { raw: 0x7ffffffff000 } length: 4096 } }
    steps { munmap { addr { page: 3 } length: 18446744073709551615 } })");
  for (int i = 0; i < 4; ++i) EXPECT_NE(documented.steps[i].left_out, "") << i;
  for (int i = 4; i < 7; ++i) EXPECT_EQ(documented.steps[i].left_out, "") << i;
}

TEST(Document, RefusesToPopulateMoreThanTheBudget) {
  const char* const sparse = R"(
    config { arena_pages: 65536 memory_pages: 65536
             memlock_limit: 18446744073709551615 }
    steps { mmap { addr { page: 0 } length: 268435456 prot: READ prot: WRITE
                   flags: PRIVATE flags: ANONYMOUS flags: FIXED } }
    steps { mlock2 { addr { page: 0 } length: 268435456 flags: ONFAULT } })";
  EXPECT_THAT(DocumentedOf(sparse).obstacles, IsEmpty());
  const std::string populated =
      std::string(sparse) +
      "steps { mlock { addr { page: 0 } length: 67112960 } }";
  EXPECT_THAT(DocumentedOf(populated.c_str()).obstacles,
              ElementsAre(HasSubstr("more than 64 MiB")));
}

TEST(Document, AMachineOfLittleMemoryCannotBeHad) {
  const std::string program =
      "steps { mmap { length: 65536 prot: [READ, WRITE]"
      "  flags: [PRIVATE, FIXED, ANONYMOUS] } }"
      "steps { mlock { length: 65536 } }";
  EXPECT_THAT(DocumentedOf(program.c_str()).obstacles, IsEmpty());
  const std::string small = "config { memory_pages: 8 } " + program;
  EXPECT_THAT(DocumentedOf(small.c_str()).obstacles,
              ElementsAre(HasSubstr("step 1 needs a machine of 8 pages")));
}

// What only newer kernels have is documented for programs of these kernels.
TEST(Document, HoldsAProgramToItsOwnKernelIfThatHasMlock2) {
  const std::string dontunmap = R"(
    steps { mmap { addr { page: 0 } length: 4096 prot: READ prot: WRITE
                   flags: PRIVATE flags: ANONYMOUS flags: FIXED
                   flags: LOCKED } }
    steps { mremap { addr { page: 0 } old_length: 4096 new_length: 4096
                     flags: MAYMOVE flags: FIXED flags: DONTUNMAP
                     new_addr { page: 4 } } })";
  const DocumentedProgram newer =
      DocumentedOf(("config { kernel: \"v6.18\" }" + dontunmap).c_str());
  EXPECT_EQ(newer.profile->name, "v6.18");
  EXPECT_EQ(newer.steps[1].left_out, "");
  // Not as 6.18 does it: 2.
  EXPECT_EQ(newer.steps[1].locked_vm, Pages{1});
  const DocumentedProgram older =
      DocumentedOf(("config { kernel: \"v3.12\" }" + dontunmap).c_str());
  EXPECT_EQ(older.profile->name, "v4.9");
  EXPECT_THAT(older.steps[1].left_out, HasSubstr("newer"));
}

// mremap is called with all of its five arguments: an address that is only a
// hint gets there too.
TEST(Document, KeepsDontunmapToAHint) {
  const DocumentedProgram documented = DocumentedOf(R"(
    config { kernel: "v6.18" }
    steps { mmap { addr { page: 1 } length: 4096 prot: READ prot: WRITE
                   flags: PRIVATE flags: ANONYMOUS flags: FIXED
                   flags: LOCKED } }
    steps { mremap { addr { page: 1 } old_length: 4096 new_length: 4096
                     flags: MAYMOVE flags: DONTUNMAP } })");
  EXPECT_EQ(documented.steps[1].left_out, "");
  EXPECT_EQ(documented.steps[1].locked_vm, Pages{1});
}

TEST(Document, AFindingOfOneMachineMayHangOnThatMachine) {
  const absl::StatusOr<Program> program = ParseProgramText(R"(
    steps { mmap { length: 4096 prot: EXEC
                   flags: PRIVATE flags: ANONYMOUS flags: FIXED } }
    steps { madvise { length: 4096 advice: MERGEABLE } })",
                                                           "program");
  ASSERT_TRUE(program.ok()) << program.status();
  reference::ReferenceEngine engine;
  const absl::StatusOr<DocumentedProgram> anywhere =
      Document(*program, &engine);
  ASSERT_TRUE(anywhere.ok());
  EXPECT_THAT(anywhere->obstacles, ElementsAre(HasSubstr("execute-only")));
  EXPECT_THAT(anywhere->steps[1].left_out, HasSubstr("configured"));
  const absl::StatusOr<DocumentedProgram> here =
      Document(*program, &engine, /*any_machine=*/false);
  ASSERT_TRUE(here.ok());
  EXPECT_THAT(here->obstacles, IsEmpty());
  EXPECT_EQ(here->steps[1].left_out, "");
}

TEST(Document, LockOnFaultWithoutAccessMayEndInTwoWaysOnEveryKernel) {
  for (absl::string_view kernel : {"v4.9", "v6.1", "v6.12", "v6.18"}) {
    const DocumentedProgram documented =
        DocumentedOf(absl::StrCat("config { kernel: \"", kernel, "\" }", R"(
    steps { mmap { addr { page: 0 } length: 4096
                   flags: PRIVATE flags: ANONYMOUS flags: FIXED } }
    steps { mlock2 { addr { page: 0 } length: 4096 flags: ONFAULT } })")
                         .c_str());
    EXPECT_THAT(documented.steps[1].outcomes,
                UnorderedElementsAre(Outcome::Ok(), Outcome::Errno(ENOMEM)))
        << kernel;
  }
}

TEST(Document, ARangeThatWrapsFromLockedMemoryMayBeRefusedInTwoWays) {
  const DocumentedProgram documented = DocumentedOf(R"(
    steps { mmap { addr { page: 0 } length: 12288 prot: READ prot: WRITE
                   flags: PRIVATE flags: ANONYMOUS flags: FIXED
                   flags: LOCKED } }
    steps { mlock { addr { page: 2 } length: 18446744073709547520 } }
    steps { mlock { addr { page: 3 } length: 18446744073709547520 } })");
  EXPECT_THAT(
      documented.steps[1].outcomes,
      UnorderedElementsAre(Outcome::Errno(EINVAL), Outcome::Errno(ENOMEM)));
  EXPECT_THAT(documented.steps[2].outcomes,
              ElementsAre(Outcome::Errno(ENOMEM)));
}

TEST(Document, NamesWhatARealKernelCannotBeAskedFor) {
  EXPECT_THAT(DocumentedOf("config { max_map_count: 100 }").obstacles,
              ElementsAre(HasSubstr("vm.max_map_count=100")));
  EXPECT_THAT(
      DocumentedOf("steps { fork { child: 1 share_vm: true } }").obstacles,
      ElementsAre(HasSubstr("share an address space")));
}

}  // namespace
}  // namespace lockstep
