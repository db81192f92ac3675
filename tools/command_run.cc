// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// lockstep run: programs, each judged after every step.

#include <algorithm>
#include <cstdio>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "props/trace_judge.h"
#include "tools/command.h"
#include "tools/json.h"
#include "tools/real_engine.h"
#include "tools/session.h"

namespace lockstep {
namespace {

struct RunResult {
  std::optional<Violation> violation;
  std::vector<JsonObject> trace;
};

class RunCommand : public Command {
 public:
  absl::string_view name() const override { return "run"; }
  absl::string_view arguments() const override { return "PROGRAM..."; }
  absl::string_view summary() const override {
    return "run programs and check every property after every step";
  }
  absl::string_view description() const override {
    return "Runs each program on the engine that its configuration (or an "
           "option) names,\nwith every property checked after every step: what "
           "the step touched while it\nruns, and all of the machine in a "
           "second "
           "run. The program's own expectations\nare checked too. One line a "
           "program: OK, or the first violation.\n"
           "On a real kernel (--engine=host, guest:6.1) contracts and "
           "expectations are checked\nby what is observed there, without the "
           "model: lockstep diff compares with it. A\nprogram whose "
           "configuration cannot be had there is said, status 3; a step that\n"
           "cannot be run is UNSUPPORTED in the trace.";
  }
  std::vector<Option> Options() override {
    std::vector<Option> rows = engine_.Rows(EngineRows::kOneProfile);
    rows.push_back(SwitchOption("--trace",
                                "every step with its outcome and "
                                "the locked_vm of its task",
                                &trace_));
    rows.push_back(SwitchOption("--full",
                                "check all of the machine after "
                                "every step, in one run\n"
                                "(the model only)",
                                &full_));
    rows.push_back(SwitchOption("--no-check", "only run", &no_check_));
    rows.push_back(SwitchOption("--json", "one JSON object a program", &json_));
    return rows;
  }

  ExitStatus Run(absl::Span<const std::string> args) override {
    if (absl::Status status = engine_.CheckEngine(); !status.ok()) {
      return Fail(status);
    }
    if (full_ && engine_.IsReal()) {
      return Fail(kExitUsage, absl::StrCat("--full: looks into the model, "
                                           "expected --engine=reference, not ",
                                           engine_.engine));
    }
    if (args.empty()) return Fail(kExitUsage, "expected at least one program");
    ExitStatus worst = kExitFine;
    if (engine_.IsReal()) return RunOnReal(args);
    for (const std::string& path : args) {
      worst = std::max(worst, RunFile(path));
    }
    return worst;
  }

 private:
  // All programs in one go: the kernel gets them in batches.
  ExitStatus RunOnReal(absl::Span<const std::string> paths) {
    absl::StatusOr<RealEngine> real = OpenRealEngine(
        name(), engine_.engine, engine_.kernel, engine_.defects, {});
    if (!real.ok()) return Fail(real.status());
    ExitStatus worst = kExitFine;
    std::vector<std::string> names;
    std::vector<Program> programs;
    for (const std::string& path : paths) {
      absl::StatusOr<Program> program = LoadProgram(path);
      if (!program.ok()) {
        worst = std::max(worst, Fail(program.status()));
        continue;
      }
      real->Apply(&program->config);
      names.push_back(path);
      programs.push_back(*std::move(program));
    }
    absl::StatusOr<std::vector<Trace>> traces = real->kernel->Run(programs);
    if (!traces.ok()) return Fail(traces.status());
    TraceJudge judge{std::string(real->kernel->name())};
    for (size_t i = 0; i < programs.size(); ++i) {
      const Trace& trace = (*traces)[i];
      if (trace.end == wire::End::kRefused) {
        worst =
            std::max(worst, Fail(kExitImpossible,
                                 absl::StrCat(names[i], ": not run here: ",
                                              WhyRefused(programs[i], trace))));
        continue;
      }
      RunResult result;
      if (trace_) PrintTrace(programs[i], trace, &result);
      absl::StatusOr<std::optional<Violation>> violation = std::nullopt;
      if (!no_check_) violation = JudgeReal(programs[i], trace, &judge);
      if (!violation.ok()) return Fail(violation.status());
      result.violation = *std::move(violation);
      Print(names[i], programs[i], result, real->Label());
      if (result.violation) worst = std::max(worst, kExitViolated);
    }
    return worst;
  }

  // Contracts and expectations, whichever fails first; then whether the program
  // came to its end. Not the model: that is what lockstep diff is for.
  static absl::StatusOr<std::optional<Violation>> JudgeReal(
      const Program& program, const Trace& trace, TraceJudge* judge) {
    absl::StatusOr<std::optional<Violation>> contract =
        judge->CheckContracts(program, trace);
    if (!contract.ok()) return contract;
    std::optional<Violation> expectation =
        judge->CheckTheExpectations(program, trace);
    if (expectation &&
        (!contract->has_value() || expectation->step < (*contract)->step)) {
      return expectation;
    }
    if (contract->has_value()) return contract;
    return judge->CheckEnd(program, trace);
  }

  void PrintTrace(const Program& program, const Trace& trace,
                  RunResult* result) const {
    for (size_t i = 0; i < trace.steps.size(); ++i) {
      const TracedStep& step = trace.steps[i];
      const TaskState& task =
          step.tasks[program.steps[i].task % kTaskSlots].state;
      NoteStep(program, i, step.outcome, task, result);
    }
  }

  void NoteStep(const Program& program, size_t step, const Outcome& outcome,
                const TaskState& task, RunResult* result) const {
    if (json_) {
      JsonObject line;
      line.Add("step", uint64_t{step})
          .Add("call", DebugString(program.steps[step]))
          .Add("outcome", DebugString(outcome))
          .Add("locked_vm", task.locked_vm.n);
      result->trace.push_back(line);
    } else {
      absl::PrintF("%4d  %s = %s, locked_vm %d\n", step,
                   DebugString(program.steps[step]), DebugString(outcome),
                   task.locked_vm.n);
    }
  }

  ExitStatus RunFile(const std::string& path) {
    absl::StatusOr<Program> program = LoadProgram(path);
    if (!program.ok()) return Fail(program.status());
    if (absl::Status status = engine_.Apply(&program->config); !status.ok()) {
      return Fail(kExitUsage, absl::StrCat(path, ": ", status.message()));
    }
    RunResult result;
    absl::Status status = Execute(*program, &result);
    if (!status.ok()) {
      return Fail(absl::Status(status.code(),
                               absl::StrCat(path, ": ", status.message())));
    }
    Print(path, *program, result, program->config.profile->name);
    return result.violation ? kExitViolated : kExitFine;
  }

  absl::Status Execute(const Program& program, RunResult* result) {
    SessionOptions options;
    options.checking = no_check_ ? Checking::kNone
                       : full_   ? Checking::kFull
                                 : Checking::kIncremental;
    options.expectations = !no_check_;
    const auto after_step = [&](size_t step, const Outcome& outcome,
                                const reference::ReferenceEngine& engine) {
      if (!trace_) return;
      TaskState task;
      engine.Observe(program.steps[step].task % kTaskSlots, &task);
      NoteStep(program, step, outcome, task, result);
    };
    absl::StatusOr<std::optional<Violation>> violation =
        RunProgram(program, options, after_step);
    if (violation.ok() && !violation->has_value() &&
        options.checking == Checking::kIncremental) {
      violation = RunProgram(program, {.checking = Checking::kFull});
    }
    if (!violation.ok()) return violation.status();
    result->violation = *std::move(violation);
    return absl::OkStatus();
  }

  void Print(const std::string& path, const Program& program,
             const RunResult& result, absl::string_view engine) const {
    const std::optional<Violation>& violation = result.violation;
    if (!json_) {
      absl::PrintF("%s: %s\n", path,
                   violation ? DebugString(program, *violation)
                             : absl::StrFormat("OK, %d steps on %s",
                                               program.steps.size(), engine));
      return;
    }
    JsonObject line;
    line.Add("program", path)
        .Add("kernel", program.config.profile->name)
        .Add("engine", engine_.engine)
        .Add("steps", uint64_t{program.steps.size()})
        .Add("ok", !violation.has_value());
    if (violation) {
      JsonObject object;
      object.Add("property", violation->property)
          .Add("step", uint64_t{violation->step})
          .Add("call", DebugString(program.steps[violation->step]))
          .Add("expected", violation->expected)
          .Add("seen", violation->seen);
      line.Add("violation", object);
    }
    if (trace_) line.Add("trace", result.trace);
    absl::PrintF("%s\n", line.ToString());
  }

  EngineOptions engine_;
  bool trace_ = false;
  bool full_ = false;
  bool no_check_ = false;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeRunCommand() {
  return std::make_unique<RunCommand>();
}

}  // namespace lockstep
