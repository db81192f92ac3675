// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// A program as a stand-alone C program that says whether the kernel it runs on
// keeps the documented behaviour. Exit statuses are kselftest's: 0 it behaves,
// 1 the deviation is there, 4 it cannot be tried here.

#ifndef LOCKSTEP_TOOLS_REPRO_C_H_
#define LOCKSTEP_TOOLS_REPRO_C_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "engine/program.h"
#include "props/property.h"
#include "tools/documented.h"

namespace lockstep {

// `violation` is what the program shows, if it shows something, on the kernel
// `shown_by`: "host 6.18.44", or, if empty, the model.
std::string WriteReproducerC(const Program& program,
                             const DocumentedProgram& documented,
                             const std::optional<Violation>& violation,
                             absl::string_view shown_by = "");

}  // namespace lockstep

#endif  // LOCKSTEP_TOOLS_REPRO_C_H_
