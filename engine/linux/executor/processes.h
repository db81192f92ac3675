// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The supervisor's children: the spawner, the worker and the tasks, all in one
// process group, and what they may leave behind.

#ifndef LOCKSTEP_ENGINE_LINUX_EXECUTOR_PROCESSES_H_
#define LOCKSTEP_ENGINE_LINUX_EXECUTOR_PROCESSES_H_

#include <sys/types.h>

#include <cstdint>

#include "engine/linux/executor/control.h"
#include "engine/linux/wire.h"

namespace lockstep::executor {

enum class Waited {
  kAnswer,
  kDeath,  // of whoever was to answer, or of the spawner
  kTimeout,
};

// How a program ends when its process does not answer.
struct Fate {
  wire::End end;
  int signal;
};

class Processes {
 public:
  // Makes the Control mapping, once, and the spawner, if there is none. 0 or an
  // errno.
  int Start();
  // The errno with which the kernel refused the seccomp filter; 0.
  int sandbox_error() const { return sandbox_error_; }

  // False once everything was killed: no process of an earlier Make is left.
  bool IsUp() const { return spawner_ != 0; }

  void SetStepLimit(uint32_t milliseconds) { step_limit_ms_ = milliseconds; }

  // Asks the spawner and waits for the new process's first answer. kAnswer with
  // Control::spawn_error: there is none.
  Waited Make(Spawn what);
  // Says go to the process and waits for its answer.
  Waited Ask(int slot, Command command);
  // The same of a process that is to exit; kAnswer if it did, with status 0.
  Waited AskToExit(int slot, Command command);

  // After kDeath or kTimeout: what becomes of the program. Everything is
  // killed, the spawner too, and what they left is removed.
  Fate BringDown(Waited why);
  // SIGKILL for the process of the slot, and waits until it is gone.
  void Kill(int slot);
  void KillAll();
  // A process's descriptors are its own: another one's SharedState is void.
  void ForgetProgram();
  // SysV segments of the programs so far.
  void RemoveSegments();

  // User and system time of the spawner and of all processes that have ended.
  void AddUsage(uint64_t* user_ns, uint64_t* system_ns);

  // Everything in this IPC namespace is ours.
  void OwnNamespaces() { own_namespaces_ = true; }
  // Called some times a second while waiting; true: end all and exit.
  void SetInterrupt(bool (*interrupted)()) { interrupted_ = interrupted; }

 private:
  Waited Await(pid_t leaver);
  void Reap(pid_t leaver);

  uint32_t step_limit_ms_ = 0;  // 0: kUsualStepLimit
  bool mapped_ = false;
  bool own_namespaces_ = false;
  bool (*interrupted_)() = nullptr;
  int sandbox_error_ = 0;
  pid_t spawner_ = 0;
  uint32_t answers_seen_ = 0;
  // Of the last death that nobody asked for.
  bool died_ = false;
  bool left_ = false;  // the leaver has gone
  int status_ = 0;
};

}  // namespace lockstep::executor

#endif  // LOCKSTEP_ENGINE_LINUX_EXECUTOR_PROCESSES_H_
