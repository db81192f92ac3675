// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "fuzzers/program_input.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "props/random.h"

namespace lockstep {
namespace {

// A program of a size that is worth running.
absl::StatusOr<Program> ParseSmall(absl::string_view bytes) {
  absl::StatusOr<Program> program = ParseProgram(bytes, "input");
  if (!program.ok()) return program;
  const Config& config = program->config;
  if (program->steps.size() > kMostInputSteps) {
    return absl::OutOfRangeError(absl::StrCat("expected at most ",
                                              kMostInputSteps, " steps, found ",
                                              program->steps.size()));
  }
  const uint64_t pages =
      config.memory_pages + config.image_lockable_pages +
      (uint64_t{config.nr_hugepages} << config.hpage_pmd_order);
  if (pages > kMostInputMemoryPages) {
    return absl::OutOfRangeError(absl::StrCat("expected a machine of at most ",
                                              kMostInputMemoryPages,
                                              " pages, found ", pages));
  }
  return program;
}

uint64_t HashOf(absl::string_view bytes) {
  uint64_t hash = bytes.size();
  while (!bytes.empty()) {
    uint64_t word = 0;
    const size_t count = std::min(bytes.size(), sizeof word);
    std::memcpy(&word, bytes.data(), count);
    hash = Mix(hash ^ word);
    bytes.remove_prefix(count);
  }
  return hash;
}

}  // namespace

ProgramInput& ProgramInput::Shared() {
  static ProgramInput& shared = *new ProgramInput();
  return shared;
}

absl::StatusOr<const Program*> ProgramInput::Parse(const uint8_t* data,
                                                   size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const uint64_t hash = HashOf(bytes);
  Entry& known = known_[hash % known_.size()];
  for (const Entry* entry : {&written_[hash % written_.size()], &known}) {
    if (size != 0 && entry->bytes == bytes) return &entry->program;
  }
  ++parsed_;
  absl::StatusOr<Program> program = ParseSmall(bytes);
  if (!program.ok()) return program.status();
  known.bytes = std::string(bytes);
  known.program = *std::move(program);
  return &known.program;
}

size_t ProgramInput::Write(const Program& program, uint8_t* data, size_t max) {
  Program written = program;
  std::string bytes = FormatProgramBinary(written);
  while (bytes.size() > max && !written.steps.empty()) {
    // An eighth at a time: each round writes everything again.
    const size_t steps = written.steps.size();
    written.steps.resize(steps - std::max<size_t>(steps / 8, 1));
    bytes = FormatProgramBinary(written);
  }
  if (bytes.size() > max) return 0;
  std::copy(bytes.begin(), bytes.end(), data);
  const size_t size = bytes.size();
  Entry& entry = written_[HashOf(bytes) % written_.size()];
  entry.bytes = std::move(bytes);
  entry.program = std::move(written);
  return size;
}

}  // namespace lockstep
