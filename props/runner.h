// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Runs programs on an engine and checks every property after every step.

#ifndef LOCKSTEP_PROPS_RUNNER_H_
#define LOCKSTEP_PROPS_RUNNER_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/engine.h"
#include "engine/outcome.h"
#include "engine/program.h"
#include "props/property.h"

namespace lockstep {

namespace reference {
class ReferenceEngine;
}  // namespace reference

enum class Checking : uint8_t {
  kNone,         // run only
  kIncremental,  // what the step touched
  kFull,         // everything, recounted from nothing
};

// Which properties are checked.
enum class Rules : uint8_t {
  kAll,        // for a ReferenceEngine the invariants besides the contracts
  kContracts,  // what any engine can be held to
};

class Runner {
 public:
  // The engine outlives the runner.
  explicit Runner(Engine* engine, Checking checking = Checking::kIncremental,
                  Rules rules = Rules::kAll);
  ~Runner();

  // Resets the engine. InvalidArgument or Unavailable if it cannot be in that
  // state.
  absl::Status Start(const Config& config);
  // Runs one step and checks. After a violation the engine's state is as the
  // step left it; going on is allowed, but later violations mean little.
  std::optional<Violation> Run(const Step& step);
  // Start, then every step up to the first violation.
  absl::StatusOr<std::optional<Violation>> Run(const Program& program);

  // The outcome of the last step.
  const Outcome& outcome() const { return outcome_; }
  // Steps since Start.
  size_t steps() const { return steps_; }
  const World& world() const;
  Engine& engine() { return *engine_; }

 private:
  struct State;
  // Lets the contracts that look before the step do so.
  void Prepare(const Step& step);
  // The name of the first property that does not hold after the step, with the
  // reason in the state; empty if all hold.
  absl::string_view Check(const Step& step);

  Engine* engine_;
  reference::ReferenceEngine* reference_;  // null: no invariants
  Checking checking_;
  Outcome outcome_;
  size_t steps_ = 0;
  std::unique_ptr<State> state_;
};

// Checks what the program's expectations for this profile say about the state
// after step `step`; the first that does not hold, as a violation of the
// property "expectation".
std::optional<Violation> CheckExpectations(const Program& program, size_t step,
                                           const Outcome& outcome,
                                           const Engine& engine);

}  // namespace lockstep

#endif  // LOCKSTEP_PROPS_RUNNER_H_
