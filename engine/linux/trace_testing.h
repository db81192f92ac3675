// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// For tests: traces recorded from an engine that runs here, and results as an
// executor would write them.

#ifndef LOCKSTEP_ENGINE_LINUX_TRACE_TESTING_H_
#define LOCKSTEP_ENGINE_LINUX_TRACE_TESTING_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "engine/engine.h"
#include "engine/linux/trace.h"
#include "engine/linux/wire.h"
#include "engine/program.h"
#include "engine/units.h"

namespace lockstep {

// What the host cannot run: an environment action, a step with interleavings, a
// call that goes on over holes and could reach the image.
inline bool NeedsTheModel(const Step& step) {
  if (IsEnvironment(step.op) || step.during_count != 0) return true;
  const bool raw = step.addr.base == Address::Base::kRaw ||
                   step.new_addr.base == Address::Base::kRaw;
  return raw && (step.op == Op::kMunmap || step.op == Op::kMmap ||
                 step.op == Op::kMremap || step.op == Op::kMadvise ||
                 step.op == Op::kMsync || step.op == Op::kShmat);
}

inline TracedTask::Bitmaps RecordPages(const Engine& engine, int task,
                                       uint64_t base, uint64_t pages) {
  TracedTask::Bitmaps bitmaps;
  const std::vector<uint64_t> none(wire::BitmapWords(pages));
  bitmaps.present = bitmaps.mlocked = bitmaps.file_or_shared = bitmaps.zero =
      bitmaps.guard = none;
  for (uint64_t i = 0; i < pages; ++i) {
    const PageState page = engine.ObservePage(task, PageOf(base) + Pages{i});
    const uint64_t bit = uint64_t{1} << i % 64;
    if (page.guard) bitmaps.guard[i / 64] |= bit;
    if (!page.present) continue;
    bitmaps.present[i / 64] |= bit;
    if (page.mlocked) bitmaps.mlocked[i / 64] |= bit;
    if (page.zero_page) bitmaps.zero[i / 64] |= bit;
    if (!page.anonymous && !page.zero_page) {
      bitmaps.file_or_shared[i / 64] |= bit;
    }
  }
  return bitmaps;
}

inline TracedStep RecordStep(const Engine& engine, const Config& config,
                             const Outcome& outcome) {
  TracedStep step;
  step.outcome = outcome;
  for (int task = 0; task < kTaskSlots; ++task) {
    TracedTask& traced = step.tasks[task];
    engine.Observe(task, &traced.state);
    if (!traced.state.exists) continue;
    traced.state.map_count = 0;  // a real kernel's is not looked at
    traced.arena = RecordPages(engine, task, kArenaBase, config.arena_pages);
    traced.heap = RecordPages(engine, task, kHeapBase, wire::kHeapPages);
  }
  for (int slot = 0; slot < kShmSlots; ++slot) {
    step.shm[slot] = engine.ObserveShm(slot);
  }
  for (int uid = 0; uid < kUsers; ++uid) {
    step.locked_shm[uid] = engine.LockedShm(uid);
  }
  for (int slot = 0; slot < kFileSlots; ++slot) {
    step.file_size[slot] = engine.FileSize(slot);
  }
  return step;
}

// What the engine does with the program, as if it were a real kernel whose
// executor has an image of that size. REQUIRES: the engine accepts the config.
inline Trace RecordTrace(const Program& program, Engine* engine,
                         uint32_t sees = wire::kSeesPageFlags |
                                         wire::kSeesOnfault |
                                         wire::kSeesGuards) {
  Trace trace;
  trace.sees = sees;
  trace.image_lockable = Pages{program.config.image_lockable_pages};
  trace.image_other = Pages{program.config.image_pages};
  if (!engine->Reset(program.config).ok()) {
    trace.end = wire::End::kRefused;
    return trace;
  }
  trace.start = RecordStep(*engine, program.config, Outcome::Ok());
  for (const Step& step : program.steps) {
    const Outcome outcome =
        NeedsTheModel(step) ? Outcome::Unsupported() : engine->Run(step);
    trace.steps.push_back(RecordStep(*engine, program.config, outcome));
  }
  return trace;
}

// ---- A result buffer ----

class ResultBytes {
 public:
  explicit ResultBytes(absl::Span<const Trace> traces) {
    wire::ResultHeader header = {};
    header.magic = wire::kMagic;
    header.programs = static_cast<uint32_t>(traces.size());
    Append(header);
    for (size_t i = 0; i < traces.size(); ++i) AppendTrace(traces[i], i);
    header.bytes = bytes_.size();
    std::memcpy(bytes_.data(), &header, sizeof header);
  }
  const std::string& bytes() const { return bytes_; }

 private:
  template <typename T>
  void Append(const T& value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }

  void AppendTrace(const Trace& trace, size_t index) {
    wire::ProgramResult result = {};
    result.index = static_cast<uint32_t>(index);
    result.end = trace.end;
    result.steps = static_cast<uint32_t>(trace.steps.size());
    result.signal = trace.signal;
    result.image_lockable_pages = trace.image_lockable.n;
    result.image_other_pages = trace.image_other.n;
    result.sees = trace.sees;
    const size_t at = bytes_.size();
    Append(result);
    for (const TracedStep& step : trace.steps) AppendStep(trace, step);
    result.bytes = bytes_.size() - at;
    std::memcpy(bytes_.data() + at, &result, sizeof result);
  }

  void AppendStep(const Trace& trace, const TracedStep& step) {
    wire::StepResult result = {};
    result.kind = static_cast<uint8_t>(step.outcome.kind);
    result.value = step.outcome.value;
    for (const TracedTask& task : step.tasks) result.tasks += task.state.exists;
    for (const ShmState& segment : step.shm) result.shms += segment.exists;
    result.counters = static_cast<uint8_t>(step.counters.size());
    Append(result);
    for (const wire::CounterRecord& counter : step.counters) Append(counter);
    for (int slot = 0; slot < kShmSlots; ++slot) {
      const ShmState& segment = step.shm[slot];
      if (!segment.exists) continue;
      wire::ShmRecord record = {};
      record.slot = static_cast<uint8_t>(slot);
      record.exists = 1;
      record.locked = segment.locked;
      record.removed = segment.removed;
      record.hugetlb = segment.hugetlb;
      record.owner = segment.owner;
      record.size = segment.size;
      Append(record);
    }
    for (int slot = 0; slot < kTaskSlots; ++slot) {
      if (step.tasks[slot].state.exists) {
        AppendTask(trace, step, slot);
      }
    }
  }

  // The executor's number of an address space: its lowest task.
  static uint8_t LowestTask(const TracedStep& step, int slot) {
    uint8_t lowest = 0;
    while (!step.tasks[lowest].state.exists ||
           step.tasks[lowest].state.mm != step.tasks[slot].state.mm) {
      ++lowest;
    }
    return lowest;
  }

  void AppendTask(const Trace& trace, const TracedStep& step, int slot) {
    const TracedTask& task = step.tasks[slot];
    const TaskState& state = task.state;
    const Vpn image = PageOf(kImageBase);
    const Vpn image_end = image + trace.image_lockable;
    wire::TaskRecord record = {};
    record.task = static_cast<uint8_t>(slot);
    record.cap_ipc_lock = state.cap_ipc_lock;
    record.uid = state.uid;
    record.mm = LowestTask(step, slot);
    record.future_locked = state.future_locked;
    record.future_onfault = state.future_onfault;
    record.heap_pages = wire::kHeapPages;
    record.locked_vm = state.locked_vm.n;
    record.total_vm = state.total_vm.n;
    record.memlock_limit = state.memlock_limit;
    record.brk = state.brk - kHeapBase;
    std::vector<wire::RangeRecord> ranges;
    for (const Range& range : state.ranges) {
      if (range.start >= image && range.end <= image_end) {
        if (range.Has(kRangeLocked)) {
          record.image_locked += (range.end - range.start).n;
        }
        continue;
      }
      wire::RangeRecord piece = {};
      piece.start = range.start.n;
      piece.end = range.end.n;
      piece.eof = range.eof.n;
      piece.bits = range.bits;
      ranges.push_back(piece);
    }
    record.ranges = static_cast<uint16_t>(ranges.size());
    Append(record);
    for (const wire::RangeRecord& range : ranges) Append(range);
    for (const TracedTask::Bitmaps* bitmaps : {&task.arena, &task.heap}) {
      for (const std::vector<uint64_t>* words :
           {&bitmaps->present, &bitmaps->mlocked, &bitmaps->file_or_shared,
            &bitmaps->zero, &bitmaps->guard}) {
        for (uint64_t word : *words) Append(word);
      }
    }
  }

  std::string bytes_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_LINUX_TRACE_TESTING_H_
