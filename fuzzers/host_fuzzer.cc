// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The kernel underneath: the contracts, and the model in lockstep with it.
// Judged divergences and what the kernel was released with are no findings;
// LOCKSTEP_FUZZ_DEFECTS in the environment, a list as --defect= takes it,
// changes what it is taken to have. Exits with status 3, saying what is
// missing, where the host cannot run programs.

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/judged.h"
#include "engine/linux/kernel.h"
#include "fuzzers/finding.h"
#include "fuzzers/kernel_choice.h"
#include "fuzzers/program_input.h"
#include "fuzzers/statistics.h"
#include "fuzzers/target.h"
#include "props/judged.h"
#include "props/trace_judge.h"

namespace lockstep {
namespace {

template <typename T>
T OrExit(absl::StatusOr<T> value) {
  if (value.ok()) return *std::move(value);
  absl::FPrintF(stderr, "%s: %s\n", LOCKSTEP_FUZZER, value.status().message());
  std::exit(3);
}

class HostTarget {
 public:
  HostTarget()
      : kernel_(OrExit(MakeHostKernel({}))),
        confirm_(
            OrExit(MakeHostKernel({.mode = wire::Mode::kProcessPerProgram}))),
        judged_(OrExit(LoadJudged(""))),
        judge_(std::string(kernel_->name())) {
    const ProfileChoice choice = ProfileFor(kernel_->release());
    profile_ = choice.profile;
    defects_ = DefectsFromEnvironment(*profile_, profile_->shipped);
    if (!choice.remark.empty()) {
      absl::FPrintF(stderr, "%s: %s\n", LOCKSTEP_FUZZER, choice.remark);
    }
    for (const std::string& limitation : kernel_->limitations()) {
      absl::FPrintF(stderr, "%s: %s\n", LOCKSTEP_FUZZER, limitation);
    }
  }

  const Profile& profile() const { return *profile_; }
  DefectSet defects() const { return defects_; }

  int Run(const uint8_t* data, size_t size) {
    absl::StatusOr<const Program*> input =
        ProgramInput::Shared().Parse(data, size);
    if (!input.ok()) return -1;
    Program program = **input;
    program.config.SetProfile(*profile_);
    program.config.defects = defects_;
    if (!RunsHere(program)) return -1;
    const std::optional<Violation> violation = Judge(kernel_.get(), program);
    if (!violation) return 0;
    // A program before it may have left something behind: only what shows in a
    // process of its own is a finding.
    const std::optional<Violation> again = Judge(confirm_.get(), program);
    if (!again) return 0;
    ReportAndAbort(LOCKSTEP_FUZZER, program, *again,
                   "lockstep run --engine=host");
  }

 private:
  static bool RunsHere(const Program& program) {
    for (const Step& step : program.steps) {
      if (!Vocabulary::RunsForReal(step) || step.during_count != 0) {
        return false;
      }
    }
    return program.config.memlock_limit <= VocabularyOptions::kMostRealLimit &&
           program.config.arena_pages <= wire::kMaxArenaPages;
  }

  // What is wrong with the program on the kernel, judged divergences apart.
  std::optional<Violation> Judge(Kernel* kernel, const Program& program) {
    const std::vector<Trace> traces = OrExit(kernel->Run({&program, 1}));
    const Trace& trace = traces.front();
    if (trace.end == wire::End::kRefused) return std::nullopt;
    CountProgram(trace.steps.size());
    std::optional<Defect> explained;
    const std::optional<Violation> violation =
        OrExit(judge_.Judge(program, trace, &explained));
    if (!violation) return std::nullopt;
    const JudgedContext context = {.engine = kernel->name(),
                                   .kernel = profile_->name,
                                   .program = program,
                                   .violation = *violation};
    return FindJudged(judged_, context) == nullptr ? violation : std::nullopt;
  }

  std::unique_ptr<Kernel> kernel_, confirm_;
  std::vector<Judged> judged_;
  TraceJudge judge_;
  const Profile* profile_;
  DefectSet defects_;
};

HostTarget& TheTarget() {
  static HostTarget& target = *new HostTarget();
  return target;
}

}  // namespace

MutatorOptions TargetMutatorOptions() {
  MutatorOptions options;
  options.vocabulary.profile = &TheTarget().profile();
  options.vocabulary.defects = TheTarget().defects();
  options.vocabulary.real_kernel = true;
  return options;
}

}  // namespace lockstep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return lockstep::TheTarget().Run(data, size);
}
