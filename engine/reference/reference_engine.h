// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The reference engine: the model of mm/mlock.c and what it touches, behind the
// Engine interface.

#ifndef LOCKSTEP_ENGINE_REFERENCE_REFERENCE_ENGINE_H_
#define LOCKSTEP_ENGINE_REFERENCE_REFERENCE_ENGINE_H_

#include <memory>
#include <string>

#include "engine/engine.h"

namespace lockstep::reference {

struct Machine;

class ReferenceEngine final : public Engine {
 public:
  ReferenceEngine();
  ~ReferenceEngine() override;

  absl::string_view name() const override { return "reference"; }
  absl::Status Reset(const Config& config) override;
  Outcome Run(const Step& step) override;

  void Observe(int task, TaskState* state) const override;
  uint32_t ChangedTasks() const override;
  PageState ObservePage(int task, Vpn page) const override;
  bool AllPresent(int task, Vpn start, Vpn end) const override;
  bool AnyGuard(int task, Vpn start, Vpn end) const override;
  ShmState ObserveShm(int slot) const override;
  Pages LockedShm(int uid) const override;
  uint64_t FileSize(int slot) const override;
  StepEvents Events() const override;
  absl::Status Counter(absl::string_view name, int64_t* value) const override;

  // The inside, for invariants and for tests that break it on purpose.
  const Machine& machine() const { return *machine_; }
  Machine& machine_for_test() { return *machine_; }

  // The machine for a person: VMAs, pages with their flags, lists, counters.
  std::string DebugString() const;

 private:
  Outcome Call(const Step& step);

  std::unique_ptr<Machine> machine_;
};

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_REFERENCE_ENGINE_H_
