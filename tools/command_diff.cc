// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// lockstep diff: programs on two engines in lockstep, and where they part.

#include <algorithm>
#include <cstdio>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "engine/reference/reference_engine.h"
#include "props/comparison.h"
#include "props/judged.h"
#include "tools/command.h"
#include "tools/json.h"
#include "tools/real_engine.h"

namespace lockstep {
namespace {

// Differences of one program that are shown.
constexpr size_t kMostShown = 12;
// Each round replaces the steps that one of two real kernels could not run.
constexpr int kMostRounds = 4;

struct Result {
  std::string path;
  Program program;
  size_t not_run = 0;              // steps that an engine cannot run
  std::string refused;             // why it was not run at all
  std::vector<Violation> parting;  // expected: first engine's word
  const Judged* judged = nullptr;

  absl::string_view verdict() const {
    if (!refused.empty()) return "not run";
    if (parting.empty()) return "agrees";
    return judged != nullptr ? "judged" : "parts";
  }
  size_t steps() const {
    std::set<size_t> steps;
    for (const Violation& violation : parting) steps.insert(violation.step);
    return steps.size();
  }
};

class DiffCommand : public Command {
 public:
  absl::string_view name() const override { return "diff"; }
  absl::string_view arguments() const override { return "PROGRAM..."; }
  absl::string_view summary() const override {
    return "run programs on two engines and show where they part";
  }
  absl::string_view description() const override {
    return "Runs each program on both engines and compares, after every step, "
           "what is exact\non a real kernel: results and errnos, locked_vm and "
           "total_vm, per page the\nmapping, the protection, the locks and "
           "what is resident. A step that one engine\ncannot run is left out "
           "on the other. Divergences that are judged and known\n"
           "(corpus/judged.txtpb) are counted, not reported. What parts is "
           "shown with both\nsides' word; what comes after the first may "
           "follow "
           "from it.\n"
           "  lockstep diff PROGRAM                            the model and "
           "this kernel\n"
           "  lockstep diff --engines=guest:6.1,guest:6.12 PROGRAM\n"
           "  lockstep diff --engines=reference,guest:bzImage --kernel=v6.12 "
           "PROGRAM\n"
           "Exit status: 0 the engines agree, 1 they part; a program that a "
           "kernel cannot be\ngiven here is said and counted.";
  }
  std::vector<Option> Options() override {
    std::vector<Option> rows = options_.Rows(EngineRows::kProfileOfReal);
    rows.push_back(StringOption("--engines", "A,B",
                                "two of reference, host, guest:VERSION, "
                                "guest:BZIMAGE\n(reference,host)",
                                &engines_));
    rows.push_back(SwitchOption("--json", "one JSON object a program", &json_));
    return rows;
  }

  ExitStatus Run(absl::Span<const std::string> args) override {
    const std::vector<std::string> names = absl::StrSplit(engines_, ',');
    if (names.size() != 2 || names[0] == names[1]) {
      return Fail(kExitUsage,
                  absl::StrCat("--engines=", engines_,
                               ": expected two different engines, as in "
                               "--engines=reference,host"));
    }
    for (const std::string& engine : names) {
      if (engine != "reference" && !IsRealEngine(engine)) {
        return Fail(kExitUsage,
                    absl::StrCat("--engines=", engines_, ": unknown engine \"",
                                 engine, "\", expected ", kEngineNames));
      }
    }
    if (args.empty()) return Fail(kExitUsage, "expected at least one program");
    ExitStatus worst = kExitFine;
    std::vector<Result> results;
    for (const std::string& path : args) {
      absl::StatusOr<Program> program = LoadProgram(path);
      if (!program.ok()) {
        worst = std::max(worst, Fail(program.status()));
        continue;
      }
      Result result;
      result.path = path;
      result.program = *std::move(program);
      results.push_back(std::move(result));
    }
    for (const std::string& engine : names) {
      if (!IsRealEngine(engine)) continue;
      absl::StatusOr<RealEngine> real =
          OpenRealEngine(name(), engine, options_.kernel, options_.defects, {});
      if (!real.ok()) return Fail(real.status());
      real_.push_back(*std::move(real));
    }
    absl::StatusOr<std::vector<Judged>> judged = LoadJudged(options_.judged);
    if (!judged.ok()) return Fail(judged.status());
    for (Result& result : results) real_[0].Apply(&result.program.config);
    labels_ = {Label(names[0]), Label(names[1])};
    const absl::Status status =
        real_.size() == 1 ? CompareWithModel(names[0] != "reference", &results)
                          : CompareTwoReal(&results);
    if (!status.ok()) return Fail(status);
    for (Result& result : results) {
      if (!result.parting.empty()) Match(*judged, &result);
      Print(result);
      if (result.verdict() == "parts") worst = std::max(worst, kExitViolated);
    }
    PrintSummary(results);
    return worst;
  }

 private:
  std::string Label(const std::string& engine) const {
    if (engine == "reference") {
      return absl::StrCat("reference ", real_[0].profile->name);
    }
    for (const RealEngine& real : real_) {
      if (real.kernel->name() == engine) return real.Label();
    }
    return engine;
  }

  static std::vector<Program> ProgramsOf(const std::vector<Result>& results) {
    std::vector<Program> programs;
    for (const Result& result : results) programs.push_back(result.program);
    return programs;
  }

  static void CountNotRun(const Trace& trace, Result* result) {
    for (size_t i = 0; i < trace.steps.size(); ++i) {
      result->not_run +=
          trace.steps[i].outcome.kind == Outcome::Kind::kUnsupported;
    }
  }

  // `real_first`: the real engine was named first.
  absl::Status CompareWithModel(bool real_first, std::vector<Result>* results) {
    absl::StatusOr<std::vector<Trace>> traces =
        real_[0].kernel->Run(ProgramsOf(*results));
    if (!traces.ok()) return traces.status();
    reference::ReferenceEngine model;
    TraceEngine engine{std::string(real_[0].kernel->name())};
    for (size_t i = 0; i < results->size(); ++i) {
      Result& result = (*results)[i];
      const Trace& trace = (*traces)[i];
      result.refused = WhyRefused(result.program, trace);
      if (!result.refused.empty()) continue;
      CountNotRun(trace, &result);
      engine.Load(&trace);
      Comparison comparison(&model, &engine, trace.sees);
      absl::Status status =
          comparison.Start(AsTraced(result.program.config, trace));
      if (!status.ok()) return status;
      result.parting = comparison.RunAll(result.program, trace.steps.size(),
                                         nullptr, &trace, kMostShown);
      if (!real_first) continue;
      for (Violation& violation : result.parting) {
        std::swap(violation.expected, violation.seen);
      }
    }
    return absl::OkStatus();
  }

  absl::Status CompareTwoReal(std::vector<Result>* results) {
    std::vector<Program> programs = ProgramsOf(*results);
    std::vector<Trace> traces[2];
    for (int round = 0; round < kMostRounds; ++round) {
      bool same = true;
      for (int side = 0; side < 2; ++side) {
        absl::StatusOr<std::vector<Trace>> run =
            real_[side].kernel->Run(programs);
        if (!run.ok()) return run.status();
        traces[side] = *std::move(run);
        for (size_t i = 0; i < programs.size(); ++i) {
          Program without = WithoutUnsupported(programs[i], traces[side][i]);
          same = same && without == programs[i];
          CountNotRun(traces[side][i], &(*results)[i]);
          programs[i] = std::move(without);
        }
      }
      if (same) break;
    }
    for (size_t i = 0; i < results->size(); ++i) {
      Result& result = (*results)[i];
      for (int side = 0; side < 2 && result.refused.empty(); ++side) {
        result.refused = WhyRefused(result.program, traces[side][i]);
        if (!result.refused.empty()) {
          result.refused =
              absl::StrCat(real_[side].kernel->name(), ": ", result.refused);
        }
      }
      if (!result.refused.empty()) continue;
      absl::StatusOr<std::vector<Violation>> parting =
          CompareTraces(programs[i], traces[0][i], traces[1][i], kMostShown);
      if (!parting.ok()) return parting.status();
      result.parting = *std::move(parting);
    }
    return absl::OkStatus();
  }

  void Match(const std::vector<Judged>& judged, Result* result) const {
    for (const RealEngine& real : real_) {
      const JudgedContext context{.engine = real.kernel->name(),
                                  .kernel = real.profile->name,
                                  .program = result->program,
                                  .violation = result->parting.front()};
      result->judged = FindJudged(judged, context);
      if (result->judged != nullptr) return;
    }
  }

  void Print(const Result& result) const {
    if (json_) return PrintJson(result);
    std::string line = absl::StrCat(result.path, ": ");
    if (!result.refused.empty()) {
      absl::StrAppend(&line, "not run here: ", result.refused);
    } else if (result.parting.empty()) {
      absl::StrAppend(&line, "agrees, ", result.program.steps.size(), " steps");
    } else if (result.judged != nullptr) {
      absl::StrAppend(&line, "judged: ", result.judged->name);
    } else {
      absl::StrAppend(&line, result.steps(),
                      result.steps() == 1 ? " step parts" : " steps part");
    }
    if (result.not_run != 0) {
      absl::StrAppend(&line, ", ", result.not_run, " not run");
    }
    absl::PrintF("%s\n", line);
    if (result.verdict() != "parts") return;
    const size_t width = std::max(labels_[0].size(), labels_[1].size());
    for (const Violation& violation : result.parting) {
      absl::PrintF("%4d  %s: %s\n", violation.step,
                   DebugString(result.program.steps[violation.step]),
                   violation.property);
      absl::PrintF("      %-*s  %s\n", static_cast<int>(width), labels_[0],
                   violation.expected);
      absl::PrintF("      %-*s  %s\n", static_cast<int>(width), labels_[1],
                   violation.seen);
    }
  }

  void PrintJson(const Result& result) const {
    JsonObject line;
    line.Add("program", result.path)
        .Add("engines", absl::Span<const std::string>(labels_))
        .Add("kernel", real_[0].profile->name)
        .Add("verdict", result.verdict())
        .Add("steps", uint64_t{result.program.steps.size()})
        .Add("steps_not_run", uint64_t{result.not_run});
    if (!result.refused.empty()) line.Add("why", result.refused);
    if (result.judged != nullptr) line.Add("judged", result.judged->name);
    std::vector<JsonObject> parting;
    for (const Violation& violation : result.parting) {
      JsonObject object;
      object.Add("step", uint64_t{violation.step})
          .Add("call", DebugString(result.program.steps[violation.step]))
          .Add("property", violation.property)
          .Add("a", violation.expected)
          .Add("b", violation.seen);
      parting.push_back(object);
    }
    line.Add("parting", absl::Span<const JsonObject>(parting));
    absl::PrintF("%s\n", line.ToString());
  }

  void PrintSummary(const std::vector<Result>& results) const {
    if (json_ || results.size() < 2) return;
    size_t agree = 0, part = 0, judged = 0, refused = 0;
    for (const Result& result : results) {
      agree += result.verdict() == "agrees";
      part += result.verdict() == "parts";
      judged += result.verdict() == "judged";
      refused += result.verdict() == "not run";
    }
    absl::PrintF("%s: %d agree, %d part, %d judged, %d not run here\n",
                 absl::StrJoin(labels_, " and "), agree, part, judged, refused);
  }

  EngineOptions options_;
  std::string engines_ = "reference,host";
  std::vector<RealEngine> real_;
  std::vector<std::string> labels_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeDiffCommand() {
  return std::make_unique<DiffCommand>();
}

}  // namespace lockstep
