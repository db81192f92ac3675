// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/executor/task.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <cerrno>
#include <csignal>
#include <cstdint>

#include "engine/linux/executor/control.h"
#include "engine/linux/executor/guest_actions.h"
#include "engine/linux/executor/raw_syscall.h"
#include "engine/linux/executor/sandbox.h"
#include "engine/linux/executor/session.h"
#include "engine/linux/wire.h"
#include "engine/outcome.h"
#include "engine/step.h"

namespace lockstep::executor {
namespace {

// Tasks that share their parent's address space have their stacks in it.
constexpr size_t kStackBytes = 16 << 10;
struct alignas(64) Stack {
  char bytes[kStackBytes];
};
Stack stacks[kTaskSlots];

// The process dies with the supervisor. A change of the user takes that back.
void DieWithSupervisor() {
  RawSyscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

void BecomeSlot(int slot) {
  DieWithSupervisor();
  TheControl()->pids[slot] = static_cast<int32_t>(RawSyscall(SYS_getpid));
}

// ---- The worker: programs of a single task, one after the other. ----

bool HasRoom() {
  const Writer& writer = TheControl()->writer;
  return static_cast<size_t>(writer.end - writer.next) >= kStepRoom;
}

void AwaitRoom(uint32_t* seen) {
  Control* control = TheControl();
  control->Reply(Answer::kNeedsRoom);
  control->AwaitGo(&control->go[kWorkerSlot], seen);
}

// The program goes on in a record of its own, which the supervisor joins to the
// one before.
void EnsureRoom(uint32_t* seen, wire::ProgramResult** result) {
  if (HasRoom()) return;
  const wire::ProgramResult before = **result;
  AwaitRoom(seen);
  *result = TheControl()->writer.Append<wire::ProgramResult>();
  **result = before;
  (*result)->steps = 0;
  (*result)->bytes = sizeof before;
}

void RunStep(const Step& step, bool last, wire::ProgramResult* result) {
  Control* control = TheControl();
  Writer* writer = &control->writer;
  auto* record = writer->Append<wire::StepResult>();
  // Here there is one task. An environment action names an address space.
  control->shared.step_flags = 0;
  const bool empty = step.task % kTaskSlots != 0 && !IsEnvironment(step.op);
  const Outcome outcome =
      empty ? Outcome::Skipped() : RunCall(step, 0, &control->shared);
  record->kind = static_cast<uint8_t>(outcome.kind);
  record->value = outcome.value;
  record->flags = control->shared.step_flags;
  if (control->look != wire::Look::kNothing) {
    if (guest_actions != nullptr &&
        (last || control->counters_each_step != 0)) {
      record->counters =
          static_cast<uint8_t>(guest_actions->observe_counters(writer));
    }
    record->shms = static_cast<uint8_t>(ObserveShm(control->shared, writer));
    record->tasks = 1;
    ObserveSelf(0, control->look, &control->shared, writer);
  }
  // The supervisor believes these two if the process dies.
  result->bytes = static_cast<uint64_t>(writer->next -
                                        reinterpret_cast<const char*>(result));
  ++result->steps;
  if (step.op == Op::kSetuid) DieWithSupervisor();
}

int Begin(const wire::ProgramHeader& header) {
  if (guest_actions != nullptr) {
    if (int error = guest_actions->begin_program(header); error != 0) {
      return error;
    }
  } else if (header.nr_hugepages != 0) {
    return EOPNOTSUPP;
  }
  return BeginProgram(header, &TheControl()->shared);
}

// Runs the program and undoes it; whether that worked.
bool RunProgram(const wire::ProgramHeader& header, const Step* steps,
                uint32_t index, uint32_t* seen) {
  Control* control = TheControl();
  if (!HasRoom()) AwaitRoom(seen);
  auto* result = control->writer.Append<wire::ProgramResult>();
  result->index = index;
  result->bytes = sizeof *result;
  result->end = kOpen;
  control->beats.fetch_add(1);
  wire::End end = wire::End::kCompleted;
  if (int error = Begin(header); error != 0) {
    end = wire::End::kRefused;
    result->signal = error;
  }
  result->image_lockable_pages = ImageLockablePages();
  result->image_other_pages = ImageOtherPages();
  result->sees = WhatIsSeen();
  if (end == wire::End::kCompleted) {
    for (uint32_t i = 0; i < header.steps; ++i) {
      control->beats.fetch_add(1);
      EnsureRoom(seen, &result);
      RunStep(steps[i], i + 1 == header.steps, result);
    }
    if (control->look == wire::Look::kPages && !LooksAgree(&control->shared)) {
      end = wire::End::kBroken;
      result->signal = kLooksDiffer;
    }
  }
  control->beats.fetch_add(1);
  const bool undone = EndProgram(&control->shared);
  result->end = end;
  return undone;
}

void RunWindow(uint32_t* seen) {
  Control* control = TheControl();
  const char* next = control->in;
  for (uint32_t i = 0; i < control->programs; ++i) {
    const auto* header = reinterpret_cast<const wire::ProgramHeader*>(next);
    const auto* steps = reinterpret_cast<const Step*>(header + 1);
    next = reinterpret_cast<const char*>(steps + header->steps);
    if (!RunProgram(*header, steps, control->first_program + i, seen)) {
      control->dirty = 1;
      return;
    }
  }
}

[[noreturn]] void RunWorker() {
  Control* control = TheControl();
  uint32_t seen = control->go[kWorkerSlot].load();
  BecomeSlot(kWorkerSlot);
  AdoptFork(0, &control->shared);
  control->Reply(Answer::kDone);
  while (true) {
    control->AwaitGo(&control->go[kWorkerSlot], &seen);
    if (control->command == Command::kQuit) {
      RawSyscall(SYS_exit_group, 0);
    }
    RunWindow(&seen);
    control->Reply(Answer::kDone);
  }
}

// ---- Tasks of a program that has several. ----

[[noreturn]] void ServeTask(int slot, uint32_t seen);

[[noreturn]] void StartForked(int slot, uint32_t seen) {
  BecomeSlot(slot);
  AdoptFork(slot, &TheControl()->shared);
  TheControl()->outcome = Outcome::Ok(slot);
  TheControl()->Reply(Answer::kDone);
  ServeTask(slot, seen);
}

}  // namespace

// Where a task with a stack of its own begins. Called from assembly.
extern "C" [[noreturn, gnu::used]] void LockstepStartOnStack(uint64_t slot,
                                                             uint64_t seen) {
  StartForked(static_cast<int>(slot), static_cast<uint32_t>(seen));
}

namespace {

// clone with a stack: the child cannot return from here, its stack is empty.
int64_t CloneOntoStack(uint64_t flags, int slot, uint32_t seen) {
  int64_t result;
  char* stack = stacks[slot].bytes + kStackBytes;
  register uint64_t r10 asm("r10") = 0;
  register uint64_t r8 asm("r8") = 0;
  register uint64_t r12 asm("r12") = static_cast<uint64_t>(slot);
  register uint64_t r13 asm("r13") = seen;
  asm volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xor %%ebp, %%ebp\n\t"
      "mov %%r12, %%rdi\n\t"
      "mov %%r13, %%rsi\n\t"
      "call LockstepStartOnStack\n\t"
      "ud2\n\t"
      "1:"
      : "=a"(result)
      : "a"(SYS_clone), "D"(flags), "S"(stack), "d"(uint64_t{0}), "r"(r10),
        "r"(r8), "r"(r12), "r"(r13)
      : "rcx", "r11", "memory");
  return result;
}

// The child answers; the parent does only if there is none.
void Fork(const Step& step) {
  Control* control = TheControl();
  const int child = step.slot % kTaskSlots;
  const uint32_t seen = control->go[child].load();
  constexpr uint64_t kFlags = CLONE_PARENT | SIGCHLD;
  int64_t result;
  if (step.value != 0) {
    result = CloneOntoStack(kFlags | CLONE_VM, child, seen);
  } else {
    result = RawSyscall(SYS_clone, kFlags, nullptr, nullptr, nullptr, nullptr);
    if (result == 0) StartForked(child, seen);
  }
  if (result < 0) {
    control->outcome = Outcome::Errno(static_cast<int>(-result));
    control->Reply(Answer::kDone);
  }
}

void Exec(int slot) {
  Control* control = TheControl();
  control->exec_slot = static_cast<uint32_t>(slot);
  static const char* const kArguments[] = {"lockstep_executor", kTaskArgument,
                                           nullptr};
  static const char* const kEnvironment[] = {nullptr};
  const int64_t error =
      RawSyscall(SYS_execve, kSelfPath, kArguments, kEnvironment);
  control->outcome = Outcome::Errno(static_cast<int>(-error));
  control->Reply(Answer::kDone);
}

void ServeStep(int slot) {
  Control* control = TheControl();
  switch (control->step.op) {
    case Op::kFork:
      return Fork(control->step);
    case Op::kExec:
      return Exec(slot);
    case Op::kExit:
      RawSyscall(SYS_exit, 0);
      return;
    default:
      control->outcome = RunCall(control->step, slot, &control->shared);
      if (control->step.op == Op::kSetuid) DieWithSupervisor();
      control->Reply(Answer::kDone);
  }
}

[[noreturn]] void ServeTask(int slot, uint32_t seen) {
  Control* control = TheControl();
  while (true) {
    control->AwaitGo(&control->go[slot], &seen);
    switch (control->command) {
      case Command::kStep:
        ServeStep(slot);
        continue;
      case Command::kObserve:
        ObserveSelf(slot, control->look, &control->shared, &control->writer);
        break;
      default:
        control->outcome = LooksAgree(&control->shared)
                               ? Outcome::Ok()
                               : Outcome::Unsupported();
    }
    control->Reply(Answer::kDone);
  }
}

[[noreturn]] void RunFirstTask() {
  Control* control = TheControl();
  const uint32_t seen = control->go[0].load();
  BecomeSlot(0);
  AdoptFork(0, &control->shared);
  const auto* header =
      reinterpret_cast<const wire::ProgramHeader*>(control->in);
  control->begin_error = Begin(*header);
  control->image_lockable = ImageLockablePages();
  control->image_other = ImageOtherPages();
  control->sees = WhatIsSeen();
  control->Reply(Answer::kDone);
  ServeTask(0, seen);
}

uint64_t Nanoseconds(const timeval& time) {
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 +
         static_cast<uint64_t>(time.tv_usec) * 1'000;
}

void ReportUsage() {
  Control* control = TheControl();
  rusage usage = {};
  RawSyscall(SYS_getrusage, RUSAGE_SELF, &usage);
  control->spawner_user_ns = Nanoseconds(usage.ru_utime);
  control->spawner_system_ns = Nanoseconds(usage.ru_stime);
  control->Reply(Answer::kDone);
}

}  // namespace

void RunSpawner() {
  Control* control = TheControl();
  uint32_t seen = control->spawn_go.load();
  DieWithSupervisor();
  control->spawn_error = Confine();
  // What is true of this process is true of all that it makes.
  AdoptProcess();
  control->Reply(Answer::kDone);
  while (true) {
    control->AwaitGo(&control->spawn_go, &seen);
    const Spawn what = control->spawn;
    if (what == Spawn::kUsage) {
      ReportUsage();
      continue;
    }
    const int64_t pid = RawSyscall(SYS_clone, CLONE_PARENT | SIGCHLD, nullptr,
                                   nullptr, nullptr, nullptr);
    if (pid == 0) {
      if (what == Spawn::kWorker) RunWorker();
      RunFirstTask();
    }
    if (pid < 0) {
      control->spawn_error = static_cast<int32_t>(-pid);
      control->Reply(Answer::kDone);
    }
  }
}

void ResumeAfterExec() {
  const int64_t address = RawSyscall(
      SYS_mmap, kControlAddress, sizeof(Control), PROT_READ | PROT_WRITE,
      MAP_SHARED | MAP_FIXED_NOREPLACE, kControlFd, 0);
  if (address != static_cast<int64_t>(kControlAddress)) Fatal(ENOEXEC);
  Control* control = TheControl();
  if (control->in_guest != 0) ContinueInGuest();
  const int slot = static_cast<int>(control->exec_slot);
  const uint32_t seen = control->go[slot].load();
  DieWithSupervisor();
  AdoptExec(slot, &control->shared);
  control->outcome = Outcome::Ok();
  control->Reply(Answer::kDone);
  ServeTask(slot, seen);
}

}  // namespace lockstep::executor
