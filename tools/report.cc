// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/report.h"

#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "engine/reference/reference_engine.h"
#include "props/shrink.h"
#include "tools/session.h"

namespace lockstep {
namespace {

// What a run up to the violation showed.
struct Trace {
  std::string steps;   // a line a step, as markdown table rows
  std::string before;  // the state before the violated step
  std::string after;
};

absl::StatusOr<Trace> TraceOf(const Program& program,
                              const Violation& violation) {
  Trace trace;
  reference::ReferenceEngine start;
  if (absl::Status status = start.Reset(program.config); !status.ok()) {
    return status;
  }
  std::string state = DescribeState(start);
  const auto after_step = [&](size_t step, const Outcome& outcome,
                              const reference::ReferenceEngine& engine) {
    TaskState task;
    engine.Observe(program.steps[step].task % kTaskSlots, &task);
    // A bar would end the cell of the table.
    const std::string call =
        absl::StrReplaceAll(DebugString(program.steps[step]), {{"|", "\\|"}});
    absl::StrAppend(&trace.steps, "| ", step, " | `", call, "` | ",
                    DebugString(outcome), " | ",
                    task.exists ? absl::StrCat(task.locked_vm.n) : "gone",
                    step == violation.step ? ", **here**" : "", " |\n");
    trace.before = std::move(state);
    state = DescribeState(engine);
  };
  absl::StatusOr<std::optional<Violation>> again =
      RunProgram(program, {.checking = Checking::kFull}, after_step);
  if (!again.ok()) return again.status();
  if (!again->has_value()) {
    again = Judge(program);
    if (!again.ok()) return again.status();
  }
  if (!again->has_value() || (*again)->property != violation.property) {
    return absl::InvalidArgumentError(
        absl::StrCat("the program does not violate ", violation.property,
                     " when run again"));
  }
  trace.after = std::move(state);
  return trace;
}

const PropertyInfo* FindProperty(absl::string_view name) {
  for (const PropertyInfo& info : AllProperties()) {
    if (info.name == name) return &info;
  }
  return nullptr;
}

std::string DefectsSection(const Program& program,
                           const std::vector<Defect>& explaining) {
  const Config& config = program.config;
  std::string text;
  if (config.defects.empty()) {
    return "The model ran without any defect: either it or the property is "
           "wrong.\n";
  }
  absl::StrAppend(&text, "Defects switched on:");
  for (const DefectInfo& info : AllDefects()) {
    if (config.Has(info.defect)) absl::StrAppend(&text, " ", info.name);
  }
  absl::StrAppend(&text, ".\n\n");
  for (Defect defect : explaining) {
    const DefectInfo& info = InfoOf(defect);
    absl::StrAppend(&text, "* Without **", info.name, "** (", info.number,
                    ") it is gone. ", info.mechanism, " Fixed by: ", info.fix,
                    ". Affected: ", info.affected, ".\n");
  }
  if (explaining.empty()) {
    absl::StrAppend(&text,
                    "It stays whichever single one of them is switched off.\n");
  }
  return text;
}

}  // namespace

absl::StatusOr<std::vector<Defect>> ExplainingDefects(
    const Program& program, const Violation& violation) {
  std::vector<Defect> explaining;
  for (const DefectInfo& info : AllDefects()) {
    if (!program.config.Has(info.defect)) continue;
    Program without = program;
    without.config.defects.Remove(info.defect);
    absl::StatusOr<std::optional<Violation>> seen = Judge(without);
    if (!seen.ok()) return seen.status();
    if (!seen->has_value() ||
        !SameViolation(program, violation, without, **seen)) {
      explaining.push_back(info.defect);
    }
  }
  return explaining;
}

absl::StatusOr<std::string> WriteReport(const Program& program,
                                        const Violation& violation,
                                        absl::string_view found) {
  absl::StatusOr<Trace> trace = TraceOf(program, violation);
  if (!trace.ok()) return trace.status();
  absl::StatusOr<std::vector<Defect>> explaining =
      ExplainingDefects(program, violation);
  if (!explaining.ok()) return explaining.status();

  const Config& config = program.config;
  const std::string defects = FormatDefects(*config.profile, config.defects);
  const PropertyInfo* property = FindProperty(violation.property);
  std::string text = absl::StrCat("# ", violation.property, "\n\n");
  if (property != nullptr) {
    absl::StrAppend(&text, property->statement,
                    "\n\nSource: ", property->source, "\n\n");
  }
  absl::StrAppend(
      &text, "* Kernel: ", config.profile->name, ", ", config.profile->title,
      "\n* Defects: ", defects.empty() ? "those of the kernel" : defects,
      "\n* Step: ", violation.step, ", `",
      violation.step < program.steps.size()
          ? DebugString(program.steps[violation.step])
          : "the end",
      "`\n* Expected: ", violation.expected, "\n* Seen: ", violation.seen,
      "\n");
  if (!found.empty()) absl::StrAppend(&text, "* Found: ", found, "\n");
  absl::StrAppend(
      &text, "\nTo see it again:\n\n    lockstep run --trace program.txtpb\n",
      "\nTo try a kernel:\n\n    cc -o repro repro.c && ./repro\n",
      "\n## What explains it\n\n", DefectsSection(program, *explaining),
      "\n## Trace\n\n| step | call | outcome | locked_vm "
      "|\n|---|---|---|---|\n",
      trace->steps,
      "\nlocked_vm is that of the step's task, in pages, after the step.\n",
      "\n## Before the step\n\n```\n", trace->before,
      "```\n\n## After the step\n\n```\n", trace->after, "```\n",
      "\n## The program\n\n```\n", FormatProgramText(program), "```\n");
  return text;
}

}  // namespace lockstep
