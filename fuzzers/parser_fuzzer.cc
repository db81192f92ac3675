// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Programs as text or, with LOCKSTEP_FUZZER_BINARY, as bytes from anybody: a
// program or an error, never more. What is loaded survives both formats.

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "engine/program.h"
#include "fuzzers/statistics.h"
#include "fuzzers/target.h"

namespace lockstep {
namespace {

#ifdef LOCKSTEP_FUZZER_BINARY
constexpr auto kParse = ParseProgramBinary;
#else
constexpr auto kParse = ParseProgramText;
#endif

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
    if (program.status().message().empty()) {
      absl::FPrintF(stderr, "%s: an error without a message\n",
                    LOCKSTEP_FUZZER);
      std::abort();
    }
    return 0;
  }
  CountProgram(program->steps.size());
  const absl::StatusOr<Program> text =
      ParseProgramText(FormatProgramText(*program), "text");
  if (!text.ok() || *text != *program) Abort("text", *program, text);
  const absl::StatusOr<Program> binary =
      ParseProgramBinary(FormatProgramBinary(*program), "binary");
  if (!binary.ok() || *binary != *program) Abort("binary", *program, binary);
  return 0;
}

}  // namespace
}  // namespace lockstep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return lockstep::Run({reinterpret_cast<const char*>(data), size});
}
