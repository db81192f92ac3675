// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "bench/host_results.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "engine/linux/executor_process.h"
#include "engine/linux/kernel.h"
#include "engine/linux/trace.h"
#include "props/random.h"
#include "props/vocabulary.h"

namespace lockstep {
namespace {

constexpr size_t kBatch = 256;
constexpr uint32_t kStepLimitMs = 10000;

}  // namespace

std::vector<Program> RandomPrograms(uint64_t count, uint64_t seed) {
  VocabularyOptions options;
  options.vary_config = false;
  Vocabulary vocabulary(options);
  std::vector<Program> programs(count);
  for (size_t i = 0; i < programs.size(); ++i) {
    Random random(seed, i);
    vocabulary.Generate(random, &programs[i]);
  }
  return programs;
}

absl::StatusOr<std::string> ResultBytes(const std::vector<Program>& programs,
                                        wire::Look look, wire::Mode mode) {
  absl::StatusOr<std::string> path = FindExecutor();
  if (!path.ok()) return path.status();
  absl::StatusOr<std::unique_ptr<ExecutorProcess>> executor =
      ExecutorProcess::Start(*path);
  if (!executor.ok()) return executor.status();
  std::string all;
  absl::Span<const Program> rest = programs;
  while (!rest.empty()) {
    const absl::Span<const Program> some =
        rest.first(std::min(kBatch, rest.size()));
    absl::StatusOr<std::string> batch =
        EncodeBatch(some, look, mode, kStepLimitMs);
    if (!batch.ok()) return batch.status();
    absl::StatusOr<absl::string_view> result = (*executor)->Run(*batch);
    if (!result.ok()) return result.status();
    wire::ResultHeader header;
    std::memcpy(&header, result->data(), sizeof header);
    all.append(result->data() + sizeof header, result->size() - sizeof header);
    rest.remove_prefix(header.programs);
  }
  return all;
}

std::string FirstDifference(absl::string_view a, absl::string_view b) {
  if (a == b) return "";
  size_t at = 0;
  while (at < std::min(a.size(), b.size()) && a[at] == b[at]) ++at;
  // The program that the byte is in.
  size_t begin = 0;
  uint64_t number = 0;
  wire::ProgramResult result = {};
  while (begin + sizeof result <= a.size()) {
    std::memcpy(&result, a.data() + begin, sizeof result);
    if (result.bytes < sizeof result || begin + result.bytes > at) break;
    begin += result.bytes;
    ++number;
  }
  return absl::StrCat("byte ", at - begin, " of ", result.bytes, " of program ",
                      number);
}

}  // namespace lockstep
