// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The result of a batch as it grows: whole programs, whole steps.

#ifndef LOCKSTEP_ENGINE_LINUX_EXECUTOR_RESULT_BUFFER_H_
#define LOCKSTEP_ENGINE_LINUX_EXECUTOR_RESULT_BUFFER_H_

#include <cstddef>
#include <cstdint>

#include "engine/linux/wire.h"

namespace lockstep::executor {

class ResultBuffer {
 public:
  // REQUIRES: there is room for a ResultHeader; `data` is aligned for it.
  ResultBuffer(char* data, size_t bytes);

  // The program that is written; null between programs.
  wire::ProgramResult* program() { return program_; }
  // No room: the program that was being written, or was to be, is not in the
  // result, and nothing more goes in.
  bool full() const { return full_; }
  bool empty() const { return header_->programs == 0; }

  // Begins a program with no steps. False: full.
  bool Begin(uint32_t index);
  // Adds bytes of the step that is being written. False: full.
  bool Append(const void* bytes, size_t size);
  // What was added makes `steps` more whole steps.
  void Commit(uint32_t steps);
  // Ends the program; what was added since the last Commit is dropped.
  void Close(wire::End end, int signal);
  // Bytes of the result, ResultHeader included.
  size_t Finish(uint64_t user_ns, uint64_t system_ns);

 private:
  bool Overflow();

  wire::ResultHeader* header_;
  wire::ProgramResult* program_ = nullptr;
  char* begin_;
  char* next_;
  char* end_;
  bool full_ = false;
};

}  // namespace lockstep::executor

#endif  // LOCKSTEP_ENGINE_LINUX_EXECUTOR_RESULT_BUFFER_H_
