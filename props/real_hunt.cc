// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/real_hunt.h"

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/status/statusor.h"
#include "props/judged.h"
#include "props/random.h"
#include "props/shrink.h"
#include "props/trace_judge.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

// How long after the end of the hunt a finding may still be shrunk, and with
// how many programs. One costs a process, in a guest a round trip.
constexpr std::chrono::seconds kShrinkGrace{15};
constexpr uint64_t kMostShrinkRuns = 20'000;
// Of each kind of violation so many are shrunk before it gets rarer.
constexpr uint64_t kAlwaysShrunk = 3;
constexpr std::chrono::seconds kBetweenReports{1};

class Hunter {
 public:
  explicit Hunter(const RealHuntOptions& options)
      : options_(options),
        vocabulary_(WithRealKernel(options.vocabulary)),
        judge_(std::string(options.kernel->name())),
        start_(Clock::now()) {}

  RealHuntResult Run() {
    while (!IsOver() && result_.status.ok()) RunBatch();
    static_cast<HuntProgress&>(result_.statistics) = Progress();
    std::sort(result_.findings.begin(), result_.findings.end(),
              [](const RealFinding& a, const RealFinding& b) {
                return std::tie(a.index, a.fingerprint) <
                       std::tie(b.index, b.fingerprint);
              });
    return std::move(result_);
  }

 private:
  static VocabularyOptions WithRealKernel(VocabularyOptions options) {
    options.real_kernel = true;
    return options;
  }

  bool StopAsked() const {
    return options_.stop != nullptr &&
           options_.stop->load(std::memory_order_relaxed);
  }
  std::chrono::nanoseconds Elapsed() const { return Clock::now() - start_; }
  bool IsOver() const {
    return StopAsked() || next_ >= options_.max_programs ||
           steps_ >= options_.max_steps || Elapsed() >= options_.max_time;
  }
  bool MustStopShrinking() const {
    return StopAsked() || Elapsed() - kShrinkGrace >= options_.max_time;
  }

  HuntProgress Progress() const {
    HuntProgress progress;
    progress.programs = next_;
    progress.steps = steps_;
    progress.violations = violations_;
    progress.findings = result_.findings.size();
    progress.seconds = std::chrono::duration<double>(Elapsed()).count();
    return progress;
  }
  void Report() {
    const Clock::time_point now = Clock::now();
    if (!options_.on_progress || now - reported_ < kBetweenReports) return;
    reported_ = now;
    options_.on_progress(Progress());
  }

  void RunBatch() {
    const size_t count = static_cast<size_t>(
        std::min<uint64_t>(options_.batch, options_.max_programs - next_));
    programs_.resize(count);
    for (size_t i = 0; i < count; ++i) {
      Random random(options_.seed, next_ + i);
      vocabulary_.Generate(random, &programs_[i]);
    }
    absl::StatusOr<std::vector<Trace>> traces = options_.kernel->Run(programs_);
    if (!traces.ok()) {
      result_.status = traces.status();
      return;
    }
    for (size_t i = 0; i < count; ++i) {
      if (StopAsked()) return;
      NoteTrace(programs_[i], (*traces)[i], next_++);
      Report();
    }
  }

  void NoteTrace(const Program& program, const Trace& trace, uint64_t index) {
    if (trace.end == wire::End::kRefused) {
      ++result_.statistics.refused;
      return;
    }
    steps_ += trace.steps.size();
    for (size_t i = 0; i < trace.steps.size(); ++i) {
      const Outcome& outcome = trace.steps[i].outcome;
      result_.statistics.outcomes.Add(program.steps[i].op, outcome);
      result_.steps_not_run += outcome.kind == Outcome::Kind::kUnsupported;
    }
    std::optional<Defect> explained;
    absl::StatusOr<std::optional<Violation>> violation =
        judge_.Judge(program, trace, &explained);
    if (explained) ++result_.explained[std::string(InfoOf(*explained).name)];
    if (!violation.ok()) {
      result_.status = violation.status();
    } else if (violation->has_value()) {
      NoteViolation(program, **violation, index);
    }
  }

  const Judged* JudgedAs(const Program& program, const Violation& violation) {
    return FindJudged(options_.judged, {.engine = options_.kernel->name(),
                                        .kernel = program.config.profile->name,
                                        .program = program,
                                        .violation = violation});
  }

  // Should this violation be shrunk? The first few of a kind, then fewer and
  // fewer.
  bool ShouldShrink(const Program& program, const Violation& violation) {
    const Step& step = program.steps[violation.step];
    Hits& hits = hits_[{violation.property, step.op, step.flags}];
    if (++hits.seen < hits.next) return false;
    hits.next = hits.seen < kAlwaysShrunk
                    ? hits.seen + 1
                    : hits.seen + std::max<uint64_t>(hits.seen / 2, 1);
    return true;
  }

  // One program by itself, in a process of its own.
  std::optional<Violation> JudgeAlone(const Program& program, Trace* trace) {
    absl::StatusOr<std::vector<Trace>> traces =
        options_.confirm->Run({&program, 1});
    if (!traces.ok()) {
      result_.status = traces.status();
      return std::nullopt;
    }
    *trace = std::move(traces->front());
    std::optional<Defect> explained;
    absl::StatusOr<std::optional<Violation>> violation =
        judge_.Judge(program, *trace, &explained);
    return violation.ok() ? *violation : std::nullopt;
  }

  void NoteViolation(const Program& program, const Violation& violation,
                     uint64_t index) {
    ++violations_;
    ++result_.statistics.hits[violation.property];
    if (const Judged* judged = JudgedAs(program, violation)) {
      ++result_.judged[judged->name];
      return;
    }
    if (!ShouldShrink(program, violation)) return;
    Program failing = program;
    failing.steps.resize(violation.step + 1);
    Trace trace;
    uint64_t runs = 0;
    const StillFails still_fails =
        [&](const Program& candidate) -> std::optional<Violation> {
      if (++runs > kMostShrinkRuns || MustStopShrinking() ||
          !result_.status.ok()) {
        return std::nullopt;
      }
      Report();
      Trace seen;
      std::optional<Violation> again = JudgeAlone(candidate, &seen);
      if (!again || !SameViolation(failing, violation, candidate, *again) ||
          JudgedAs(candidate, *again) != nullptr) {
        return std::nullopt;
      }
      trace = std::move(seen);
      return again;
    };
    RealFinding finding;
    finding.program = failing;
    finding.violation = violation;
    if (std::optional<Violation> again = still_fails(failing)) {
      // Shrink asks for the program itself first; it has just been run.
      ShrinkResult shrunk = Shrink(failing, [&](const Program& candidate) {
        return again ? std::exchange(again, std::nullopt)
                     : still_fails(candidate);
      });
      result_.statistics.shrink_runs += shrunk.tried;
      finding.program = std::move(shrunk.program);
      finding.violation = std::move(shrunk.violation);
    } else if (!MustStopShrinking()) {
      result_.unconfirmed.push_back(index);
      return;
    }
    ++result_.statistics.shrinks;
    finding.fingerprint = Fingerprint(finding.program);
    finding.index = index;
    finding.trace = std::move(trace);
    NoteFinding(std::move(finding));
  }

  void NoteFinding(RealFinding finding) {
    for (RealFinding& earlier : result_.findings) {
      if (earlier.fingerprint != finding.fingerprint ||
          earlier.violation.property != finding.violation.property) {
        continue;
      }
      ++earlier.hits;
      earlier.index = std::min(earlier.index, finding.index);
      return;
    }
    result_.findings.push_back(std::move(finding));
    if (options_.on_finding) options_.on_finding(result_.findings.back());
  }

  struct Hits {
    uint64_t seen = 0;
    uint64_t next = 1;
  };

  const RealHuntOptions& options_;
  Vocabulary vocabulary_;
  TraceJudge judge_;
  const Clock::time_point start_;
  Clock::time_point reported_;  // never
  uint64_t next_ = 0;           // program
  uint64_t steps_ = 0;
  uint64_t violations_ = 0;
  std::vector<Program> programs_;
  std::map<std::tuple<std::string, Op, uint32_t>, Hits> hits_;
  RealHuntResult result_;
};

}  // namespace

RealHuntResult RealHunt(const RealHuntOptions& options) {
  return Hunter(options).Run();
}

}  // namespace lockstep
