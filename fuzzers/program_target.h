// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// A program on the reference engine with every property after every step, for
// one input after the other.

#ifndef LOCKSTEP_FUZZERS_PROGRAM_TARGET_H_
#define LOCKSTEP_FUZZERS_PROGRAM_TARGET_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "engine/program.h"
#include "engine/reference/reference_engine.h"
#include "props/property.h"
#include "props/runner.h"

namespace lockstep {

class ProgramTarget {
 public:
  // `name` is the target's. `kernel` and `defects` replace those of the input
  // if `kernel` is not null.
  ProgramTarget(absl::string_view name, const Profile* kernel,
                DefectSet defects);

  // 0, or -1 if the input is no program. Aborts with the finding if a property
  // does not hold.
  int Run(const uint8_t* data, size_t size);

 private:
  std::optional<Violation> RunSteps(const Config& config,
                                    const std::vector<Step>& steps);
  [[noreturn]] void Report(const Program& program, const Violation& violation);

  const std::string name_;
  const Profile* const kernel_;
  const DefectSet defects_;
  reference::ReferenceEngine engine_;
  Runner runner_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_FUZZERS_PROGRAM_TARGET_H_
