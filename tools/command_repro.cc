// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// lockstep shrink, lockstep repro: what is made of one program.

#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/reference/reference_engine.h"
#include "props/runner.h"
#include "props/shrink.h"
#include "props/trace_judge.h"
#include "tools/command.h"
#include "tools/findings.h"
#include "tools/real_engine.h"
#include "tools/real_findings.h"
#include "tools/report.h"
#include "tools/session.h"

namespace lockstep {
namespace {

// A command that turns one program into one text.
class OneProgramCommand : public Command {
 public:
  absl::string_view arguments() const override { return "PROGRAM"; }
  std::vector<Option> Options() override {
    std::vector<Option> rows = engine_.Rows(EngineRows::kOneProfile);
    rows.push_back(StringOption("--out", "FILE",
                                "where to write it, instead of standard output",
                                &out_));
    return rows;
  }

  ExitStatus Run(absl::Span<const std::string> args) override {
    if (absl::Status status = engine_.CheckEngine(); !status.ok()) {
      return Fail(status);
    }
    if (args.size() != 1) {
      return Fail(kExitUsage,
                  absl::StrCat("expected one program, found ", args.size()));
    }
    absl::StatusOr<Program> program = LoadProgram(args[0]);
    if (!program.ok()) return Fail(program.status());
    if (engine_.IsReal()) {
      // What is judged is a trace, so each program gets a process of its own.
      KernelOptions options;
      options.mode = wire::Mode::kProcessPerProgram;
      absl::StatusOr<RealEngine> real = OpenRealEngine(
          name(), engine_.engine, engine_.kernel, engine_.defects, options);
      if (!real.ok()) return Fail(real.status());
      real_ = std::make_unique<RealEngine>(*std::move(real));
      real_->Apply(&program->config);
    } else if (absl::Status status = engine_.Apply(&program->config);
               !status.ok()) {
      return Fail(kExitUsage, absl::StrCat(args[0], ": ", status.message()));
    }
    absl::StatusOr<std::string> text = Transform(args[0], *program);
    if (!text.ok()) return Fail(text.status());
    if (absl::Status status = WriteOutput(out_, *text); !status.ok()) {
      return Fail(status);
    }
    return kExitFine;
  }

 protected:
  virtual absl::StatusOr<std::string> Transform(const std::string& path,
                                                const Program& program) = 0;

  // Null: the reference engine.
  RealEngine* real() const { return real_.get(); }
  // What is wrong with the program on the real kernel: contracts, agreement.
  // Unavailable if it cannot be run there.
  absl::StatusOr<std::optional<Violation>> JudgeReal(
      const Program& program, Trace* trace = nullptr) const {
    absl::StatusOr<std::vector<Trace>> traces =
        real_->kernel->Run({&program, 1});
    if (!traces.ok()) return traces.status();
    const std::string refused = WhyRefused(program, traces->front());
    if (!refused.empty()) return absl::UnavailableError(refused);
    TraceJudge judge{std::string(real_->kernel->name())};
    absl::StatusOr<std::optional<Violation>> violation =
        judge.Judge(program, traces->front());
    if (trace != nullptr) *trace = std::move(traces->front());
    return violation;
  }

 private:
  EngineOptions engine_;
  std::unique_ptr<RealEngine> real_;
  std::string out_;
};

class ShrinkCommand : public OneProgramCommand {
 public:
  absl::string_view name() const override { return "shrink"; }
  absl::string_view summary() const override {
    return "the smallest program that still breaks the same property";
  }
  absl::string_view description() const override {
    return "Shrinks a program that violates a property until nothing simpler "
           "violates it\nin the same way, and writes what is left. An "
           "expectation in the file is no\nproperty: it is not what is shrunk "
           "to.\n"
           "With --engine=host or guest:6.1 every candidate runs on that "
           "kernel; a contract\nthat is broken there counts, and where it "
           "parts from the model.";
  }

 protected:
  absl::StatusOr<std::string> Transform(const std::string& path,
                                        const Program& program) override {
    if (real() != nullptr) {
      return ShrinkFrom(
          path, program, JudgeReal(program),
          [this](const Program& candidate) { return JudgeReal(candidate); });
    }
    // What the fuzzer checks with; full checks only where these see nothing.
    Checking checking = Checking::kIncremental;
    const auto run = [&checking](const Program& candidate) {
      return RunProgram(candidate,
                        {.checking = checking, .expectations = false});
    };
    absl::StatusOr<std::optional<Violation>> violation = run(program);
    if (violation.ok() && !violation->has_value()) {
      checking = Checking::kFull;
      violation = run(program);
    }
    reference::ReferenceEngine engine;
    Runner runner(&engine, checking);
    return ShrinkFrom(
        path, program, violation,
        [&runner](const Program& candidate) { return runner.Run(candidate); });
  }

 private:
  using RunOne = std::function<absl::StatusOr<std::optional<Violation>>(
      const Program& program)>;

  // `violation` is the program's own; candidates are run by `run`.
  static absl::StatusOr<std::string> ShrinkFrom(
      const std::string& path, const Program& program,
      const absl::StatusOr<std::optional<Violation>>& violation,
      const RunOne& run) {
    if (!violation.ok()) return violation.status();
    if (!violation->has_value()) {
      return absl::InvalidArgumentError(absl::StrCat(
          path,
          ": expected a program that violates a property, it violates "
          "none"));
    }
    Program failing = program;
    failing.steps.resize((*violation)->step + 1);
    failing.expectations.clear();
    const StillFails still_fails =
        [&](const Program& candidate) -> std::optional<Violation> {
      absl::StatusOr<std::optional<Violation>> seen = run(candidate);
      if (!seen.ok() || !seen->has_value() ||
          !SameViolation(failing, **violation, candidate, **seen)) {
        return std::nullopt;
      }
      return *std::move(seen);
    };
    // A real kernel need not do the same again.
    if (!still_fails(failing)) {
      return absl::UnavailableError(
          absl::StrCat(path, ": it does not violate ", (*violation)->property,
                       " when run again: nothing can be shrunk"));
    }
    const ShrinkResult result = Shrink(failing, still_fails);
    std::fputs(absl::StrCat("lockstep shrink: ", program.steps.size(),
                            " steps to ", result.program.steps.size(), " in ",
                            result.tried, " runs; ",
                            DebugString(result.program, result.violation), "\n")
                   .c_str(),
               stderr);
    return FormatProgramText(result.program);
  }
};

class ReproCommand : public OneProgramCommand {
 public:
  absl::string_view name() const override { return "repro"; }
  absl::string_view summary() const override {
    return "a program as C, as text or as a report";
  }
  absl::string_view description() const override {
    return "Writes the program in another form:\n"
           "  c         a stand-alone C program that says whether the kernel "
           "it "
           "runs on\n            deviates from the documented behaviour\n"
           "  txtpb     the program as text\n"
           "  markdown  a report: the violation, what explains it, the trace, "
           "the states\n"
           "With --engine=host or guest:6.1 the violation is that of this "
           "kernel, and the\nreport has both sides; the reproducer is compiled "
           "and run there for it.";
  }
  std::vector<Option> Options() override {
    std::vector<Option> rows = OneProgramCommand::Options();
    rows.push_back(
        {"--format", "FORMAT", "c (if not given), txtpb, markdown",
         [this](absl::string_view value) {
           if (value != "c" && value != "txtpb" && value != "markdown") {
             return absl::InvalidArgumentError("expected c, txtpb or markdown");
           }
           format_ = std::string(value);
           return absl::OkStatus();
         }});
    return rows;
  }

 protected:
  absl::StatusOr<std::string> Transform(const std::string& path,
                                        const Program& program) override {
    if (format_ == "txtpb") return FormatProgramText(program);
    Trace trace;
    absl::StatusOr<std::optional<Violation>> violation =
        real() != nullptr ? JudgeReal(program, &trace) : Judge(program);
    if (!violation.ok()) return violation.status();
    const std::string shown_by = real() != nullptr ? real()->Label() : "";
    if (format_ == "c") {
      return RenderReproducerC(program, *violation, shown_by);
    }
    if (!violation->has_value()) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": a report needs a violation, this program shows none"));
    }
    if (real() == nullptr) return WriteReport(program, **violation, "");
    RealFinding finding;
    finding.program = program;
    finding.violation = **violation;
    finding.trace = std::move(trace);
    absl::StatusOr<std::string> source =
        RenderReproducerC(program, **violation, shown_by);
    ReproResult repro;
    if (!source.ok()) {
      repro.summary = std::string(source.status().message());
    } else {
      repro = TryReproOn(real()->kernel->name(), *source);
    }
    return WriteRealReport(finding, *real(), "", repro);
  }

 private:
  std::string format_ = "c";
};

}  // namespace

std::unique_ptr<Command> MakeShrinkCommand() {
  return std::make_unique<ShrinkCommand>();
}
std::unique_ptr<Command> MakeReproCommand() {
  return std::make_unique<ReproCommand>();
}

}  // namespace lockstep
