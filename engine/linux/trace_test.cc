// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/trace.h"

#include <cstring>

#include "engine/linux/trace_testing.h"
#include "engine/uapi.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr uint32_t kPlain = kRangeRead | kRangeWrite;

Step StepOf(Op op) {
  Step step;
  step.op = op;
  return step;
}

// Two steps of task 0: mmap of arena pages 0 to 2, mlock of page 1.
Program TwoSteps() {
  Program program;
  program.config.arena_pages = 70;
  program.steps = {StepOf(Op::kMmap), StepOf(Op::kMlock)};
  return program;
}

TracedStep Empty() {
  TracedStep step;
  TracedTask& task = step.tasks[0];
  task.state.exists = true;
  task.state.memlock_limit = Config().memlock_limit;
  task.state.brk = kHeapBase;
  task.state.total_vm = Pages{12};
  const Vpn image = PageOf(kImageBase);
  task.state.ranges = {
      {image, image + Pages{10}, kPlain | kRangeMayWrite, image + Pages{10}}};
  const std::vector<uint64_t> arena(2), heap(1);
  task.arena = {arena, arena, arena, arena, arena};
  task.heap = {heap, heap, heap, heap, heap};
  step.file_size.fill(Config().file_size);
  return step;
}

Trace TwoStepsTraced() {
  Trace trace;
  trace.sees = wire::kSeesPageFlags;
  trace.image_lockable = Pages{10};
  trace.image_other = Pages{2};
  TracedStep mapped = Empty();
  mapped.outcome = Outcome::Ok(static_cast<int64_t>(kArenaBase));
  TracedTask& task = mapped.tasks[0];
  const Vpn arena = PageOf(kArenaBase);
  task.state.ranges.push_back(
      {arena, arena + Pages{3}, kPlain, arena + Pages{3}});
  task.state.total_vm += Pages{3};
  TracedStep locked = mapped;
  locked.outcome = Outcome::Ok();
  TaskState& state = locked.tasks[0].state;
  state.ranges.pop_back();
  state.ranges.push_back({arena, arena + Pages{1}, kPlain, arena + Pages{1}});
  state.ranges.push_back({arena + Pages{1}, arena + Pages{2},
                          kPlain | kRangeLocked, arena + Pages{2}});
  state.ranges.push_back(
      {arena + Pages{2}, arena + Pages{3}, kPlain, arena + Pages{3}});
  state.locked_vm = Pages{1};
  locked.tasks[0].arena.present[0] = 2;
  locked.tasks[0].arena.mlocked[0] = 2;
  locked.tasks[0].arena.guard[0] = 4;
  trace.steps = {mapped, locked};
  return trace;
}

absl::StatusOr<std::vector<Trace>> Decode(const Program& program,
                                          const std::string& bytes) {
  return DecodeResult({&program, 1}, wire::Look::kPages, bytes);
}

TEST(TraceEngineTest, SeesMlockedWhereTheTraceDoes) {
  Trace trace = TwoStepsTraced();
  TraceEngine engine("host");
  engine.Load(&trace);
  EXPECT_TRUE(engine.SeesMlocked());
  trace.sees = 0;
  EXPECT_FALSE(engine.SeesMlocked());
}

// ---- Batches ----

TEST(EncodeBatchTest, HasProgramsAndStepsOneAfterTheOther) {
  const Program programs[] = {TwoSteps(), Program(), TwoSteps()};
  const auto bytes = EncodeBatch(programs, wire::Look::kPages,
                                 wire::Mode::kProcessPerProgram, 250);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  wire::BatchHeader header;
  std::memcpy(&header, bytes->data(), sizeof header);
  EXPECT_EQ(header.magic, wire::kMagic);
  EXPECT_EQ(header.programs, 3u);
  EXPECT_EQ(header.mode, wire::Mode::kProcessPerProgram);
  EXPECT_EQ(header.step_limit_ms, 250u);
  EXPECT_EQ(header.bytes, bytes->size());
  EXPECT_EQ(bytes->size(),
            sizeof header + 3 * sizeof(wire::ProgramHeader) + 4 * sizeof(Step));
  wire::ProgramHeader first;
  std::memcpy(&first, bytes->data() + sizeof header, sizeof first);
  EXPECT_EQ(first.arena_pages, 70u);
  EXPECT_EQ(first.memlock_limit, Config().memlock_limit);
  EXPECT_EQ(first.steps, 2u);
  Step second;
  std::memcpy(&second,
              bytes->data() + sizeof header + sizeof first + sizeof(Step),
              sizeof second);
  EXPECT_EQ(second.op, Op::kMlock);
}

TEST(EncodeBatchTest, NamesTheProgramThatCannotBeSent) {
  Program programs[] = {TwoSteps(), TwoSteps()};
  programs[1].config.arena_pages = wire::kMaxArenaPages + 1;
  const auto bytes =
      EncodeBatch(programs, wire::Look::kPages, wire::Mode::kChildPerBatch, 1);
  EXPECT_EQ(bytes.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(bytes.status().message()),
              AllOf(HasSubstr("program 1"), HasSubstr("257")));
}

// ---- Results ----

TEST(DecodeResultTest, GivesBackWhatWasSeen) {
  const Program program = TwoSteps();
  const Trace trace = TwoStepsTraced();
  const auto decoded = Decode(program, ResultBytes({&trace, 1}).bytes());
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  ASSERT_EQ(decoded->size(), 1u);
  const Trace& seen = decoded->front();
  EXPECT_EQ(seen.image_lockable, Pages{10});
  EXPECT_EQ(seen.start.tasks[0].state.ranges, Empty().tasks[0].state.ranges);
  EXPECT_EQ(seen.start.tasks[0].state.total_vm, Pages{12});
  ASSERT_EQ(seen.steps.size(), 2u);
  for (int i = 0; i < 2; ++i) {
    const TracedTask& task = seen.steps[i].tasks[0];
    const TracedTask& want = trace.steps[i].tasks[0];
    EXPECT_EQ(seen.steps[i].outcome, trace.steps[i].outcome);
    EXPECT_EQ(task.state.ranges, want.state.ranges);
    EXPECT_EQ(task.state.locked_vm, want.state.locked_vm);
    EXPECT_EQ(task.arena.present, want.arena.present);
    EXPECT_EQ(task.arena.mlocked, want.arena.mlocked);
    EXPECT_EQ(task.arena.guard, want.arena.guard);
    EXPECT_FALSE(seen.steps[i].tasks[1].state.exists);
  }
}

TEST(DecodeResultTest, LocksOfTheImageAreRangesThere) {
  Program program = TwoSteps();
  program.steps[1] = StepOf(Op::kMlockall);
  program.steps[1].flags = uapi::kMclCurrent | uapi::kMclOnfault;
  Trace trace = TwoStepsTraced();
  trace.steps[1].tasks[0].state.ranges[0].bits |= kRangeLocked;
  const auto decoded = Decode(program, ResultBytes({&trace, 1}).bytes());
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->front().steps[1].tasks[0].state.ranges[0].bits,
            kPlain | kRangeMayWrite | kRangeLocked | kRangeLockOnFault);
}

TEST(DecodeResultTest, KnowsFileSizesFromTheProgram) {
  Program program = TwoSteps();
  program.steps[0] = StepOf(Op::kFtruncate);
  program.steps[0].slot = 2;
  program.steps[0].length = 123;
  const Trace trace = TwoStepsTraced();
  const auto decoded = Decode(program, ResultBytes({&trace, 1}).bytes());
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->front().start.file_size[2], program.config.file_size);
  EXPECT_EQ(decoded->front().steps[0].file_size[2], 123u);
  EXPECT_EQ(decoded->front().steps[1].file_size[2], 123u);
}

TEST(DecodeResultTest, ChargesTheCallerOfShmLock) {
  Program program = TwoSteps();
  program.config.uid = 1;
  Trace trace = TwoStepsTraced();
  for (TracedStep& step : trace.steps) step.tasks[0].state.uid = 1;
  trace.steps[1].shm[3] = {.exists = true,
                           .locked = true,
                           .hugetlb = false,
                           .removed = false,
                           .owner = 2,
                           .size = 5000};
  const auto decoded = Decode(program, ResultBytes({&trace, 1}).bytes());
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->front().steps[1].locked_shm[1], Pages{2});
  EXPECT_EQ(decoded->front().steps[1].locked_shm[2], Pages{0});
}

TEST(DecodeResultTest, AFullBufferHasFewerPrograms) {
  const Program programs[] = {TwoSteps(), TwoSteps()};
  const Trace trace = TwoStepsTraced();
  const auto decoded = DecodeResult(programs, wire::Look::kPages,
                                    ResultBytes({&trace, 1}).bytes());
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->size(), 1u);
}

TEST(DecodeResultTest, AProgramThatStoppedHasTheStepsThatCameToTheirEnd) {
  const Program program = TwoSteps();
  Trace trace = TwoStepsTraced();
  trace.steps.pop_back();
  trace.end = wire::End::kKilled;
  trace.signal = 9;
  const auto decoded = Decode(program, ResultBytes({&trace, 1}).bytes());
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->front().signal, 9);
  EXPECT_EQ(decoded->front().steps.size(), 1u);
}

// What is wrong with a trace that no executor writes.
std::string Complaint(const Program& program, const Trace& trace) {
  const auto decoded = Decode(program, ResultBytes({&trace, 1}).bytes());
  EXPECT_EQ(decoded.status().code(), absl::StatusCode::kDataLoss);
  return std::string(decoded.status().message());
}

TEST(DecodeResultTest, SaysWhatIsWrongAndWhere) {
  const Program program = TwoSteps();
  Trace trace = TwoStepsTraced();
  trace.steps[1].tasks[0].state.uid = 4;
  EXPECT_THAT(Complaint(program, trace),
              AllOf(HasSubstr("program 0, step 1"), HasSubstr("uid"),
                    HasSubstr("at most 3, found 4")));
}

TEST(DecodeResultTest, RefusesWhatNoExecutorWrites) {
  const Program program = TwoSteps();
  const struct {
    const char* what;
    void (*spoil)(Trace* trace);
  } kCases[] = {
      {"a completed program", [](Trace* t) { t->steps.pop_back(); }},
      {"lockable pages",
       [](Trace* t) { t->image_lockable = Pages{uint64_t{1} << 40}; }},
      {"errno", [](Trace* t) { t->steps[0].outcome = Outcome::Errno(0); }},
      {"errno", [](Trace* t) { t->steps[0].outcome = Outcome::Errno(5000); }},
      {"outcome",
       [](Trace* t) {
         t->steps[0].outcome.kind = static_cast<Outcome::Kind>(17);
       }},
      {"total_vm",
       [](Trace* t) { t->steps[0].tasks[0].state.total_vm.n = ~0ull; }},
      {"range",
       [](Trace* t) { t->steps[1].tasks[0].state.ranges[2].start.n += 1; }},
      {"range",
       [](Trace* t) {
         std::swap(t->steps[1].tasks[0].state.ranges[1],
                   t->steps[1].tasks[0].state.ranges[2]);
       }},
      {"range",
       [](Trace* t) {
         t->steps[1].tasks[0].state.ranges[3].end = Vpn{~0ull >> 12};
       }},
      {"end of the file",
       [](Trace* t) { t->steps[1].tasks[0].state.ranges[3].eof.n += 9; }},
      {"range bits",
       [](Trace* t) { t->steps[0].tasks[0].state.ranges[1].bits |= 1u << 30; }},
      {"bitmap",
       [](Trace* t) { t->steps[0].tasks[0].arena.present[1] = 1 << 6; }},
      {"counter",
       [](Trace* t) {
         t->steps[0].counters.push_back(
             {static_cast<wire::CounterName>(99), 0, 0});
       }},
  };
  for (const auto& row : kCases) {
    Trace trace = TwoStepsTraced();
    row.spoil(&trace);
    EXPECT_THAT(Complaint(program, trace), HasSubstr(row.what));
  }
}

TEST(DecodeResultTest, NeverTrustsATruncatedOrAlteredBuffer) {
  const Program program = TwoSteps();
  const Trace trace = TwoStepsTraced();
  const std::string bytes = ResultBytes({&trace, 1}).bytes();
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(Decode(program, bytes.substr(0, size)).ok()) << size;
  }
  // Whatever stands there, reading ends and stays inside: for the sanitizers.
  size_t refused = 0;
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (unsigned char value : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
      std::string altered = bytes;
      altered[at] = static_cast<char>(value);
      refused += !Decode(program, altered).ok();
    }
  }
  EXPECT_GT(refused, bytes.size());
}

// ---- Playing ----

TEST(TraceEngineTest, NeedsATrace) {
  TraceEngine engine("host");
  EXPECT_EQ(engine.Reset(Config()).code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(TraceEngineTest, ShowsTheStateAfterEachStep) {
  Trace trace = TwoStepsTraced();
  trace.start = Empty();
  TraceEngine engine("host");
  engine.Load(&trace);
  ASSERT_TRUE(engine.Reset(Config()).ok());
  TaskState state;
  engine.Observe(0, &state);
  EXPECT_EQ(state.total_vm, Pages{12});
  EXPECT_EQ(engine.Run(Step()), trace.steps[0].outcome);
  EXPECT_EQ(engine.ChangedTasks(), 1u);
  engine.Observe(0, &state);
  EXPECT_EQ(state.total_vm, Pages{15});
  const Vpn page = PageOf(kArenaBase) + Pages{1};
  EXPECT_FALSE(engine.ObservePage(0, page).present);
  EXPECT_TRUE(engine.Run(Step()).ok());
  EXPECT_TRUE(engine.ObservePage(0, page).present);
  EXPECT_TRUE(engine.ObservePage(0, page).mlocked);
  EXPECT_FALSE(engine.ObservePage(0, page).unseen);
  EXPECT_TRUE(engine.AllPresent(0, page, page + Pages{1}));
  EXPECT_TRUE(engine.AnyGuard(0, page, page + Pages{2}));
  EXPECT_FALSE(engine.AnyGuard(0, page, page + Pages{1}));
  EXPECT_FALSE(engine.AllPresent(0, page, page + Pages{2}));
}

TEST(TraceEngineTest, StepsBehindTheEndAreUnsupported) {
  Trace trace = TwoStepsTraced();
  TraceEngine engine("host");
  engine.Load(&trace);
  ASSERT_TRUE(engine.Reset(Config()).ok());
  engine.Run(Step());
  engine.Run(Step());
  EXPECT_EQ(engine.Run(Step()), Outcome::Unsupported());
  EXPECT_EQ(engine.ChangedTasks(), 0u);
  TaskState state;
  engine.Observe(0, &state);
  EXPECT_EQ(state.locked_vm, Pages{1});
}

TEST(TraceEngineTest, PagesThatAreNotSeenOneByOneCountAsPresent) {
  Trace trace = TwoStepsTraced();
  trace.start = Empty();
  TraceEngine engine("host");
  engine.Load(&trace);
  ASSERT_TRUE(engine.Reset(Config()).ok());
  const Vpn image = PageOf(kImageBase);
  EXPECT_TRUE(engine.AllPresent(0, image, image + Pages{10}));
  EXPECT_FALSE(engine.AllPresent(0, image, image + Pages{11}));
  EXPECT_TRUE(engine.ObservePage(0, image).present);
  EXPECT_TRUE(engine.ObservePage(0, image).unseen);
}

TEST(TraceEngineTest, HasCountersWhereTheTraceHasThem) {
  Trace trace = TwoStepsTraced();
  trace.steps[0].counters.push_back({wire::CounterName::kNrMlock, 0, -3});
  TraceEngine engine("guest:6.1");
  engine.Load(&trace);
  ASSERT_TRUE(engine.Reset(Config()).ok());
  int64_t value = 0;
  EXPECT_EQ(engine.Counter("nr_mlock", &value).code(),
            absl::StatusCode::kUnavailable);
  engine.Run(Step());
  ASSERT_TRUE(engine.Counter("nr_mlock", &value).ok());
  EXPECT_EQ(value, -3);
}

}  // namespace
}  // namespace lockstep
