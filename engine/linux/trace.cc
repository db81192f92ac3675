// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/trace.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/linux/wire.h"
#include "engine/range.h"
#include "engine/uapi.h"
#include "engine/units.h"

namespace lockstep {
namespace {

// ---- Encoding ----

template <typename T>
void Append(const T& value, std::string* bytes) {
  bytes->append(reinterpret_cast<const char*>(&value), sizeof value);
}

// ---- Decoding ----

// The highest bit of RangeBit, and every bit up to it.
constexpr uint32_t kAllRangeBits = uint32_t{kRangeShm} * 2 - 1;
constexpr uint32_t kAllSees = wire::kSeesPageFlags | wire::kSeesOnfault |
                              wire::kSeesCounters | wire::kSeesGuards |
                              wire::kHasProtectionKeys;
constexpr uint64_t kMaxImagePages = uint64_t{1} << 20;
// More than an address space has: sums of a few of them do not overflow.
constexpr uint64_t kMaxPages = uint64_t{1} << 40;
constexpr uint32_t kCounters =
    static_cast<uint32_t>(wire::CounterName::kUnevictablePgsStranded) + 1;
constexpr int64_t kMaxErrno = 4095;
constexpr int64_t kMaxSignal = 64;
constexpr uint32_t kImageBits =
    kRangeRead | kRangeWrite | kRangeMayWrite;  // as the model's

// By CounterName.
constexpr absl::string_view kCounterNames[] = {
    "nr_mlock",
    "nr_unevictable",
    "unevictable_pgs_culled",
    "unevictable_pgs_scanned",
    "unevictable_pgs_rescued",
    "unevictable_pgs_mlocked",
    "unevictable_pgs_munlocked",
    "unevictable_pgs_cleared",
    "unevictable_pgs_stranded",
};
static_assert(std::size(kCounterNames) == kCounters);

// Reads structs one after the other. The first that is missing or wrong ends
// the reading: everything after it is zero, and status() says what and where.
class Reader {
 public:
  explicit Reader(absl::string_view bytes) : bytes_(bytes) {}

  bool ok() const { return status_.ok(); }
  const absl::Status& status() const { return status_; }
  size_t at() const { return at_; }

  template <typename T>
  T Read(absl::string_view what) {
    T value = {};
    if (!ok()) return value;
    if (bytes_.size() - at_ < sizeof value) {
      Fail(absl::StrCat("expected a ", what, " of ", sizeof value,
                        " bytes, found ", bytes_.size() - at_));
      return value;
    }
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }

  // `value` must be at most `most`.
  uint64_t AtMost(absl::string_view what, uint64_t value, uint64_t most) {
    if (value <= most) return value;
    Fail(absl::StrCat(what, ": expected at most ", most, ", found ", value));
    return 0;
  }

  void Fail(absl::string_view problem) {
    if (!ok()) return;
    status_ = absl::DataLossError(
        absl::StrCat("executor's result, byte ", at_, place_, ": ", problem));
  }
  // " of program 3, step 5", for errors.
  void SetPlace(std::string place) { place_ = std::move(place); }
  // Nothing behind `end` belongs to what is read now.
  void LimitTo(size_t end) { bytes_ = bytes_.substr(0, end); }

 private:
  absl::string_view bytes_;
  size_t at_ = 0;
  std::string place_;
  absl::Status status_;
};

Outcome ReadOutcome(const wire::StepResult& result, Reader* reader) {
  Outcome outcome;
  outcome.kind = static_cast<Outcome::Kind>(reader->AtMost(
      "outcome", result.kind, uint64_t(Outcome::Kind::kUnsupported)));
  outcome.value = result.value;
  const int64_t most =
      outcome.kind == Outcome::Kind::kErrno ? kMaxErrno : kMaxSignal;
  switch (outcome.kind) {
    case Outcome::Kind::kValue:
      break;
    case Outcome::Kind::kErrno:
    case Outcome::Kind::kSignal:
      if (outcome.value < 1 || outcome.value > most) {
        reader->Fail(absl::StrCat("errno or signal: expected 1 to ", most,
                                  ", found ", outcome.value));
        outcome.value = 1;
      }
      break;
    case Outcome::Kind::kSkipped:
    case Outcome::Kind::kUnsupported:
      outcome.value = 0;
      break;
  }
  return outcome;
}

// What the trace of one program knows without being told.
struct Known {
  const Program& program;
  Pages image_lockable, image_other;
  // Who is charged for the segment; SHM_LOCK charges its caller.
  std::array<uint8_t, kShmSlots> mlock_user{};
  // The image was last locked by mlockall with MCL_ONFAULT, by task.
  std::array<bool, kTaskSlots> image_onfault{};
  uint32_t next_mm = 1;  // the number of the next new address space
};

// The image: `locked` pages of it from its start, then the others.
void AppendImage(const Known& known, Pages locked, bool onfault,
                 std::vector<Range>* ranges) {
  const Vpn start = PageOf(kImageBase);
  const Vpn middle = start + locked;
  const Vpn end = start + known.image_lockable;
  if (start < middle) {
    const uint32_t lock =
        kRangeLocked | (onfault ? uint32_t{kRangeLockOnFault} : 0);
    ranges->push_back({start, middle, kImageBits | lock, middle});
  }
  if (middle < end) ranges->push_back({middle, end, kImageBits, end});
}

std::vector<uint64_t> ReadBitmap(uint64_t pages, Reader* reader) {
  std::vector<uint64_t> words(wire::BitmapWords(pages));
  for (uint64_t& word : words) word = reader->Read<uint64_t>("bitmap word");
  const uint64_t tail = pages % 64;
  if (tail != 0 && (words.back() >> tail) != 0) {
    reader->Fail(absl::StrCat("a bitmap has bits behind its ", pages,
                              " pages: ", absl::Hex(words.back())));
  }
  return words;
}

TracedTask::Bitmaps ReadBitmaps(uint64_t pages, Reader* reader) {
  TracedTask::Bitmaps bitmaps;
  bitmaps.present = ReadBitmap(pages, reader);
  bitmaps.mlocked = ReadBitmap(pages, reader);
  bitmaps.file_or_shared = ReadBitmap(pages, reader);
  bitmaps.zero = ReadBitmap(pages, reader);
  bitmaps.guard = ReadBitmap(pages, reader);
  return bitmaps;
}

// Ranges stand by address, do not overlap and lie in user space, outside the
// image's place.
void ReadRange(const Known& known, std::vector<Range>* ranges, Reader* reader) {
  const auto record = reader->Read<wire::RangeRecord>("RangeRecord");
  if (!reader->ok()) return;
  const Vpn start{record.start};
  const Vpn end{record.end};
  const Vpn image = PageOf(kImageBase);
  const Vpn image_end = image + known.image_lockable;
  const Vpn least = ranges->empty() ? Vpn{} : ranges->back().end;
  if (start < least || start >= end || end > PageOf(kTaskSize) ||
      (start < image_end && end > image)) {
    return reader->Fail(absl::StrFormat(
        "expected a range of pages after 0x%x in user space and outside the "
        "image, found 0x%x to 0x%x",
        least.n, record.start, record.end));
  }
  if (record.eof < record.start || record.eof > record.end) {
    return reader->Fail(absl::StrFormat(
        "expected the end of the file in pages 0x%x to 0x%x, found 0x%x",
        record.start, record.end, record.eof));
  }
  if ((record.bits & ~kAllRangeBits) != 0) {
    return reader->Fail(absl::StrFormat(
        "expected range bits in 0x%x, found 0x%x", kAllRangeBits, record.bits));
  }
  ranges->push_back({start, end, record.bits, Vpn{record.eof}});
}

void ReadTask(const Known& known, wire::Look look, TracedStep* step,
              Reader* reader) {
  const auto record = reader->Read<wire::TaskRecord>("TaskRecord");
  const uint64_t slot = reader->AtMost("task", record.task, kTaskSlots - 1);
  TracedTask& task = step->tasks[slot];
  if (task.state.exists) {
    reader->Fail(absl::StrCat("task ", slot, " stands there twice"));
  }
  if (!reader->ok()) return;
  TaskState& state = task.state;
  state.exists = true;
  state.cap_ipc_lock = record.cap_ipc_lock != 0;
  state.uid =
      static_cast<uint8_t>(reader->AtMost("uid", record.uid, kUsers - 1));
  state.future_locked = record.future_locked != 0;
  state.future_onfault = record.future_onfault != 0;
  state.mm =
      static_cast<uint32_t>(reader->AtMost("mm", record.mm, kTaskSlots - 1));
  state.locked_vm = {reader->AtMost("locked_vm", record.locked_vm, kMaxPages)};
  state.total_vm = {reader->AtMost("total_vm", record.total_vm, kMaxPages)};
  state.memlock_limit = record.memlock_limit;
  state.brk = kHeapBase + reader->AtMost("brk", record.brk, kArenaBase);
  const Pages image_locked{reader->AtMost("locked pages of the image",
                                          record.image_locked,
                                          known.image_lockable.n)};
  AppendImage(known, image_locked, known.image_onfault[slot], &state.ranges);
  std::vector<Range> ranges;
  for (int i = 0; i < record.ranges && reader->ok(); ++i) {
    ReadRange(known, &ranges, reader);
  }
  state.ranges.insert(state.ranges.end(), ranges.begin(), ranges.end());
  std::sort(state.ranges.begin(), state.ranges.end(),
            [](const Range& a, const Range& b) { return a.start < b.start; });
  if (look != wire::Look::kPages) return;
  task.arena = ReadBitmaps(known.program.config.arena_pages, reader);
  task.heap = ReadBitmaps(
      reader->AtMost("heap pages", record.heap_pages, wire::kHeapPages),
      reader);
}

void ReadShm(TracedStep* step, Reader* reader) {
  const auto record = reader->Read<wire::ShmRecord>("ShmRecord");
  const uint64_t slot = reader->AtMost("segment", record.slot, kShmSlots - 1);
  ShmState& segment = step->shm[slot];
  segment.exists = record.exists != 0;
  if (!segment.exists) return;
  segment.locked = record.locked != 0;
  segment.removed = record.removed != 0;
  segment.hugetlb = record.hugetlb != 0;
  segment.owner =
      static_cast<uint8_t>(reader->AtMost("owner", record.owner, kUsers - 1));
  segment.size =
      reader->AtMost("segment size", record.size, kMaxPages << kPageShift);
}

void ReadCounter(TracedStep* step, Reader* reader) {
  auto record = reader->Read<wire::CounterRecord>("CounterRecord");
  record.name = static_cast<wire::CounterName>(
      reader->AtMost("counter", uint64_t(record.name), kCounters - 1));
  step->counters.push_back(record);
}

// What mlockall, exec and fork do to the image's lock-on-fault, which is not in
// the records: a kernel need not show it.
void FollowImageOnfault(const Step& step, const Outcome& outcome,
                        const TracedStep& before, Known* known) {
  if (!outcome.ok()) return;
  const int task = step.task % kTaskSlots;
  auto& onfault = known->image_onfault;
  switch (step.op) {
    case Op::kMlockall:
      if ((step.flags & uapi::kMclCurrent) == 0) return;
      for (int other = 0; other < kTaskSlots; ++other) {
        const TaskState& state = before.tasks[other].state;
        if (state.exists && state.mm == before.tasks[task].state.mm) {
          onfault[other] = (step.flags & uapi::kMclOnfault) != 0;
        }
      }
      return;
    case Op::kExec:
      onfault[task] = false;
      return;
    case Op::kFork:
      onfault[step.slot % kTaskSlots] = step.value != 0 && onfault[task];
      return;
    default:
      return;
  }
}

// The executor tells which tasks share an address space; its numbers change as
// tasks come and go. Ours stay with the address space.
void NumberAddressSpaces(const Step& step, const TracedStep& before,
                         TracedStep* now, Known* known) {
  std::array<uint32_t, kTaskSlots> group{};
  for (int task = 0; task < kTaskSlots; ++task) {
    group[task] = now->tasks[task].state.mm;
  }
  std::array<std::optional<uint32_t>, kTaskSlots> number;  // by group
  for (int task = 0; task < kTaskSlots; ++task) {
    const bool fresh = step.op == Op::kExec && now->outcome.ok() &&
                       task == step.task % kTaskSlots;
    if (fresh || !now->tasks[task].state.exists ||
        !before.tasks[task].state.exists) {
      continue;
    }
    number[group[task]] = before.tasks[task].state.mm;
  }
  for (int task = 0; task < kTaskSlots; ++task) {
    TaskState& state = now->tasks[task].state;
    if (!state.exists) continue;
    std::optional<uint32_t>& mm = number[group[task]];
    if (!mm) mm = known->next_mm++;
    state.mm = *mm;
  }
}

// SHM_LOCK charges the caller's user, at the segment's size.
void FollowCharges(const Step& step, const TracedStep& before, TracedStep* now,
                   Known* known) {
  for (int slot = 0; slot < kShmSlots; ++slot) {
    const ShmState& segment = now->shm[slot];
    if (!segment.exists || !segment.locked) continue;
    if (!before.shm[slot].locked) {
      known->mlock_user[slot] = before.tasks[step.task % kTaskSlots].state.uid;
    }
    if (segment.hugetlb) continue;
    now->locked_shm[known->mlock_user[slot]] +=
        PagesOf(PageAlign(segment.size));
  }
}

void ReadStep(const Step& step, wire::Look look, const TracedStep& before,
              Known* known, TracedStep* now, Reader* reader) {
  const auto result = reader->Read<wire::StepResult>("StepResult");
  now->outcome = ReadOutcome(result, reader);
  const uint64_t flags =
      reader->AtMost("flags", result.flags,
                     wire::kStepUnsupported | wire::kStepAllocationFailed);
  now->events.allocation_failed = (flags & wire::kStepAllocationFailed) != 0;
  FollowImageOnfault(step, now->outcome, before, known);
  for (int i = 0; i < result.counters && reader->ok(); ++i) {
    ReadCounter(now, reader);
  }
  for (int i = 0; i < result.shms && reader->ok(); ++i) ReadShm(now, reader);
  for (int i = 0; i < result.tasks && reader->ok(); ++i) {
    ReadTask(*known, look, now, reader);
  }
  NumberAddressSpaces(step, before, now, known);
  FollowCharges(step, before, now, known);
  now->file_size = before.file_size;
  if (step.op == Op::kFtruncate && now->outcome.ok()) {
    now->file_size[step.slot % kFileSlots] = step.length;
  }
}

// The first task as every program finds it.
TracedStep StateAtStart(const Known& known) {
  const Config& config = known.program.config;
  TracedStep start;
  TracedTask& task = start.tasks[0];
  task.state.exists = true;
  task.state.cap_ipc_lock = config.cap_ipc_lock;
  task.state.uid = config.uid;
  task.state.memlock_limit = config.memlock_limit;
  task.state.brk = kHeapBase;
  task.state.total_vm = known.image_lockable + known.image_other;
  AppendImage(known, Pages{0}, false, &task.state.ranges);
  const std::vector<uint64_t> none(wire::BitmapWords(config.arena_pages));
  task.arena = {none, none, none, none, none};
  start.file_size.fill(config.file_size);
  return start;
}

void ReadTrace(const Program& program, size_t index, wire::Look look,
               Trace* trace, Reader* reader) {
  const size_t begin = reader->at();
  const auto result = reader->Read<wire::ProgramResult>("ProgramResult");
  if (reader->ok() && result.index != index) {
    reader->Fail(absl::StrCat("expected the result of program ", index,
                              ", found ", result.index));
  }
  trace->end = static_cast<wire::End>(reader->AtMost(
      "end", uint64_t(result.end), uint64_t(wire::End::kBroken)));
  trace->signal = result.signal;
  trace->sees = result.sees & kAllSees;
  trace->image_lockable = {reader->AtMost("lockable pages of the image",
                                          result.image_lockable_pages,
                                          kMaxImagePages)};
  trace->image_other = {reader->AtMost("other pages of the image",
                                       result.image_other_pages, kMaxPages)};
  const uint64_t steps =
      reader->AtMost("steps", result.steps, program.steps.size());
  if (trace->end == wire::End::kCompleted && steps != program.steps.size()) {
    reader->Fail(absl::StrCat("a completed program has ", program.steps.size(),
                              " steps, found ", steps));
  }
  Known known{program, trace->image_lockable, trace->image_other};
  trace->start = StateAtStart(known);
  const std::string place = absl::StrCat(" in program ", index);
  for (uint64_t i = 0; i < steps && reader->ok(); ++i) {
    reader->SetPlace(absl::StrCat(place, ", step ", i));
    TracedStep now;
    ReadStep(program.steps[i], look,
             i == 0 ? trace->start : trace->steps.back(), &known, &now, reader);
    trace->steps.push_back(std::move(now));
  }
  reader->SetPlace(place);
  if (reader->ok() && reader->at() - begin != result.bytes) {
    reader->Fail(absl::StrCat("expected ", result.bytes,
                              " bytes of the program, found ",
                              reader->at() - begin));
  }
}

// ---- Playing ----

bool SameState(const TaskState& a, const TaskState& b) {
  return a.exists == b.exists && a.cap_ipc_lock == b.cap_ipc_lock &&
         a.uid == b.uid && a.future_locked == b.future_locked &&
         a.future_onfault == b.future_onfault && a.mm == b.mm &&
         a.locked_vm == b.locked_vm && a.total_vm == b.total_vm &&
         a.memlock_limit == b.memlock_limit && a.brk == b.brk &&
         a.ranges == b.ranges;
}

bool Bit(const std::vector<uint64_t>& words, uint64_t page) {
  return page / 64 < words.size() && (words[page / 64] >> page % 64 & 1) != 0;
}

// Whether the page is one of `count` from `base`, and which.
bool IndexIn(Vpn page, uint64_t base, uint64_t count, uint64_t* index) {
  *index = page.n - PageOf(base).n;
  return *index < count;
}

}  // namespace

absl::StatusOr<std::string> EncodeBatch(absl::Span<const Program> programs,
                                        wire::Look look, wire::Mode mode,
                                        uint32_t step_limit_ms) {
  std::string bytes;
  wire::BatchHeader header = {};
  header.magic = wire::kMagic;
  header.programs = static_cast<uint32_t>(programs.size());
  header.look = look;
  header.mode = mode;
  header.step_limit_ms = step_limit_ms;
  header.bytes = sizeof header;
  for (const Program& program : programs) {
    header.bytes +=
        sizeof(wire::ProgramHeader) + program.steps.size() * sizeof(Step);
  }
  bytes.reserve(header.bytes);
  Append(header, &bytes);
  for (size_t i = 0; i < programs.size(); ++i) {
    const Config& config = programs[i].config;
    if (config.arena_pages > wire::kMaxArenaPages) {
      return absl::InvalidArgumentError(
          absl::StrCat("program ", i, ": a real kernel is given at most ",
                       wire::kMaxArenaPages, " arena pages, the program has ",
                       config.arena_pages));
    }
    wire::ProgramHeader program = {};
    program.arena_pages = config.arena_pages;
    program.memlock_limit = config.memlock_limit;
    program.file_size = config.file_size;
    program.steps = static_cast<uint32_t>(programs[i].steps.size());
    program.cap_ipc_lock = config.cap_ipc_lock ? 1 : 0;
    program.uid = config.uid;
    program.transparent_hugepage =
        config.transparent_hugepage != TransparentHugepage::kNever ? 1 : 0;
    program.nr_hugepages = config.nr_hugepages;
    Append(program, &bytes);
    for (const Step& step : programs[i].steps) Append(step, &bytes);
  }
  return bytes;
}

absl::StatusOr<std::vector<Trace>> DecodeResult(
    absl::Span<const Program> programs, wire::Look look,
    absl::string_view bytes) {
  Reader reader(bytes);
  const auto header = reader.Read<wire::ResultHeader>("ResultHeader");
  if (reader.ok() && header.magic != wire::kMagic) {
    reader.Fail(absl::StrFormat("expected the magic number 0x%x, found 0x%x",
                                wire::kMagic, header.magic));
  }
  reader.LimitTo(
      reader.AtMost("bytes of the result", header.bytes, bytes.size()));
  const uint64_t count =
      reader.AtMost("programs", header.programs, programs.size());
  std::vector<Trace> traces;
  for (size_t i = 0; i < count && reader.ok(); ++i) {
    reader.SetPlace(absl::StrCat(" in program ", i));
    ReadTrace(programs[i], i, look, &traces.emplace_back(), &reader);
  }
  reader.SetPlace("");
  if (reader.ok() && reader.at() != header.bytes) {
    reader.Fail(absl::StrCat("expected ", header.bytes, " bytes in all, found ",
                             reader.at()));
  }
  if (!reader.ok()) return reader.status();
  return traces;
}

const TracedStep& TraceEngine::now() const {
  const size_t played = std::min(next_, trace_->steps.size());
  return played == 0 ? trace_->start : trace_->steps[played - 1];
}

absl::Status TraceEngine::Reset(const Config&) {
  if (trace_ == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("engine ", name_, ": no trace is loaded"));
  }
  next_ = 0;
  return absl::OkStatus();
}

Outcome TraceEngine::Run(const Step&) {
  ++next_;
  return next_ <= trace_->steps.size() ? now().outcome : Outcome::Unsupported();
}

void TraceEngine::Observe(int task, TaskState* state) const {
  *state = now().tasks[task].state;
}

uint32_t TraceEngine::ChangedTasks() const {
  if (next_ == 0 || next_ > trace_->steps.size()) return 0;
  const TracedStep& before =
      next_ == 1 ? trace_->start : trace_->steps[next_ - 2];
  uint32_t changed = 0;
  for (int task = 0; task < kTaskSlots; ++task) {
    if (!SameState(before.tasks[task].state, now().tasks[task].state)) {
      changed |= 1u << task;
    }
  }
  return changed;
}

PageState TraceEngine::ObservePage(int slot, Vpn page) const {
  const TracedTask& task = now().tasks[slot];
  const std::vector<Range>& ranges = task.state.ranges;
  auto range = std::partition_point(
      ranges.begin(), ranges.end(),
      [page](const Range& candidate) { return candidate.end <= page; });
  if (range == ranges.end() || range->start > page) return {};
  const TracedTask::Bitmaps* bitmaps = &task.arena;
  uint64_t index;
  if (!IndexIn(page, kArenaBase, task.arena.present.size() * 64, &index)) {
    bitmaps = &task.heap;
    if (!IndexIn(page, kHeapBase, task.heap.present.size() * 64, &index)) {
      return {.present = true, .unseen = true};
    }
  }
  PageState state;
  state.guard = Bit(bitmaps->guard, index);
  state.present = Bit(bitmaps->present, index);
  state.mlocked = Bit(bitmaps->mlocked, index);
  state.zero_page = Bit(bitmaps->zero, index);
  state.anonymous =
      state.present && !state.zero_page && !Bit(bitmaps->file_or_shared, index);
  return state;
}

bool TraceEngine::AllPresent(int task, Vpn start, Vpn end) const {
  const std::vector<Range>& ranges = now().tasks[task].state.ranges;
  auto range = std::partition_point(
      ranges.begin(), ranges.end(),
      [start](const Range& candidate) { return candidate.end <= start; });
  while (start < end) {
    if (range == ranges.end() || range->start > start) return false;
    // Only the arena and the heap are seen page by page.
    const uint64_t bases[] = {kHeapBase, kArenaBase};
    const Vpn until = std::min(range->end, end);
    bool seen = false;
    for (uint64_t base : bases) {
      const Vpn first = PageOf(base);
      seen = seen ||
             (start < first + Pages{wire::kMaxArenaPages} && until > first);
    }
    if (seen) {
      for (Vpn page = start; page < until; ++page) {
        if (!ObservePage(task, page).present) return false;
      }
    }
    start = until;
    ++range;
  }
  return true;
}

bool TraceEngine::AnyGuard(int slot, Vpn start, Vpn end) const {
  const TracedTask& task = now().tasks[slot];
  const auto any = [start, end](const std::vector<uint64_t>& guard,
                                uint64_t base) {
    const Vpn first = PageOf(base);
    const Vpn last = first + Pages{guard.size() * 64};
    for (Vpn page = std::max(start, first); page < std::min(end, last);
         ++page) {
      if (Bit(guard, (page - first).n)) return true;
    }
    return false;
  };
  return any(task.arena.guard, kArenaBase) || any(task.heap.guard, kHeapBase);
}

bool TraceEngine::SeesMlocked() const {
  return (trace_->sees & wire::kSeesPageFlags) != 0;
}

ShmState TraceEngine::ObserveShm(int slot) const { return now().shm[slot]; }

Pages TraceEngine::LockedShm(int uid) const { return now().locked_shm[uid]; }

uint64_t TraceEngine::FileSize(int slot) const { return now().file_size[slot]; }

StepEvents TraceEngine::Events() const { return now().events; }

absl::Status TraceEngine::Counter(absl::string_view name,
                                  int64_t* value) const {
  for (const wire::CounterRecord& counter : now().counters) {
    if (kCounterNames[static_cast<uint32_t>(counter.name)] != name) continue;
    *value = counter.value;
    return absl::OkStatus();
  }
  return absl::UnavailableError(absl::StrCat(
      "engine ", name_, " has no exact counter \"", name, "\" here"));
}

}  // namespace lockstep
