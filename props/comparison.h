// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Two engines, or two traces, in lockstep: the agreements asked after each step
// that both could run.

#ifndef LOCKSTEP_PROPS_COMPARISON_H_
#define LOCKSTEP_PROPS_COMPARISON_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/engine.h"
#include "engine/linux/trace.h"
#include "engine/outcome.h"
#include "engine/program.h"
#include "engine/step.h"
#include "engine/units.h"
#include "props/property.h"

namespace lockstep {

// The program's configuration on the model, as the machine is on which the
// trace was made: its size, and what the process brought with it. Profile and
// defects are not touched.
Config AsTraced(const Config& config, const Trace& trace);

// Some step asks for protection EXEC alone, which the CPU decides about.
bool HasExecuteOnly(absl::Span<const Step> steps);

// Pages of the process's image that are locked.
Pages LockedImage(const TaskState& task, Pages image_lockable);

// mlockall(MCL_CURRENT) that is held against a limit: the size of the process,
// its image included, decides.
bool ImageDecides(const Step& step, const TaskState& before);

// Two engines in lockstep. Neither is owned.
class Comparison {
 public:
  // `sees` is what both can see.
  Comparison(Engine* model, Engine* real, uint32_t sees);
  ~Comparison();

  // Both begin: the model with this configuration, the real one as it is.
  absl::Status Start(const Config& config);
  // Runs the step on the real engine and, if that can run it, on the model;
  // then compares. Unsupported on the model: over() from here on.
  std::optional<Violation> Run(const Step& step);
  // The first `steps` steps, up to `most` differences, in one step each; then,
  // if the trace of one went down there (null: it did not), that. What comes
  // after the first difference may be its consequence.
  std::vector<Violation> RunAll(const Program& program, size_t steps,
                                const Trace* model, const Trace* real,
                                size_t most);
  // Nothing more can be compared: one ran what the other cannot, or a page
  // allocation fails, which is another one on another kernel.
  bool over() const { return over_; }
  const Outcome& model_outcome() const;
  const Outcome& real_outcome() const;

 private:
  struct State;
  Engine* const model_;
  Engine* const real_;
  const uint32_t sees_;
  bool over_ = false;
  size_t steps_ = 0;
  std::unique_ptr<State> state_;
};

// agree-end after `steps` steps, if the trace of one went down there (null:
// that engine did not).
std::optional<Violation> HowItEnded(const Program& program, size_t steps,
                                    const Trace* model, const Trace* real);

// Where two traces of one program part, `a` in the model's place. `b` is shown
// as if its process had the size of a's, and where that size decides, nothing
// more is compared. Steps that one of the engines could not run are left out of
// both: see WithoutUnsupported.
absl::StatusOr<std::vector<Violation>> CompareTraces(const Program& program,
                                                     const Trace& a,
                                                     const Trace& b,
                                                     size_t most);

// The program with a step that does nothing in the place of each that the
// trace shows as unsupported.
Program WithoutUnsupported(const Program& program, const Trace& trace);

}  // namespace lockstep

#endif  // LOCKSTEP_PROPS_COMPARISON_H_
