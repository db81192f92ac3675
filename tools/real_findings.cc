// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/real_findings.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "engine/linux/wire.h"
#include "engine/reference/reference_engine.h"
#include "props/comparison.h"
#include "props/contract_support.h"
#include "props/property.h"
#include "tools/session.h"

namespace lockstep {
namespace {

const PropertyInfo* FindProperty(absl::string_view name) {
  for (const PropertyInfo& info : AllProperties()) {
    if (info.name == name) return &info;
  }
  return nullptr;
}

// "OK, locked_vm 3".
std::string Cell(const Outcome& outcome, const TaskState& task) {
  return absl::StrCat(
      DebugString(outcome), ", ",
      task.exists ? absl::StrCat("locked_vm ", task.locked_vm.n) : "gone");
}

// The ranges of arena and heap, and which of their pages are resident.
std::string DescribeTask(const Engine& engine, int slot) {
  TaskState task;
  engine.Observe(slot, &task);
  if (!task.exists) return "";
  std::string text =
      absl::StrCat("task ", slot, ": locked_vm ", task.locked_vm.n,
                   ", total_vm ", task.total_vm.n, "\n");
  for (const Range& range : task.ranges) {
    absl::StrAppend(&text, "  ",
                    contracts::DescribePages(range.start, range.end,
                                             range.bits | contracts::kMapped));
    if ((range.end - range.start).n > wire::kMaxArenaPages) {
      absl::StrAppend(&text, "\n");
      continue;
    }
    std::string pages;
    for (Vpn page = range.start; page < range.end; ++page) {
      const PageState state = engine.ObservePage(slot, page);
      pages.push_back(state.mlocked ? 'M' : state.present ? 'p' : '.');
    }
    absl::StrAppend(&text, " [", pages, "]\n");
  }
  return text;
}

std::string DescribeTasks(const Engine& engine) {
  std::string text;
  for (int slot = 0; slot < kTaskSlots; ++slot) {
    absl::StrAppend(&text, DescribeTask(engine, slot));
  }
  return text;
}

// Both sides run the program once more, step by step.
struct BothSides {
  std::string rows;
  std::string model, real;  // states after the step where they part
};
BothSides RunBoth(const RealFinding& finding, const RealEngine& real) {
  BothSides sides;
  const Program& program = finding.program;
  reference::ReferenceEngine model;
  TraceEngine engine{std::string(real.kernel->name())};
  engine.Load(&finding.trace);
  Comparison comparison(&model, &engine, finding.trace.sees);
  if (!comparison.Start(AsTraced(program.config, finding.trace)).ok()) {
    return sides;
  }
  const size_t steps =
      std::min(program.steps.size(), finding.trace.steps.size());
  for (size_t i = 0; i < steps; ++i) {
    comparison.Run(program.steps[i]);
    const int slot = program.steps[i].task % kTaskSlots;
    TaskState in_model, in_real;
    model.Observe(slot, &in_model);
    engine.Observe(slot, &in_real);
    // A bar would end the cell of the table.
    const std::string call =
        absl::StrReplaceAll(DebugString(program.steps[i]), {{"|", "\\|"}});
    absl::StrAppend(&sides.rows, "| ", i, " | `", call, "` | ",
                    Cell(comparison.model_outcome(), in_model), " | ",
                    Cell(comparison.real_outcome(), in_real),
                    i == finding.violation.step ? ", **here**" : "", " |\n");
    if (i == finding.violation.step) {
      sides.model = DescribeTasks(model);
      sides.real = DescribeTasks(engine);
    }
  }
  return sides;
}

}  // namespace

std::string WriteRealReport(const RealFinding& finding, const RealEngine& real,
                            absl::string_view found, const ReproResult& repro) {
  const Violation& violation = finding.violation;
  const Program& program = finding.program;
  const PropertyInfo* property = FindProperty(violation.property);
  const bool agreement =
      property != nullptr && property->kind == PropertyKind::kAgreement;
  const std::string model = absl::StrCat("reference ", real.profile->name);
  const BothSides sides = RunBoth(finding, real);
  std::string text = absl::StrCat("# ", violation.property, "\n\n");
  if (property != nullptr) {
    absl::StrAppend(&text, property->statement,
                    "\n\nSource: ", property->source, "\n\n");
  }
  absl::StrAppend(
      &text, "* Kernel: ", real.Label(), "\n* Compared with: ", model, ", ",
      real.profile->title, "\n* Step: ", violation.step, ", `",
      violation.step < program.steps.size()
          ? DebugString(program.steps[violation.step])
          : "the end",
      "`\n* ", agreement ? model : "Expected", ": ", violation.expected, "\n* ",
      agreement ? real.Label() : "Seen", ": ", violation.seen, "\n");
  if (!found.empty()) absl::StrAppend(&text, "* Found: ", found, "\n");
  absl::StrAppend(
      &text, "\nTo see it again:\n\n    lockstep diff --engines=reference,",
      real.kernel->name(),
      " program.txtpb\n    lockstep run --trace --engine=", real.kernel->name(),
      " program.txtpb\n\nThe reproducer: ", repro.summary, "\n");
  if (!repro.output.empty()) {
    absl::StrAppend(&text, "\n```\n", repro.output,
                    repro.output.back() == '\n' ? "" : "\n", "```\n");
  }
  absl::StrAppend(&text, "\n## Both sides\n\n| step | call | ", model, " | ",
                  real.Label(), " |\n|---|---|---|---|\n", sides.rows,
                  "\nlocked_vm is that of the step's task, in pages, after the "
                  "step; the kernel's counts\nthe executor's own image, the "
                  "model was given one of that size.\n");
  if (!sides.model.empty() || !sides.real.empty()) {
    absl::StrAppend(&text, "\n## After step ", violation.step,
                    "\n\nM: Mlocked, p: present, .: not present.\n\n", model,
                    "\n\n```\n", sides.model, "```\n\n", real.Label(),
                    "\n\n```\n", sides.real, "```\n");
  }
  if (!finding.trace.console.empty()) {
    absl::StrAppend(&text, "\n## Console\n\n```\n", finding.trace.console,
                    "\n```\n");
  }
  absl::StrAppend(&text, "\n## The program\n\n```\n",
                  FormatProgramText(program), "```\n");
  return text;
}

absl::StatusOr<FindingFiles> RenderRealFinding(const RealFinding& finding,
                                               const RealEngine& real,
                                               absl::string_view found) {
  ReproResult repro;
  FindingFiles files;
  files.files.emplace_back("program.txtpb", FormatProgramText(finding.program));
  absl::StatusOr<std::string> source =
      RenderReproducerC(finding.program, finding.violation, real.Label());
  if (!source.ok()) {
    repro.summary = absl::StrCat("none: ", source.status().message());
  } else {
    repro = TryReproOn(real.kernel->name(), *source);
    files.files.emplace_back("repro.c", *std::move(source));
  }
  files.files.emplace_back("report.md",
                           WriteRealReport(finding, real, found, repro));
  return files;
}

}  // namespace lockstep
