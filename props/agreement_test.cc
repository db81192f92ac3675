// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/agreement.h"

#include <cerrno>
#include <csignal>
#include <set>
#include <string>

#include "engine/linux/trace_testing.h"
#include "engine/linux/wire.h"
#include "engine/reference/reference_engine.h"
#include "engine/uapi.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "props/comparison.h"
#include "props/random.h"
#include "props/trace_judge.h"
#include "props/vocabulary.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

Program Parse(const std::string& text) {
  auto program = ParseProgramText(text, "test");
  EXPECT_TRUE(program.ok()) << program.status();
  program->config.defects = {};
  return *program;
}

// What a kernel that does as the model would have done.
Trace Faithful(const Program& program) {
  reference::ReferenceEngine engine;
  Trace trace;
  trace.image_lockable = Pages{6};
  trace.image_other = Pages{2};
  Program traced = program;
  traced.config = AsTraced(program.config, trace);
  return RecordTrace(traced, &engine);
}

std::optional<Violation> Compare(const Program& program, const Trace& trace) {
  TraceJudge judge("host");
  auto parted = judge.CheckAgreement(program, trace);
  EXPECT_TRUE(parted.ok()) << parted.status();
  return *parted;
}

// Pages 0 and 1 mapped, 0 locked, 1 touched; a task of its own beside.
Program Locked() {
  return Parse(
      "config { cap_ipc_lock: true }"
      "steps { mmap { length: 8192 prot: [READ, WRITE]"
      "  flags: [PRIVATE, FIXED, ANONYMOUS] } }"
      "steps { touch { addr { page: 1 } write: true } }"
      "steps { shmget { shm: 1 size: 4096 } }"
      "steps { mlock { length: 4096 } }"
      "steps { munlock { addr { page: 5 } length: 4096 } }");
}

TEST(AgreementTest, AKernelThatDoesAsTheModelAgrees) {
  const Program program = Locked();
  EXPECT_EQ(Compare(program, Faithful(program)), std::nullopt);
}

TEST(AgreementTest, RandomProgramsAgreeWithTheirOwnRecords) {
  VocabularyOptions options;
  options.defects = {};
  Vocabulary vocabulary(options);
  TraceJudge judge("host");
  int compared = 0;
  for (uint64_t i = 0; i < 2000; ++i) {
    Random random(17, i);
    Program program;
    vocabulary.Generate(random, &program);
    if (program.config.arena_pages > wire::kMaxArenaPages) continue;
    const Trace trace = Faithful(program);
    const auto parted = judge.CheckAgreement(program, trace);
    ASSERT_TRUE(parted.ok()) << parted.status();
    ASSERT_FALSE(parted->has_value())
        << i << " " << (*parted)->property << ": " << (*parted)->expected
        << " / " << (*parted)->seen << "\n"
        << FormatProgramText(program);
    ++compared;
  }
  EXPECT_GT(compared, 1000);
}

// The wire loses nothing that a comparison or a contract looks at.
TEST(AgreementTest, RandomProgramsAgreeAcrossTheWire) {
  VocabularyOptions options;
  options.defects = {};
  Vocabulary vocabulary(options);
  TraceJudge judge("host");
  for (uint64_t i = 0; i < 1000; ++i) {
    Random random(18, i);
    Program program;
    vocabulary.Generate(random, &program);
    if (program.config.arena_pages > wire::kMaxArenaPages) continue;
    const Trace trace = Faithful(program);
    auto decoded = DecodeResult({&program, 1}, wire::Look::kPages,
                                ResultBytes({&trace, 1}).bytes());
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    const auto judged = judge.Judge(program, decoded->front());
    ASSERT_TRUE(judged.ok()) << judged.status();
    ASSERT_FALSE(judged->has_value())
        << i << " " << (*judged)->property << ": " << (*judged)->expected
        << " / " << (*judged)->seen << " after step " << (*judged)->step << "\n"
        << FormatProgramText(program);
    for (size_t step = 0; step < trace.steps.size(); ++step) {
      ASSERT_EQ(decoded->front().steps[step].locked_shm,
                trace.steps[step].locked_shm);
      ASSERT_EQ(decoded->front().steps[step].file_size,
                trace.steps[step].file_size);
    }
  }
}

// ---- Every row sees what it is there for ----

struct Spoiled {
  absl::string_view property;
  size_t step;
  void (*spoil)(TracedStep* step);
};

TracedTask& Task0(TracedStep* step) { return step->tasks[0]; }
Range& Arena(TracedStep* step) {
  for (Range& range : Task0(step).state.ranges) {
    if (range.start >= PageOf(kArenaBase)) return range;
  }
  abort();
}

constexpr Spoiled kSpoiled[] = {
    {"agree-outcome", 3,
     [](TracedStep* s) { s->outcome = Outcome::Errno(EAGAIN); }},
    {"agree-outcome", 4,
     [](TracedStep* s) { s->outcome = Outcome::Errno(EINVAL); }},
    {"agree-outcome", 0, [](TracedStep* s) { s->outcome.value += 4096; }},
    {"agree-outcome", 1,
     [](TracedStep* s) { s->outcome = Outcome::Signal(SIGBUS); }},
    {"agree-tasks", 2, [](TracedStep* s) { s->tasks[3].state.exists = true; }},
    {"agree-tasks", 2, [](TracedStep* s) { Task0(s).state = TaskState(); }},
    {"agree-credentials", 3,
     [](TracedStep* s) { Task0(s).state.memlock_limit = 1; }},
    {"agree-credentials", 3, [](TracedStep* s) { Task0(s).state.uid = 2; }},
    {"agree-credentials", 3,
     [](TracedStep* s) { Task0(s).state.cap_ipc_lock = false; }},
    {"agree-locked-vm", 3, [](TracedStep* s) { ++Task0(s).state.locked_vm.n; }},
    {"agree-total-vm", 3, [](TracedStep* s) { ++Task0(s).state.total_vm.n; }},
    {"agree-brk", 1, [](TracedStep* s) { Task0(s).state.brk += 1; }},
    {"agree-mapped", 1, [](TracedStep* s) { Arena(s).end.n += 1; }},
    {"agree-protection", 1,
     [](TracedStep* s) { Arena(s).bits &= ~uint32_t{kRangeWrite}; }},
    {"agree-shared", 1, [](TracedStep* s) { Arena(s).bits |= kRangeShared; }},
    {"agree-locked", 3,
     [](TracedStep* s) { Arena(s).bits &= ~uint32_t{kRangeLocked}; }},
    {"agree-onfault", 3,
     [](TracedStep* s) { Arena(s).bits |= kRangeLockOnFault; }},
    // A locked page must be there, and no page may come from nowhere.
    {"agree-present", 3, [](TracedStep* s) { Task0(s).arena.present[0] = 2; }},
    {"agree-present", 0, [](TracedStep* s) { Task0(s).arena.present[0] = 1; }},
    {"agree-mlocked", 3, [](TracedStep* s) { Task0(s).arena.mlocked[0] = 0; }},
    {"agree-mlocked", 3, [](TracedStep* s) { Task0(s).arena.mlocked[0] = 3; }},
    {"agree-mlocked", 1, [](TracedStep* s) { Task0(s).arena.mlocked[0] = 2; }},
    {"agree-page-kind", 3, [](TracedStep* s) { Task0(s).arena.zero[0] = 1; }},
    {"agree-shm", 2, [](TracedStep* s) { s->shm[1].locked = true; }},
    {"agree-shm", 2, [](TracedStep* s) { s->shm[1] = {}; }},
    {"agree-shm", 2, [](TracedStep* s) { s->shm[1].size = 4097; }},
};

TEST(AgreementTest, EachRowSeesItsOwnDifference) {
  const Program program = Locked();
  std::set<std::string> seen;
  for (const Spoiled& row : kSpoiled) {
    Trace trace = Faithful(program);
    row.spoil(&trace.steps[row.step]);
    const std::optional<Violation> parted = Compare(program, trace);
    ASSERT_TRUE(parted.has_value()) << row.property << " " << row.step;
    EXPECT_EQ(parted->property, row.property);
    EXPECT_EQ(parted->step, row.step) << row.property;
    EXPECT_NE(parted->expected, parted->seen) << row.property;
    seen.insert(parted->property);
  }
  // NR_MLOCK has a test of its own below.
  seen.insert("agree-nr-mlock");
  for (const Agreement& row : AllAgreements()) {
    EXPECT_EQ(seen.count(std::string(row.name)), 1u) << row.name;
  }
}

TEST(AgreementTest, NrMlockIsComparedWhereTheMachineDoesNothingElse) {
  const Program program = Locked();
  Trace trace = Faithful(program);
  trace.sees |= wire::kSeesCounters;
  trace.steps[3].counters = {{wire::CounterName::kNrMlock, 0, 1}};
  EXPECT_EQ(Compare(program, trace), std::nullopt);
  trace.steps[3].counters[0].value = 2;
  const std::optional<Violation> parted = Compare(program, trace);
  ASSERT_TRUE(parted.has_value());
  EXPECT_EQ(parted->property, "agree-nr-mlock");
  trace.sees &= ~uint32_t{wire::kSeesCounters};
  EXPECT_EQ(Compare(program, trace), std::nullopt);
}

// ---- Freedom ----

TEST(AgreementTest, AnUnlockedPageMayBeGone) {
  const Program program = Locked();
  Trace trace = Faithful(program);
  for (size_t i = 1; i < 5; ++i) Task0(&trace.steps[i]).arena.present[0] &= 1;
  EXPECT_EQ(Compare(program, trace), std::nullopt);
}

TEST(AgreementTest, FaultAroundMayBringPagesOfFiles) {
  const Program program = Parse(
      "steps { mmap { length: 8192 prot: READ flags: [PRIVATE, FIXED] } }"
      "steps { touch { } }");
  Trace trace = Faithful(program);
  Task0(&trace.steps[1]).arena.present[0] = 3;
  Task0(&trace.steps[1]).arena.file_or_shared[0] = 3;
  EXPECT_EQ(Compare(program, trace), std::nullopt);
}

TEST(AgreementTest, ReclaimMayLeaveTheZeroPage) {
  const auto program = [](const std::string& between) {
    return Parse(
        "config { kernel: 'v6.18' cap_ipc_lock: true }"
        "steps { mmap { length: 4096 prot: [READ, WRITE]"
        "  flags: [PRIVATE, FIXED, ANONYMOUS, POPULATE] } }" +
        between + "steps { madvise { length: 4096 advice: POPULATE_READ } }");
  };
  const auto with_zero_page = [](const Program& program) {
    Trace trace = Faithful(program);
    Task0(&trace.steps.back()).arena.zero[0] |= 1;
    return Compare(program, trace);
  };
  EXPECT_EQ(with_zero_page(program(""))->property, "agree-page-kind");
  EXPECT_EQ(with_zero_page(
                program("steps { madvise { length: 4096 advice: FREE } }"
                        "steps { madvise { length: 4096 advice: PAGEOUT } }")),
            std::nullopt);
}

// D28: whether a page has left the swap cache before it is locked is the
// kernel's affair, so where the model forgets the mark the kernel need not.
TEST(AgreementTest, WhatSwapinForgetsMayBeMlocked) {
  const std::string mapped =
      "config { kernel: 'v6.12' cap_ipc_lock: true }"
      "steps { mmap { length: 4096 prot: [READ, WRITE]"
      "  flags: [PRIVATE, FIXED, ANONYMOUS, POPULATE] } }";
  const std::string lock = "steps { mlock { length: 4096 } }";
  const auto forgetting = [](const Program& program) {
    Trace trace = Faithful(program);
    Task0(&trace.steps.back()).arena.mlocked[0] = 0;
    return trace;
  };
  Program swapped = Parse(
      mapped + "steps { madvise { length: 4096 advice: PAGEOUT } }" + lock);
  const Trace marks = Faithful(swapped), forgets = forgetting(swapped);
  const std::optional<Violation> parted = Compare(swapped, forgets);
  ASSERT_TRUE(parted.has_value());
  EXPECT_EQ(parted->property, "agree-mlocked");
  EXPECT_THAT(parted->seen, HasSubstr("not Mlocked"));
  swapped.config.defects = {Defect::kSwapinNotMlocked};
  EXPECT_EQ(Compare(swapped, forgets), std::nullopt);
  EXPECT_EQ(Compare(swapped, marks), std::nullopt);
  // NR_MLOCK counts the page that was marked, and no other.
  Trace counts = marks;
  counts.sees |= wire::kSeesCounters;
  counts.steps[2].counters = {{wire::CounterName::kNrMlock, 0, 1}};
  EXPECT_EQ(Compare(swapped, counts), std::nullopt);
  for (const int64_t wrong : {0, 2}) {
    counts.steps[2].counters[0].value = wrong;
    const std::optional<Violation> counted = Compare(swapped, counts);
    ASSERT_TRUE(counted.has_value()) << wrong;
    EXPECT_EQ(counted->property, "agree-nr-mlock");
  }
  // What was never swapped is not forgotten.
  Program plain = Parse(mapped + lock);
  plain.config.defects = {Defect::kSwapinNotMlocked};
  ASSERT_TRUE(Compare(plain, forgetting(plain)).has_value());
}

// What a guest reclaims may have been in a batch, which it drains first.
TEST(AgreementTest, AGuestMayReclaimAPageOfABatch) {
  const std::string mapped =
      "config { kernel: 'v6.12' }"
      "steps { mmap { length: 4096 prot: [READ, WRITE]"
      "  flags: [PRIVATE, FIXED, ANONYMOUS, POPULATE] } }";
  const std::string reclaim = "steps { reclaim { page { page: 0 } } }";
  const auto with = [](const Program& program, Outcome outcome) {
    Trace trace = Faithful(program);
    trace.steps.back().outcome = outcome;
    return Compare(program, trace);
  };
  EXPECT_EQ(with(Parse(mapped + reclaim), Outcome::Ok()), std::nullopt);
  // Nothing explains that a page on a list is not found.
  const std::optional<Violation> parted =
      with(Parse(mapped + "steps { madvise { length: 4096 advice: COLD } }" +
                 reclaim),
           Outcome::Skipped());
  ASSERT_TRUE(parted.has_value());
  EXPECT_EQ(parted->property, "agree-outcome");
}

TEST(AgreementTest, AnAddressOutsideIsAnywhere) {
  const Program program = Parse(
      "steps { mmap { length: 4096 flags: [PRIVATE, FIXED, ANONYMOUS] } }"
      "steps { mmap { length: 4096 flags: [PRIVATE, ANONYMOUS] } }");
  Trace trace = Faithful(program);
  TracedStep& step = trace.steps[1];
  step.outcome.value -= 0x5000;
  EXPECT_EQ(Compare(program, trace), std::nullopt);
  step.outcome.value = static_cast<int64_t>(kArenaBase);
  EXPECT_EQ(Compare(program, trace)->property, "agree-outcome");
}

TEST(AgreementTest, MlockedOfPagesThatForkSharedIsFree) {
  Program program = Locked();
  Step fork;
  fork.op = Op::kFork;
  fork.slot = 1;
  program.steps.insert(program.steps.begin() + 1, fork);
  Trace trace = Faithful(program);
  Task0(&trace.steps[4]).arena.mlocked[0] = 0;
  EXPECT_EQ(Compare(program, trace), std::nullopt);
}

// D26 takes the lock of page 1 and leaves it Mlocked. A kernel that counts
// lockers does so for ever, the model only until the next munlock.
TEST(AgreementTest, MlockedOfPagesThatADefectLeftIsFree) {
  Program program = Parse(
      "config { kernel: 'v6.18' cap_ipc_lock: true }"
      "steps { mmap { length: 8192 prot: [READ, WRITE]"
      "  flags: [PRIVATE, FIXED, ANONYMOUS, LOCKED] } }"
      "steps { mremap { old_length: 4096 new_length: 4096"
      "  flags: [MAYMOVE, FIXED, DONTUNMAP] new_addr { page: 8 } } }"
      "steps { mlock { addr { page: 1 } length: 4096 } }"
      "steps { munlock { addr { page: 1 } length: 4096 } }");
  const auto with_page_mlocked = [&program] {
    Trace trace = Faithful(program);
    Task0(&trace.steps[3]).arena.mlocked[0] |= 2;
    return Compare(program, trace);
  };
  EXPECT_EQ(with_page_mlocked()->property, "agree-mlocked");
  program.config.defects = {Defect::kDontunmapUnlocksWhole};
  EXPECT_EQ(with_page_mlocked(), std::nullopt);
}

TEST(AgreementTest, TheModelHasTheProtectionKeysOfTheTrace) {
  const Program program = Parse(
      "steps { mmap { length: 4096 prot: EXEC"
      "  flags: [PRIVATE, FIXED, ANONYMOUS] } }"
      "steps { touch { } }");
  EXPECT_TRUE(HasExecuteOnly(program.steps));
  Trace trace = Faithful(program);
  EXPECT_EQ(trace.steps[1].outcome, Outcome::Ok());
  EXPECT_EQ(Compare(program, trace), std::nullopt);
  trace.sees |= wire::kHasProtectionKeys;
  const std::optional<Violation> parted = Compare(program, trace);
  ASSERT_TRUE(parted.has_value());
  EXPECT_EQ(parted->property, "agree-outcome");
  EXPECT_EQ(parted->expected, "SIGSEGV");
  // Two machines: not compared from there on.
  auto pair = CompareTraces(program, trace, Faithful(program), 9);
  ASSERT_TRUE(pair.ok());
  EXPECT_THAT(*pair, ::testing::IsEmpty());
}

TEST(AgreementTest, OnfaultIsComparedWhereTheKernelTells) {
  const Program program = Locked();
  Trace trace = Faithful(program);
  trace.sees = 0;
  Arena(&trace.steps[3]).bits |= kRangeLockOnFault;
  Task0(&trace.steps[3]).arena.mlocked[0] = 0;
  EXPECT_EQ(Compare(program, trace), std::nullopt);
}

// ---- What cannot be run, and what went down ----

TEST(AgreementTest, WhatTheKernelCannotRunTheModelLeavesOut) {
  Program program = Locked();
  Step drain;
  drain.op = Op::kDrain;
  program.steps.insert(program.steps.begin() + 1, drain);
  Trace trace = Faithful(program);
  EXPECT_EQ(trace.steps[1].outcome, Outcome::Unsupported());
  EXPECT_EQ(Compare(program, trace), std::nullopt);
  // The mlock was not run: the model must not have run it either.
  Program without = program;
  without.steps[4] = Step();
  trace = Faithful(without);
  trace.steps[4].outcome = Outcome::Unsupported();
  EXPECT_EQ(Compare(program, trace), std::nullopt);
  EXPECT_EQ(WithoutUnsupported(program, trace).steps[4], Step());
  EXPECT_EQ(WithoutUnsupported(program, trace).steps[3], program.steps[3]);
}

TEST(AgreementTest, AProgramThatWentDownPartsThere) {
  const Program program = Locked();
  Trace trace = Faithful(program);
  trace.steps.resize(3);
  trace.end = wire::End::kKilled;
  trace.signal = SIGKILL;
  const std::optional<Violation> parted = Compare(program, trace);
  ASSERT_TRUE(parted.has_value());
  EXPECT_EQ(parted->property, kAgreeEnd);
  EXPECT_EQ(parted->step, 3u);
  EXPECT_THAT(parted->seen, HasSubstr("killed by"));
  trace.end = wire::End::kTimedOut;
  EXPECT_THAT(Compare(program, trace)->seen, HasSubstr("hung"));
  trace.end = wire::End::kRefused;
  trace.steps.clear();
  EXPECT_EQ(Compare(program, trace), std::nullopt);
}

TEST(CompareTracesTest, NamesBothSides) {
  const Program program = Locked();
  const Trace a = Faithful(program);
  Trace b = a;
  EXPECT_TRUE(CompareTraces(program, a, b, 9)->empty());
  Task0(&b.steps[3]).state.locked_vm.n = 7;
  Task0(&b.steps[4]).state.locked_vm.n = 8;
  const auto parting = *CompareTraces(program, a, b, 9);
  ASSERT_EQ(parting.size(), 2u);
  EXPECT_EQ(parting[0].expected, "task 0: locked_vm 1");
  EXPECT_EQ(parting[0].seen, "task 0: locked_vm 7");
  EXPECT_EQ(CompareTraces(program, a, b, 1)->size(), 1u);
}

// Another kernel gives a process another vdso: that is no divergence.
TEST(CompareTracesTest, TheProcessMayBeOfAnotherSize) {
  const Program program = Locked();
  const Trace a = Faithful(program);
  Trace b = a;
  b.image_other.n += 2;
  Task0(&b.start).state.total_vm.n += 2;
  for (TracedStep& step : b.steps) Task0(&step).state.total_vm.n += 2;
  EXPECT_THAT(*CompareTraces(program, a, b, 9), testing::IsEmpty());
  EXPECT_THAT(*CompareTraces(program, b, a, 9), testing::IsEmpty());
  Task0(&b.steps[3]).state.total_vm.n += 1;
  const auto parting = *CompareTraces(program, a, b, 9);
  ASSERT_EQ(parting.size(), 1u);
  EXPECT_EQ(parting[0].property, "agree-total-vm");
  EXPECT_EQ(parting[0].step, 3u);
}

TEST(CompareTracesTest, WhereItsSizeDecidesNothingIsCompared) {
  Program program = Locked();
  program.config.cap_ipc_lock = false;
  Step mlockall;
  mlockall.op = Op::kMlockall;
  mlockall.flags = uapi::kMclCurrent;
  program.steps.insert(program.steps.begin(), mlockall);
  const Trace a = Faithful(program);
  Trace b = a;
  b.steps[0].outcome = Outcome::Errno(ENOMEM);
  EXPECT_FALSE(CompareTraces(program, a, b, 9)->empty());
  b.image_other.n += 2;
  EXPECT_THAT(*CompareTraces(program, a, b, 9), testing::IsEmpty());
}

// ---- Both judgements ----

TEST(TraceJudgeTest, ReportsWhicheverComesFirst) {
  const Program program = Locked();
  Trace trace = Faithful(program);
  TraceJudge judge("host");
  EXPECT_EQ(*judge.Judge(program, trace), std::nullopt);
  // Both see it: the contract, which needs no model, is what is reported.
  trace.steps[3].outcome = Outcome::Errno(ENOMEM);
  auto judged = *judge.Judge(program, trace);
  ASSERT_TRUE(judged.has_value());
  EXPECT_EQ(judged->property, "mlock-errno");
  EXPECT_EQ(judge.CheckContracts(program, trace)->value().property,
            "mlock-errno");
  // An earlier disagreement that is no contract's.
  trace.steps[2].shm[1].size = 8192;
  judged = *judge.Judge(program, trace);
  ASSERT_TRUE(judged.has_value());
  EXPECT_LE(judged->step, 2u);
}

}  // namespace
}  // namespace lockstep
