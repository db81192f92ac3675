// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Agreement: two engines run the same program and must show the same, step by
// step. Only what is exact on a real kernel is compared; where the
// specification leaves freedom (which unlocked pages reclaim has taken, what
// fault-around brought in), so does the comparison.

#ifndef LOCKSTEP_PROPS_AGREEMENT_H_
#define LOCKSTEP_PROPS_AGREEMENT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/engine.h"
#include "engine/linux/trace.h"
#include "engine/outcome.h"
#include "engine/profile.h"
#include "engine/program.h"
#include "engine/step.h"
#include "engine/units.h"
#include "props/property.h"

namespace lockstep {

// One engine after a step, with what a comparison looks at.
struct Side {
  Outcome outcome;
  World world;
  // The pages of arena and heap of each task; bits of RangeBit and kPageMapped.
  static constexpr uint32_t kPageMapped = uint32_t{1} << 31;
  std::vector<uint32_t> pages[kTaskSlots];
};

struct AgreementContext {
  const Config& config;
  const Step& step;
  // What both engines can see: bits of wire::Sees.
  uint32_t sees;
  // The program had a second address space at some time: pages may have been
  // shared by copy on write.
  bool forked;
  // Reclaim was asked for at some time: what it leaves is its own affair.
  bool reclaimed;
  const Side& model;
  const Side& real;
  const Engine& model_engine;
  const Engine& real_engine;
};

// One compared thing: a row of the table. `holds` fills *mismatch with the
// model's word as what was expected and the real kernel's as what was seen.
struct Agreement {
  absl::string_view name;  // "agree-locked-vm"
  absl::string_view statement;
  absl::string_view source;
  bool (*holds)(const AgreementContext& context, Mismatch* mismatch);
};
absl::Span<const Agreement> AllAgreements();

// The property of a program that a real kernel did not get to the end of: it
// hung, was killed, or the executor lost it.
inline constexpr absl::string_view kAgreeEnd = "agree-end";

// The program's configuration on the model, as the machine is on which the
// trace was made: its size, and what the process brought with it. Profile and
// defects are not touched.
Config AsTraced(const Config& config, const Trace& trace);

// Some step asks for protection EXEC alone, which the CPU decides about.
bool HasExecuteOnly(absl::Span<const Step> steps);

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
// more is compared. Steps that
// one of the engines could not run are left out of both: see
// WithoutUnsupported.
absl::StatusOr<std::vector<Violation>> CompareTraces(const Program& program,
                                                     const Trace& a,
                                                     const Trace& b,
                                                     size_t most);

// The program with a step that does nothing in the place of each that the
// trace shows as unsupported.
Program WithoutUnsupported(const Program& program, const Trace& trace);

}  // namespace lockstep

#endif  // LOCKSTEP_PROPS_AGREEMENT_H_
