// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Trace: what a real kernel did with a program, step by step; and TraceEngine,
// which plays a trace back as an Engine. Real kernels run whole programs in
// batches; the properties look at them one step at a time.

#ifndef LOCKSTEP_ENGINE_LINUX_TRACE_H_
#define LOCKSTEP_ENGINE_LINUX_TRACE_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/engine.h"
#include "engine/linux/wire.h"
#include "engine/outcome.h"
#include "engine/program.h"
#include "engine/step.h"

namespace lockstep {

// One task after one step, with its pages.
struct TracedTask {
  TaskState state;
  // Pages by BitmapWords: bit i is page i of the arena, or of the heap.
  struct Bitmaps {
    std::vector<uint64_t> present, mlocked, file_or_shared, zero, guard;
  };
  Bitmaps arena, heap;
};

struct TracedStep {
  Outcome outcome;
  // The tasks after the step; those that do not exist have exists == false.
  std::array<TracedTask, kTaskSlots> tasks;
  std::array<ShmState, kShmSlots> shm;
  std::array<Pages, kUsers> locked_shm;          // known, from shm
  std::array<uint64_t, kFileSlots> file_size{};  // known
  std::vector<wire::CounterRecord> counters;     // empty where not exact
  StepEvents events;                             // what the executor knows
};

struct Trace {
  wire::End end = wire::End::kCompleted;
  // Of the last process when end is kKilled; 0 otherwise.
  int signal = 0;
  // What the console said when a guest went down with the program.
  std::string console;
  uint32_t sees = 0;  // bits of wire::Sees
  Pages image_lockable, image_other;
  TracedStep start;               // before the first step
  std::vector<TracedStep> steps;  // that came to their end
};

// The programs as one batch. InvalidArgument, naming the program's place, if
// one cannot be sent (an arena over wire::kMaxArenaPages).
absl::StatusOr<std::string> EncodeBatch(absl::Span<const Program> programs,
                                        wire::Look look, wire::Mode mode,
                                        uint32_t step_limit_ms);

// The traces of a result buffer, in the batch's order; fewer than `programs` if
// the buffer was full. `look` is what the batch asked for. DataLoss, with what
// and where, if the bytes are not what an executor writes: they come from a
// process that ran a stranger's program.
//
// Not in the buffer, but known from the program and the outcomes: the state
// before the first step, file sizes, who is charged for SHM_LOCK, whether the
// image is locked on fault, numbers of address spaces that stay with them.
absl::StatusOr<std::vector<Trace>> DecodeResult(
    absl::Span<const Program> programs, wire::Look look,
    absl::string_view bytes);

// Plays traces back. Steps after the trace's end are Unsupported.
class TraceEngine : public Engine {
 public:
  // `name` is of the engine that made the traces: "host", "guest:6.1".
  explicit TraceEngine(std::string name) : name_(std::move(name)) {}

  // The trace to play; it outlives its playing. Reset starts it.
  void Load(const Trace* trace) { trace_ = trace; }

  absl::string_view name() const override { return name_; }
  // FailedPrecondition without a trace.
  absl::Status Reset(const Config& config) override;
  // The next step's outcome. The step is not looked at.
  Outcome Run(const Step& step) override;
  void Observe(int task, TaskState* state) const override;
  uint32_t ChangedTasks() const override;
  PageState ObservePage(int task, Vpn page) const override;
  bool AllPresent(int task, Vpn start, Vpn end) const override;
  bool AnyGuard(int task, Vpn start, Vpn end) const override;
  bool SeesMlocked() const override;
  ShmState ObserveShm(int slot) const override;
  Pages LockedShm(int uid) const override;
  uint64_t FileSize(int slot) const override;
  StepEvents Events() const override;
  // Unavailable where the trace has no exact counters.
  absl::Status Counter(absl::string_view name, int64_t* value) const override;

 private:
  const TracedStep& now() const;

  std::string name_;
  const Trace* trace_ = nullptr;
  size_t next_ = 0;  // steps played
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_LINUX_TRACE_H_
