// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Programs as text or, with LOCKSTEP_FUZZER_BINARY, as bytes from anybody: a
// program or an error, never more. What is loaded survives both formats.

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "engine/program.h"
#include "fuzzers/finding.h"
#include "fuzzers/statistics.h"
#include "fuzzers/target.h"

namespace lockstep {
namespace {

#ifdef LOCKSTEP_FUZZER_BINARY
constexpr auto kParse = ParseProgramBinary;
#else
constexpr auto kParse = ParseProgramText;
#endif

// For tests: LOCKSTEP_FUZZER_LOSSY names a format that loses the last step, and
// LOCKSTEP_FUZZER_MUTE takes the errors' messages away.
#ifdef LOCKSTEP_FUZZER_LOSSY
constexpr absl::string_view kLossy = LOCKSTEP_FUZZER_LOSSY;
#else
constexpr absl::string_view kLossy;
#endif
#ifdef LOCKSTEP_FUZZER_MUTE
constexpr bool kMute = true;
#else
constexpr bool kMute = false;
#endif

struct Format {
  absl::string_view name;
  std::string (*write)(const Program&);
  absl::StatusOr<Program> (*read)(absl::string_view, absl::string_view);
};
constexpr Format kFormats[] = {
    {"text", FormatProgramText, ParseProgramText},
    {"binary", FormatProgramBinary, ParseProgramBinary},
};

// The program as it comes back from the format.
absl::StatusOr<Program> ThereAndBack(const Format& format,
                                     const Program& program) {
  Program written = program;
  if (format.name == kLossy && !written.steps.empty()) written.steps.pop_back();
  return format.read(format.write(written), format.name);
}

[[noreturn]] void Abort(absl::string_view what, const Program& program,
                        const absl::StatusOr<Program>& again) {
  const std::string seen = again.ok() ? FormatProgramText(*again)
                                      : std::string(again.status().message());
  absl::FPrintF(stderr,
                "%s: a loaded program does not survive %s\nThe program:\n%s\n"
                "What came back:\n%s\nReplay: lockstep run FILE\n",
                LOCKSTEP_FUZZER, what, FormatProgramText(program), seen);
  std::abort();
}

int Run(absl::string_view bytes) {
  const absl::StatusOr<Program> program = kParse(bytes, "input");
  if (!program.ok()) {
    ExpectMessage(LOCKSTEP_FUZZER, kMute ? "" : program.status().message());
    return 0;
  }
  CountProgram(program->steps.size());
  for (const Format& format : kFormats) {
    const absl::StatusOr<Program> again = ThereAndBack(format, *program);
    if (!again.ok() || *again != *program) Abort(format.name, *program, again);
  }
  return 0;
}

}  // namespace
}  // namespace lockstep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return lockstep::Run({reinterpret_cast<const char*>(data), size});
}
