// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/executor/supervisor.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "engine/linux/executor/conductor.h"
#include "engine/linux/executor/control.h"
#include "engine/linux/executor/processes.h"
#include "engine/linux/executor/raw_syscall.h"
#include "engine/linux/executor/result_buffer.h"
#include "engine/linux/executor/session.h"
#include "engine/linux/wire.h"
#include "engine/step.h"

namespace lockstep::executor {
namespace {

constinit Processes processes;

// A program in the batch.
struct ProgramView {
  const wire::ProgramHeader* header;
  const Step* steps;
  size_t bytes() const { return sizeof *header + header->steps * sizeof(Step); }
  const char* begin() const { return reinterpret_cast<const char*>(header); }
};

ProgramView ViewAt(const char* bytes) {
  const auto* header = reinterpret_cast<const wire::ProgramHeader*>(bytes);
  return {header, reinterpret_cast<const Step*>(header + 1)};
}

bool ValidAddress(const Address& address) {
  return address.base <= Address::Base::kRaw;
}

// The bytes of the step are a Step. What it says need not make sense.
bool ValidStep(const Step& step) {
  bool valid = static_cast<int>(step.op) < kOpCount &&
               step.during_count <= kMaxDuring && ValidAddress(step.addr) &&
               ValidAddress(step.new_addr);
  for (const During& during : step.during) {
    valid = valid && ValidAddress(during.addr) &&
            static_cast<int>(during.op) < kOpCount &&
            static_cast<int>(during.point) < kPointCount;
  }
  return valid;
}

bool ValidProgram(const char* at, size_t bytes) {
  if (bytes < sizeof(wire::ProgramHeader)) return false;
  const ProgramView program = ViewAt(at);
  const wire::ProgramHeader& header = *program.header;
  const size_t room = bytes - sizeof header;
  if (header.arena_pages > wire::kMaxArenaPages || header.uid >= kUsers ||
      header.steps > room / sizeof(Step)) {
    return false;
  }
  for (uint32_t i = 0; i < header.steps; ++i) {
    if (!ValidStep(program.steps[i])) return false;
  }
  return true;
}

bool ValidBatch(const char* batch, size_t bytes) {
  if (bytes < sizeof(wire::BatchHeader)) return false;
  const auto* header = reinterpret_cast<const wire::BatchHeader*>(batch);
  if (header->magic != wire::kMagic || header->bytes != bytes ||
      header->look > wire::Look::kPages ||
      header->mode > wire::Mode::kProcessPerProgram ||
      header->step_limit_ms == 0) {
    return false;
  }
  size_t at = sizeof *header;
  for (uint32_t i = 0; i < header->programs; ++i) {
    if (!ValidProgram(batch + at, bytes - at)) return false;
    at += ViewAt(batch + at).bytes();
  }
  return at == bytes;
}

// fork, exec and exit make other processes. A long program does not fit the
// worker's window.
bool NeedsConductor(const ProgramView& program) {
  if (program.bytes() > kWindowIn) return true;
  for (uint32_t i = 0; i < program.header->steps; ++i) {
    const Op op = program.steps[i].op;
    if (op == Op::kFork || op == Op::kExec || op == Op::kExit) return true;
  }
  return false;
}

class BatchRun {
 public:
  BatchRun(const char* batch, ResultBuffer* result)
      : header_(*reinterpret_cast<const wire::BatchHeader*>(batch)),
        next_(batch + sizeof(wire::BatchHeader)),
        control_(TheControl()),
        result_(result) {}

  // False: no process can be made; `error` says why.
  bool Run(int* error);

 private:
  bool alone() const { return header_.mode == wire::Mode::kProcessPerProgram; }
  void RunConducted();
  void RunInWorker();
  // Puts programs into the window, as many as fit and the worker may run.
  void FillWindow();
  // Moves what the worker has written into the result.
  bool DrainWindow();
  bool DrainRecord(const char** next, const char* end);
  void EnsureWorker();
  void DismissWorker();
  // The worker is gone or has to go; the program that it was at ends so.
  void LoseWorker(Waited why);
  void CloseLost(Fate fate);
  void Advance() {
    next_ += ViewAt(next_).bytes();
    ++index_;
  }

  const wire::BatchHeader& header_;
  const char* next_;  // program
  uint32_t index_ = 0;
  uint32_t window_end_ = 0;  // index behind the last program in the window
  Control* control_;
  ResultBuffer* result_;
  bool has_worker_ = false;
};

void BatchRun::RunConducted() {
  const ProgramView program = ViewAt(next_);
  Conduct(*program.header, program.steps, index_, header_.look, &processes,
          result_);
  // A program that was brought down took the worker with it.
  if (!processes.IsUp()) has_worker_ = false;
  Advance();
}

void BatchRun::CloseLost(Fate fate) {
  if (result_->full()) return;
  if (result_->program() == nullptr && !result_->Begin(index_)) return;
  result_->Close(fate.end, fate.signal);
  Advance();
}

void BatchRun::LoseWorker(Waited why) {
  const Fate fate = processes.BringDown(why);
  has_worker_ = false;
  // All that it wrote before is whole.
  if (!DrainWindow()) return;
  // It may have come to the end of its programs first.
  if (index_ < window_end_) CloseLost(fate);
}

void BatchRun::EnsureWorker() {
  if (has_worker_) return;
  control_->dirty = 0;
  if (Waited waited = processes.Make(Spawn::kWorker);
      waited != Waited::kAnswer) {
    control_->writer.next = control_->out;
    window_end_ = index_ + 1;
    return LoseWorker(waited);
  }
  if (control_->spawn_error != 0) {
    return CloseLost({wire::End::kBroken, control_->spawn_error});
  }
  has_worker_ = true;
}

void BatchRun::DismissWorker() {
  if (!has_worker_) return;
  has_worker_ = false;
  if (processes.AskToExit(kWorkerSlot, Command::kQuit) != Waited::kAnswer) {
    processes.KillAll();
  }
}

void BatchRun::FillWindow() {
  control_->look = header_.look;
  control_->counters_each_step = alone() ? 1 : 0;
  control_->writer = {control_->out, control_->out + kWindowOut};
  control_->first_program = index_;
  control_->programs = 0;
  size_t used = 0;
  const char* at = next_;
  for (uint32_t i = index_; i < header_.programs; ++i) {
    const ProgramView program = ViewAt(at);
    if (program.bytes() > kWindowIn - used || NeedsConductor(program) ||
        (control_->programs > 0 && alone())) {
      break;
    }
    // By itself if need be, and then in a worker that runs nothing else.
    if (NeedsOwnProcess(program.steps, program.header->steps) && !alone()) {
      break;
    }
    std::memcpy(control_->in + used, program.begin(), program.bytes());
    used += program.bytes();
    at += program.bytes();
    ++control_->programs;
  }
  window_end_ = index_ + control_->programs;
}

bool BatchRun::DrainRecord(const char** next, const char* end) {
  wire::ProgramResult record;
  if (static_cast<size_t>(end - *next) < sizeof record) return false;
  std::memcpy(&record, *next, sizeof record);
  if (record.bytes < sizeof record || record.bytes % 8 != 0 ||
      record.bytes > static_cast<size_t>(end - *next) ||
      record.index != index_ || index_ >= window_end_) {
    return false;
  }
  if (result_->program() == nullptr) {
    if (!result_->Begin(index_)) return false;
    result_->program()->image_lockable_pages = record.image_lockable_pages;
    result_->program()->image_other_pages = record.image_other_pages;
    result_->program()->sees = record.sees;
  }
  if (!result_->Append(*next + sizeof record, record.bytes - sizeof record)) {
    return false;
  }
  result_->Commit(record.steps);
  *next += record.bytes;
  if (record.end == kOpen) return true;
  result_->Close(record.end, record.signal);
  Advance();
  return true;
}

bool BatchRun::DrainWindow() {
  const char* next = control_->out;
  const char* end = control_->writer.next;
  bool sane = end >= next && end <= next + kWindowOut;
  while (sane && next < end) {
    // Behind an open record there may be a piece of a step.
    sane = DrainRecord(&next, end);
    if (sane && result_->program() != nullptr) break;
  }
  control_->writer = {control_->out, control_->out + kWindowOut};
  if (sane || result_->full()) return !result_->full();
  // Not what the worker writes unless it went mad.
  if (has_worker_) processes.KillAll();
  has_worker_ = false;
  processes.RemoveSegments();
  CloseLost({wire::End::kBroken, EBADMSG});
  return false;
}

void BatchRun::RunInWorker() {
  const uint32_t before = index_;
  EnsureWorker();
  if (!has_worker_ || index_ != before) return;
  FillWindow();
  Command command = Command::kRunWindow;
  while (true) {
    if (Waited waited = processes.Ask(kWorkerSlot, command);
        waited != Waited::kAnswer) {
      return LoseWorker(waited);
    }
    const bool needs_room = control_->answer == Answer::kNeedsRoom;
    if (!DrainWindow()) {
      if (has_worker_) processes.KillAll();
      has_worker_ = false;
      return;
    }
    if (!needs_room) break;
    command = Command::kGoOn;
  }
  if (control_->dirty != 0 || alone()) DismissWorker();
}

bool BatchRun::Run(int* error) {
  processes.SetStepLimit(header_.step_limit_ms);
  while (index_ < header_.programs && !result_->full()) {
    if (*error = processes.Start(); *error != 0) return false;
    const ProgramView program = ViewAt(next_);
    if (NeedsConductor(program) ||
        (!alone() && NeedsOwnProcess(program.steps, program.header->steps))) {
      RunConducted();
    } else {
      RunInWorker();
    }
    // One that does not fit into an empty buffer never will.
    if (result_->full() && result_->empty()) return false;
  }
  DismissWorker();
  return true;
}

}  // namespace

int64_t RunBatch(const char* batch, size_t batch_bytes, char* result,
                 size_t result_bytes) {
  if (!ValidBatch(batch, batch_bytes)) return -EINVAL;
  if (result_bytes < sizeof(wire::ResultHeader)) return -ENOSPC;
  RawSyscall(SYS_madvise, batch, (batch_bytes + 4095) & ~size_t{4095},
             MADV_DONTFORK);
  RawSyscall(SYS_madvise, result, result_bytes, MADV_DONTFORK);
  if (int error = processes.Start(); error != 0) return -error;
  uint64_t user_before = 0;
  uint64_t system_before = 0;
  processes.AddUsage(&user_before, &system_before);
  ResultBuffer buffer(result, result_bytes);
  int error = ENOSPC;
  if (!BatchRun(batch, &buffer).Run(&error)) return -error;
  uint64_t user = 0;
  uint64_t system = 0;
  processes.AddUsage(&user, &system);
  return static_cast<int64_t>(
      buffer.Finish(user - user_before, system - system_before));
}

void SetSupervisorOptions(const SupervisorOptions& options) {
  if (options.own_namespaces) processes.OwnNamespaces();
  processes.SetInterrupt(options.interrupted);
}

int StartProcesses() { return processes.Start(); }

int SandboxError() { return processes.sandbox_error(); }

void StopProcesses() {
  processes.KillAll();
  processes.RemoveSegments();
}

}  // namespace lockstep::executor
