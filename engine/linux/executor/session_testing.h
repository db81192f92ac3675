// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Programs run by the session for real, each in a child of the test: what they
// do to an address space must not be done to the test's own.

#ifndef LOCKSTEP_ENGINE_LINUX_EXECUTOR_SESSION_TESTING_H_
#define LOCKSTEP_ENGINE_LINUX_EXECUTOR_SESSION_TESTING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "engine/linux/wire.h"
#include "engine/outcome.h"
#include "engine/step.h"
#include "engine/units.h"

namespace lockstep::executor {

// One task and the segments as a look shows them.
struct Seen {
  wire::TaskRecord task;
  std::vector<wire::RangeRecord> ranges;
  // Of the arena.
  std::vector<uint64_t> present, mlocked, file_or_shared, zero, guard;
  std::vector<wire::ShmRecord> segments;

  // The range with that arena page; all zero if it is not mapped.
  wire::RangeRecord At(uint64_t arena_page) const;
  bool Present(uint64_t arena_page) const { return Bit(present, arena_page); }
  bool Mlocked(uint64_t arena_page) const { return Bit(mlocked, arena_page); }
  static bool Bit(const std::vector<uint64_t>& words, uint64_t bit) {
    return (words.at(bit / 64) >> bit % 64 & 1) != 0;
  }
};

struct ProgramRun {
  int begin_error = 0;
  std::vector<Outcome> outcomes;
  std::vector<Seen> seen;  // after each step
  // After every step the look was what the whole of smaps says.
  bool looks_agree = true;
  bool undone = false;
  uint32_t sees = 0;
  // How the child ended: 0, or a description of signal or exit status.
  std::string death;
};

// One after the other in one child, each undone before the next begins.
std::vector<ProgramRun> RunPrograms(
    const wire::ProgramHeader& header,
    absl::Span<const std::vector<Step>> programs);
ProgramRun RunProgram(const wire::ProgramHeader& header,
                      const std::vector<Step>& steps);

// 64 pages of arena, 16 pages of each file, a limit of 1 MiB, no capability.
wire::ProgramHeader TestHeader();
// What the test's process is permitted.
bool MayLock();
bool MaySetuid();

// Steps by arena pages.
Step OnPages(Op op, uint64_t page, uint64_t pages);
Step MmapPages(uint64_t page, uint64_t pages, uint32_t more_flags = 0);
Step MmapFilePages(uint64_t page, uint64_t pages, int file);
Step TouchPage(uint64_t page, bool write = true);
Step ShmStep(Op op, int slot);

}  // namespace lockstep::executor

#endif  // LOCKSTEP_ENGINE_LINUX_EXECUTOR_SESSION_TESTING_H_
