// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// What the executor writes, from an executor that a stranger's program may have
// taken over: traces or an error, and traces that can be judged.
//
// Input: a byte that chooses the program, then the bytes of the result buffer.
// Magic number and size of its header are put right, so that what comes behind
// is reached.

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/linux/trace.h"
#include "engine/linux/wire.h"
#include "engine/program.h"
#include "fuzzers/finding.h"
#include "fuzzers/statistics.h"
#include "fuzzers/target.h"
#include "fuzzers/trace_programs.h"
#include "props/trace_judge.h"

namespace lockstep {
namespace {

// For a test, to see that bytes are decoded and judged: errors say nothing, and
// a violation is a finding.
#ifdef LOCKSTEP_FUZZER_STRICT
constexpr bool kStrict = true;
#else
constexpr bool kStrict = false;
#endif

int Run(const uint8_t* data, size_t size) {
  if (size == 0) return -1;
  const size_t choice = data[0];
  const Program& program = TracePrograms()[choice / 2];
  const wire::Look look =
      choice % 2 == 0 ? wire::Look::kPages : wire::Look::kAccounting;
  std::string bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  bytes.resize(std::max(bytes.size() & ~size_t{7}, sizeof(wire::ResultHeader)));
  wire::ResultHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  header.magic = wire::kMagic;
  header.bytes = bytes.size();
  std::memcpy(bytes.data(), &header, sizeof header);

  const absl::StatusOr<std::vector<Trace>> traces =
      DecodeResult({&program, 1}, look, bytes);
  if (!traces.ok()) {
    ExpectMessage(LOCKSTEP_FUZZER, kStrict ? "" : traces.status().message());
    return 0;
  }
  static TraceJudge& judge = *new TraceJudge("host");
  for (const Trace& trace : *traces) {
    CountProgram(trace.steps.size());
    if (trace.end == wire::End::kRefused) continue;
    const auto violation = judge.Judge(program, trace);
    // Otherwise any answer will do.
    if (kStrict && violation.ok() && violation->has_value()) {
      ReportAndAbort(LOCKSTEP_FUZZER, program, **violation, "lockstep run");
    }
  }
  return 0;
}

}  // namespace
}  // namespace lockstep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return lockstep::Run(data, size);
}
