// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Program between its message and its structs. Every number of a message has
// the meaning that program.proto gives it; only a few names can be wrong.

#ifndef LOCKSTEP_ENGINE_PROGRAM_PROTO_H_
#define LOCKSTEP_ENGINE_PROGRAM_PROTO_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/program.h"
#include "lockstep/program.pb.h"

namespace lockstep {

// What is wrong with a message and where: a way down its fields, with the index
// for repeated ones (-1 for others), such as steps 3, expect 0, outcome.
struct ProgramProblem {
  struct Part {
    absl::string_view field;
    int index = -1;
  };
  std::string message;
  std::vector<Part> where;

  // "steps[3].expect[0].outcome".
  std::string Path() const;
};

// False, with *problem filled: unknown kernel, defects, expected outcome or
// kernel of an expectation, a description or counter that is not UTF-8, more
// than kMaxSteps steps.
bool ProgramFromProto(const proto::Program& message, Program* program,
                      ProgramProblem* problem);
// The same, with the problem's path in an InvalidArgument.
absl::StatusOr<Program> ProgramFromProto(const proto::Program& message);

// Holds only what differs from the defaults, and the kernel, which is spelt out
// so that a program keeps its meaning when the default moves on.
proto::Program ProgramToProto(const Program& program);

// Bounds the memory that parsing a hostile file can take: a message of the
// schema needs up to 200 bytes, and no real program comes near this number.
inline constexpr size_t kMaxMessages = size_t{16} * kMaxSteps;

// The offset of the first byte that is not part of well-formed UTF-8; npos if
// all is.
size_t FindNonUtf8(absl::string_view text);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PROGRAM_PROTO_H_
