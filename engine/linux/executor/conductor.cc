// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/executor/conductor.h"

#include <cerrno>
#include <cstring>

#include "engine/linux/executor/control.h"
#include "engine/linux/executor/guest_actions.h"
#include "engine/linux/executor/session.h"
#include "engine/outcome.h"

namespace lockstep::executor {
namespace {

class Conductor {
 public:
  Conductor(wire::Look look, Processes* processes, ResultBuffer* result)
      : look_(look),
        control_(TheControl()),
        processes_(processes),
        result_(result) {}

  void Run(const wire::ProgramHeader& header, const Step* steps);

 private:
  bool Begin(const wire::ProgramHeader& header);
  bool RunStep(const Step& step);
  // Runs the step in its task. False: it did not come to its end.
  bool Call(const Step& step, Outcome* outcome);
  bool Observe(const Outcome& outcome);
  // What the window holds goes into the result.
  bool Drain();
  void Forked(const Step& step);
  void ShareFuture(int slot);
  void NameMms();
  void CheckLooks();
  bool Lost(Waited why);

  SharedState::TaskSlot& task(int slot) { return control_->shared.tasks[slot]; }

  wire::Look look_;
  Control* control_;
  Processes* processes_;
  ResultBuffer* result_;
  // Which address space a task is in: equal numbers share one.
  uint32_t mm_[kTaskSlots] = {};
  uint32_t mms_ = 0;    // numbers given so far
  bool ended_ = false;  // its end is in the result
};

bool Conductor::Lost(Waited why) {
  const Fate fate = processes_->BringDown(why);
  ended_ = true;
  if (!result_->full()) result_->Close(fate.end, fate.signal);
  return false;
}

bool Conductor::Drain() {
  Writer& writer = control_->writer;
  char* begin = control_->out;
  // Tasks write the pointer too.
  const bool sane = writer.next >= begin && writer.next <= begin + kWindowOut;
  const bool ok = sane && result_->Append(begin, writer.next - begin);
  writer = {begin, begin + kWindowOut};
  return ok;
}

bool Conductor::Begin(const wire::ProgramHeader& header) {
  control_->look = look_;
  control_->writer = {control_->out, control_->out + kWindowOut};
  std::memcpy(control_->in, &header, sizeof header);
  if (Waited waited = processes_->Make(Spawn::kFirstTask);
      waited != Waited::kAnswer) {
    return Lost(waited);
  }
  if (control_->spawn_error != 0) {
    ended_ = true;
    result_->Close(wire::End::kBroken, control_->spawn_error);
    return false;
  }
  wire::ProgramResult* program = result_->program();
  program->image_lockable_pages = control_->image_lockable;
  program->image_other_pages = control_->image_other;
  program->sees = control_->sees;
  if (control_->begin_error != 0) {
    ended_ = true;
    result_->Close(wire::End::kRefused, control_->begin_error);
    return false;
  }
  return true;
}

// Tasks that share an address space share what mlockall said of its future.
void Conductor::ShareFuture(int slot) {
  for (int other = 0; other < kTaskSlots; ++other) {
    if (!task(other).exists || mm_[other] != mm_[slot]) continue;
    task(other).future_locked = task(slot).future_locked;
    task(other).future_onfault = task(slot).future_onfault;
  }
}

void Conductor::NameMms() {
  for (int slot = 0; slot < kTaskSlots; ++slot) {
    if (!task(slot).exists) continue;
    int lowest = 0;
    while (!task(lowest).exists || mm_[lowest] != mm_[slot]) ++lowest;
    task(slot).mm = static_cast<uint8_t>(lowest);
  }
}

void Conductor::Forked(const Step& step) {
  const int parent = step.task % kTaskSlots;
  const int child = step.slot % kTaskSlots;
  task(child) = task(parent);
  if (step.value != 0) {
    mm_[child] = mm_[parent];
  } else {
    mm_[child] = ++mms_;
    task(child).future_locked = 0;
    task(child).future_onfault = 0;
  }
}

bool Conductor::Call(const Step& step, Outcome* outcome) {
  const int slot = step.task % kTaskSlots;
  control_->beats.fetch_add(1);
  control_->step = step;
  if (step.op == Op::kExit) {
    if (Waited waited = processes_->AskToExit(slot, Command::kStep);
        waited != Waited::kAnswer) {
      return Lost(waited);
    }
    task(slot) = {};
    *outcome = Outcome::Ok();
    return true;
  }
  if (Waited waited = processes_->Ask(slot, Command::kStep);
      waited != Waited::kAnswer) {
    return Lost(waited);
  }
  *outcome = control_->outcome;
  if (step.op == Op::kFork && outcome->ok()) Forked(step);
  if (step.op == Op::kExec && outcome->ok()) {
    mm_[slot] = ++mms_;
    task(slot).future_locked = 0;
    task(slot).future_onfault = 0;
  }
  ShareFuture(slot);
  return true;
}

// What is said of a step without asking its task; kValue: ask.
Outcome WithoutTask(const Step& step, const SharedState& shared) {
  const bool alive = shared.tasks[step.task % kTaskSlots].exists != 0;
  if (step.op == Op::kNone) return Outcome::Skipped();
  if (!alive) {
    return IsEnvironment(step.op) ? Outcome::Unsupported() : Outcome::Skipped();
  }
  if (step.during_count != 0) return Outcome::Unsupported();
  if (step.op == Op::kFork && shared.tasks[step.slot % kTaskSlots].exists) {
    return Outcome::Skipped();
  }
  return Outcome::Ok();
}

bool Conductor::Observe(const Outcome& outcome) {
  Writer* writer = &control_->writer;
  auto* record = writer->Append<wire::StepResult>();
  record->kind = static_cast<uint8_t>(outcome.kind);
  record->value = outcome.value;
  record->flags = control_->shared.step_flags;
  if (look_ == wire::Look::kNothing) return Drain();
  if (guest_actions != nullptr) {
    record->counters =
        static_cast<uint8_t>(guest_actions->observe_counters(writer));
  }
  record->shms = static_cast<uint8_t>(ObserveShm(control_->shared, writer));
  for (int slot = 0; slot < kTaskSlots; ++slot) {
    record->tasks += task(slot).exists != 0;
  }
  for (int slot = 0; slot < kTaskSlots; ++slot) {
    if (!task(slot).exists) continue;
    if (static_cast<size_t>(writer->end - writer->next) < kStepRoom &&
        !Drain()) {
      return false;
    }
    control_->beats.fetch_add(1);
    if (Waited waited = processes_->Ask(slot, Command::kObserve);
        waited != Waited::kAnswer) {
      return Lost(waited);
    }
  }
  return Drain();
}

bool Conductor::RunStep(const Step& step) {
  control_->shared.step_flags = 0;
  Outcome outcome = WithoutTask(step, control_->shared);
  if (outcome.ok() && !Call(step, &outcome)) return false;
  NameMms();
  if (!Observe(outcome)) return false;
  result_->Commit(1);
  return true;
}

void Conductor::CheckLooks() {
  for (int slot = 0; slot < kTaskSlots && look_ == wire::Look::kPages; ++slot) {
    if (!task(slot).exists) continue;
    control_->beats.fetch_add(1);
    if (Waited waited = processes_->Ask(slot, Command::kCheckLooks);
        waited != Waited::kAnswer) {
      Lost(waited);
      return;
    }
    if (!control_->outcome.ok()) {
      return result_->Close(wire::End::kBroken, kLooksDiffer);
    }
  }
  result_->Close(wire::End::kCompleted, 0);
}

void Conductor::Run(const wire::ProgramHeader& header, const Step* steps) {
  bool running = Begin(header);
  for (uint32_t i = 0; i < header.steps && running; ++i) {
    running = RunStep(steps[i]);
  }
  if (ended_ || result_->full()) {
    // Lost, refused, or without room in the result.
  } else if (running) {
    CheckLooks();
  } else {
    result_->Close(wire::End::kBroken, EBADMSG);
  }
  for (int slot = 0; slot < kTaskSlots; ++slot) processes_->Kill(slot);
  processes_->RemoveSegments();
  processes_->ForgetProgram();
}

}  // namespace

void Conduct(const wire::ProgramHeader& header, const Step* steps,
             uint32_t index, wire::Look look, Processes* processes,
             ResultBuffer* result) {
  if (!result->Begin(index)) return;
  for (int slot = 0; slot < kTaskSlots; ++slot) TheControl()->pids[slot] = 0;
  Conductor(look, processes, result).Run(header, steps);
}

}  // namespace lockstep::executor
