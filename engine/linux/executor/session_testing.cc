// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/executor/session_testing.h"

#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "engine/linux/executor/credentials.h"
#include "engine/linux/executor/observe.h"
#include "engine/linux/executor/process.h"
#include "engine/linux/executor/session.h"
#include "engine/linux/executor/vmas.h"
#include "engine/uapi.h"

namespace lockstep::executor {
namespace {

constexpr size_t kBufferBytes = 64 << 20;

// What child and test share.
struct Board {
  SharedState shared;
  struct Head {
    int begin_error;
    uint32_t steps, sees;
    bool looks_agree, undone;
  };
  size_t used;
  char buffer[kBufferBytes];
};

struct StepHead {
  Outcome outcome;
  int shms;
};

RangeList whole;

// The look just appended at `record`, against status and all of smaps.
bool IsWhatSmapsSays(const wire::TaskRecord* record,
                     const SharedState& shared) {
  const Accounting accounting = ReadAccounting();
  ObserveRanges(Source::kSmaps, Until::kEnd, accounting.total_vm, shared,
                &whole, nullptr);
  return record->locked_vm == accounting.locked_vm &&
         record->total_vm == accounting.total_vm &&
         record->ranges == whole.count &&
         record->image_locked == whole.image_locked &&
         std::memcmp(record + 1, whole.ranges,
                     sizeof(wire::RangeRecord) * record->ranges) == 0;
}

void RunInChild(const wire::ProgramHeader& header,
                const std::vector<Step>& steps, Board* board, Writer* writer) {
  auto* head = static_cast<Board::Head*>(
      writer->AppendBytes((sizeof(Board::Head) + 7) / 8 * 8));
  head->looks_agree = true;
  head->begin_error = BeginProgram(header, &board->shared);
  if (head->begin_error == 0) {
    for (const Step& step : steps) {
      auto* step_head =
          static_cast<StepHead*>(writer->AppendBytes(sizeof(StepHead)));
      step_head->outcome = RunCall(step, 0, &board->shared);
      step_head->shms = ObserveShm(board->shared, writer);
      auto* record = reinterpret_cast<wire::TaskRecord*>(writer->next);
      ObserveSelf(0, wire::Look::kPages, &board->shared, writer);
      head->looks_agree &= IsWhatSmapsSays(record, board->shared);
      ++head->steps;
    }
    head->looks_agree &= LooksAgree(&board->shared);
  }
  head->sees = WhatIsSeen();
  head->undone = EndProgram(&board->shared);
}

// Reads a Board's buffer as it was written.
class Reader {
 public:
  explicit Reader(const Board& board)
      : next_(board.buffer), end_(board.buffer + board.used) {}
  bool AtEnd() const { return next_ >= end_; }
  template <typename T>
  T Next() {
    T value;
    std::memcpy(&value, next_, sizeof(T));
    next_ += (sizeof(T) + 7) / 8 * 8;
    return value;
  }
  std::vector<uint64_t> Words(uint64_t pages) {
    std::vector<uint64_t> words(wire::BitmapWords(pages));
    for (uint64_t& word : words) word = Next<uint64_t>();
    return words;
  }

 private:
  const char* next_;
  const char* end_;
};

Seen ReadSeen(Reader& reader, int shms, uint64_t arena_pages) {
  Seen seen;
  for (int i = 0; i < shms; ++i) {
    seen.segments.push_back(reader.Next<wire::ShmRecord>());
  }
  seen.task = reader.Next<wire::TaskRecord>();
  for (int i = 0; i < seen.task.ranges; ++i) {
    seen.ranges.push_back(reader.Next<wire::RangeRecord>());
  }
  seen.present = reader.Words(arena_pages);
  seen.mlocked = reader.Words(arena_pages);
  seen.file_or_shared = reader.Words(arena_pages);
  seen.zero = reader.Words(arena_pages);
  seen.guard = reader.Words(arena_pages);
  for (int i = 0; i < wire::kBitmaps; ++i) reader.Words(seen.task.heap_pages);
  return seen;
}

std::string DeathOf(int status) {
  if (WIFSIGNALED(status)) return absl::StrCat("signal ", WTERMSIG(status));
  if (WEXITSTATUS(status) != 0) {
    return absl::StrCat("exit status ", WEXITSTATUS(status), ": ",
                        std::strerror(WEXITSTATUS(status)));
  }
  return "";
}

}  // namespace

wire::RangeRecord Seen::At(uint64_t arena_page) const {
  uint64_t page = PageOf(kArenaBase).n + arena_page;
  for (const wire::RangeRecord& range : ranges) {
    if (range.start <= page && page < range.end) return range;
  }
  return {};
}

std::vector<ProgramRun> RunPrograms(
    const wire::ProgramHeader& header,
    absl::Span<const std::vector<Step>> programs) {
  void* memory = mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    std::perror("mmap");
    std::abort();
  }
  auto* board = static_cast<Board*>(memory);
  pid_t child = fork();
  if (child == 0) {
    // The stack has all it needs before it is measured.
    char stack[64 << 10];
    explicit_bzero(stack, sizeof(stack));
    AdoptProcess();
    Writer writer{board->buffer, board->buffer + kBufferBytes};
    for (const std::vector<Step>& steps : programs) {
      RunInChild(header, steps, board, &writer);
      board->used = static_cast<size_t>(writer.next - board->buffer);
    }
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  std::vector<ProgramRun> runs;
  Reader reader(*board);
  while (!reader.AtEnd()) {
    auto head = reader.Next<Board::Head>();
    ProgramRun run;
    run.begin_error = head.begin_error;
    run.looks_agree = head.looks_agree;
    run.undone = head.undone;
    run.sees = head.sees;
    for (uint32_t i = 0; i < head.steps; ++i) {
      auto step = reader.Next<StepHead>();
      run.outcomes.push_back(step.outcome);
      run.seen.push_back(ReadSeen(reader, step.shms, header.arena_pages));
    }
    runs.push_back(std::move(run));
  }
  if (runs.size() < programs.size()) runs.emplace_back();
  runs.back().death = DeathOf(status);
  munmap(memory, sizeof(Board));
  return runs;
}

ProgramRun RunProgram(const wire::ProgramHeader& header,
                      const std::vector<Step>& steps) {
  return RunPrograms(header, {steps}).at(0);
}

wire::ProgramHeader TestHeader() {
  wire::ProgramHeader header{};
  header.arena_pages = 64;
  header.memlock_limit = 1 << 20;
  header.file_size = 16 * kPageSize;
  return header;
}

bool MayLock() { return (PermittedCapabilities() >> CAP_IPC_LOCK & 1) != 0; }
bool MaySetuid() { return (PermittedCapabilities() >> CAP_SETUID & 1) != 0; }

Step OnPages(Op op, uint64_t page, uint64_t pages) {
  Step step;
  step.op = op;
  step.addr = Address::Arena(Vpn{page});
  step.length = pages * kPageSize;
  return step;
}

Step MmapPages(uint64_t page, uint64_t pages, uint32_t more_flags) {
  Step step = OnPages(Op::kMmap, page, pages);
  step.prot = uapi::kProtRead | uapi::kProtWrite;
  step.flags = uapi::kMapAnonymous | uapi::kMapFixed | more_flags;
  if ((more_flags & uapi::kMapType) == 0) step.flags |= uapi::kMapPrivate;
  return step;
}

Step MmapFilePages(uint64_t page, uint64_t pages, int file) {
  Step step = MmapPages(page, pages, uapi::kMapShared);
  step.flags &= ~uapi::kMapAnonymous;
  step.slot = static_cast<uint8_t>(file);
  return step;
}

Step TouchPage(uint64_t page, bool write) {
  Step step = OnPages(Op::kTouch, page, 0);
  step.value = write ? 1 : 0;
  return step;
}

Step ShmStep(Op op, int slot) {
  Step step;
  step.op = op;
  step.slot = static_cast<uint8_t>(slot);
  return step;
}

}  // namespace lockstep::executor
