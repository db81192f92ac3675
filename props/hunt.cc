// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/hunt.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "props/random.h"
#include "props/shrink.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

// What can be known of a violation before it is shrunk: rarely are two bugs
// alike in all of it.
struct CheapKey {
  std::string property;
  Op op = Op::kNone;  // of the violated step
  // Where something happened inside that step, and what.
  std::array<std::pair<Point, Op>, kMaxDuring> during{};
  bool huge_pages = false;

  auto Key() const { return std::tie(property, op, during, huge_pages); }
  bool operator<(const CheapKey& other) const { return Key() < other.Key(); }
};

CheapKey KeyOf(const Program& program, const Violation& violation) {
  CheapKey key;
  key.property = violation.property;
  const Step& step = program.steps[violation.step];
  key.op = step.op;
  for (int i = 0; i < step.during_count; ++i) {
    key.during[static_cast<size_t>(i)] = {step.during[i].point,
                                          step.during[i].op};
  }
  key.huge_pages =
      program.config.transparent_hugepage != TransparentHugepage::kNever;
  return key;
}

// How long after the end of the hunt a finding may still be shrunk.
constexpr std::chrono::seconds kShrinkGrace{15};

// Candidates of one finding that a hunt runs; a few thousand are usual.
constexpr uint64_t kMostShrinkRuns = 100'000;

// What the jobs share.
class Shared {
 public:
  explicit Shared(const HuntOptions& options)
      : options_(options), start_(Clock::now()) {}

  // The number of the next program; nothing when the hunt is over.
  std::optional<uint64_t> NextProgram() {
    if (options_.stop != nullptr &&
        options_.stop->load(std::memory_order_relaxed)) {
      return std::nullopt;
    }
    if (steps_.load(std::memory_order_relaxed) >= options_.max_steps) {
      return std::nullopt;
    }
    const uint64_t index = next_.fetch_add(1, std::memory_order_relaxed);
    if (index >= options_.max_programs) return std::nullopt;
    if (Clock::now() - start_ >= options_.max_time) return std::nullopt;
    return index;
  }

  // Not even shrinking goes on: someone asked to stop, or the time has been
  // over for a while.
  bool MustStop() const {
    if (options_.stop != nullptr &&
        options_.stop->load(std::memory_order_relaxed)) {
      return true;
    }
    return Clock::now() - start_ - kShrinkGrace >= options_.max_time;
  }

  void NoteProgram(uint64_t steps) {
    programs_.fetch_add(1, std::memory_order_relaxed);
    steps_.fetch_add(steps, std::memory_order_relaxed);
  }

  // Should this violation be shrunk? The first few of a kind, then fewer and
  // fewer, so that a frequent bug does not stop the search for others, and one
  // that hides behind it is still seen.
  bool ShouldShrink(const CheapKey& key) {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++violations_;
    Hits& hits = hits_[key];
    ++hits.seen;
    if (hits.seen < hits.next) return false;
    hits.next = hits.seen < kAlwaysShrunk
                    ? hits.seen + 1
                    : hits.seen + std::max<uint64_t>(hits.seen / 4, 1);
    return true;
  }

  void NoteFinding(HuntFinding finding) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto [known, is_new] =
        by_fingerprint_.try_emplace(finding.fingerprint, findings_.size());
    if (!is_new) {
      HuntFinding& earlier = findings_[known->second];
      ++earlier.hits;
      earlier.index = std::min(earlier.index, finding.index);
      return;
    }
    findings_.push_back(std::move(finding));
    if (options_.on_finding) options_.on_finding(findings_.back());
  }

  void NoteEnd(absl::Status refusal, const HuntStatistics& statistics) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!refusal.ok()) refusal_ = std::move(refusal);
    total_.refused += statistics.refused;
    total_.shrinks += statistics.shrinks;
    total_.shrink_runs += statistics.shrink_runs;
    total_.outcomes.Merge(statistics.outcomes);
    for (const auto& [property, hits] : statistics.hits) {
      total_.hits[property] += hits;
    }
    ++ended_;
    all_ended_.notify_all();
  }

  // Until all jobs have ended; reports progress once a second.
  void Wait(int jobs) {
    std::unique_lock<std::mutex> lock(mutex_);
    while (!all_ended_.wait_for(lock, std::chrono::seconds(1),
                                [&] { return ended_ == jobs; })) {
      const HuntProgress progress = Progress();
      lock.unlock();
      if (options_.on_progress) options_.on_progress(progress);
      lock.lock();
    }
  }

  // After all jobs have ended.
  absl::StatusOr<HuntResult> Result() {
    static_cast<HuntProgress&>(total_) = Progress();
    if (total_.programs > 0 && total_.refused == total_.programs) {
      return refusal_;
    }
    std::sort(findings_.begin(), findings_.end(),
              [](const HuntFinding& a, const HuntFinding& b) {
                return std::tie(a.index, a.fingerprint) <
                       std::tie(b.index, b.fingerprint);
              });
    return HuntResult{std::move(findings_), std::move(total_)};
  }

 private:
  static constexpr uint64_t kAlwaysShrunk = 3;
  struct Hits {
    uint64_t seen = 0;
    uint64_t next = 1;
  };

  // REQUIRES: mutex_ is held, or all jobs have ended.
  HuntProgress Progress() const {
    HuntProgress progress;
    progress.programs = programs_.load(std::memory_order_relaxed);
    progress.steps = steps_.load(std::memory_order_relaxed);
    progress.violations = violations_;
    progress.findings = findings_.size();
    progress.seconds =
        std::chrono::duration<double>(Clock::now() - start_).count();
    return progress;
  }

  const HuntOptions& options_;
  const Clock::time_point start_;
  std::atomic<uint64_t> next_{0};
  std::atomic<uint64_t> programs_{0};
  std::atomic<uint64_t> steps_{0};

  std::mutex mutex_;  // guards what follows
  std::condition_variable all_ended_;
  int ended_ = 0;
  uint64_t violations_ = 0;
  std::map<CheapKey, Hits> hits_;
  std::map<uint64_t, size_t> by_fingerprint_;
  std::vector<HuntFinding> findings_;
  HuntStatistics total_;
  absl::Status refusal_;
};

// One thread with an engine of its own.
class Job {
 public:
  Job(const HuntOptions& options, Shared* shared)
      : options_(options),
        shared_(shared),
        engine_(options.make_engine()),
        runner_(engine_.get(), options.checking),
        vocabulary_(options.vocabulary) {}

  void Run() {
    while (const std::optional<uint64_t> index = shared_->NextProgram()) {
      Random random(options_.seed, *index);
      vocabulary_.Generate(random, &program_);
      DrawDefects(*index);
      const std::optional<Violation> violation = RunProgram();
      shared_->NoteProgram(runner_.steps());
      if (violation.has_value()) NoteViolation(*violation, *index);
    }
    shared_->NoteEnd(refusal_, statistics_);
  }

 private:
  // One defect can hide another: what it breaks first ends the program. So half
  // of the programs run on a kernel with only some of the hunt's defects.
  void DrawDefects(uint64_t index) {
    const DefectSet all = options_.vocabulary.defects;
    program_.config.defects = all;
    Random random(~options_.seed, index);
    if (random.OneIn(2)) return;
    DefectSet some;
    for (const DefectInfo& info : AllDefects()) {
      if (all.Has(info.defect) && random.OneIn(2)) some.Add(info.defect);
    }
    if (!some.empty()) program_.config.defects = some;
  }

  // The program with the hunt's own defects if it fails so too, else with a
  // single one: how a finding is told from others must not depend on the draw.
  static Program WithPlainDefects(const Program& failing, DefectSet all,
                                  const StillFails& still_fails) {
    Program plain = failing;
    plain.config.defects = all;
    if (still_fails(plain).has_value()) return plain;
    for (const DefectInfo& info : AllDefects()) {
      if (!failing.config.defects.Has(info.defect)) continue;
      plain.config.defects = DefectSet({info.defect});
      if (still_fails(plain).has_value()) return plain;
    }
    return failing;
  }

  // What comes after a violation is not run: the state is already wrong.
  std::optional<Violation> RunProgram() {
    if (absl::Status status = runner_.Start(program_.config); !status.ok()) {
      refusal_ = std::move(status);
      ++statistics_.refused;
      return std::nullopt;
    }
    for (const Step& step : program_.steps) {
      std::optional<Violation> violation = runner_.Run(step);
      statistics_.outcomes.Add(step.op, runner_.outcome());
      if (violation.has_value()) return violation;
    }
    return std::nullopt;
  }

  void NoteViolation(const Violation& violation, uint64_t index) {
    ++statistics_.hits[violation.property];
    if (!shared_->ShouldShrink(KeyOf(program_, violation))) return;
    Program failing = program_;
    failing.steps.resize(violation.step + 1);
    uint64_t runs = 0;
    const StillFails still_fails = [&](const Program& candidate) {
      // Out of time: what is shrunk so far is the finding.
      if (++runs > kMostShrinkRuns || shared_->MustStop())
        return std::optional<Violation>();
      absl::StatusOr<std::optional<Violation>> found = runner_.Run(candidate);
      if (!found.ok() || !found->has_value() ||
          !SameViolation(failing, violation, candidate, **found)) {
        return std::optional<Violation>();
      }
      return *std::move(found);
    };
    ShrinkResult shrunk;
    shrunk.program = failing;
    shrunk.violation = violation;
    // A real kernel may behave differently the second time: then the program is
    // reported as it was.
    if (still_fails(failing).has_value()) {
      shrunk = Shrink(
          WithPlainDefects(failing, options_.vocabulary.defects, still_fails),
          still_fails);
      // Now that it is short it may fail on the hunt's kernel, too.
      Program plain = shrunk.program;
      plain.config.defects = options_.vocabulary.defects;
      if (plain.config.defects != shrunk.program.config.defects &&
          still_fails(plain).has_value()) {
        shrunk = Shrink(plain, still_fails);
      }
    }
    ++statistics_.shrinks;
    statistics_.shrink_runs += shrunk.tried;
    HuntFinding finding;
    finding.fingerprint = Fingerprint(shrunk.program);
    finding.program = std::move(shrunk.program);
    finding.violation = std::move(shrunk.violation);
    finding.index = index;
    shared_->NoteFinding(std::move(finding));
  }

  const HuntOptions& options_;
  Shared* const shared_;
  const std::unique_ptr<Engine> engine_;
  Runner runner_;
  Vocabulary vocabulary_;
  Program program_;
  HuntStatistics statistics_;  // what only this job has seen
  absl::Status refusal_;
};

}  // namespace

size_t OutcomeCounts::SlotOf(const Outcome& outcome) {
  const auto value = static_cast<size_t>(outcome.value);
  switch (outcome.kind) {
    case Outcome::Kind::kErrno:
      return std::min(value, kErrnos - 1);
    case Outcome::Kind::kSignal:
      return kErrnos + std::min(value, kSignals - 1);
    case Outcome::Kind::kValue:
      return kErrnos + kSignals;
    case Outcome::Kind::kSkipped:
      return kErrnos + kSignals + 1;
    case Outcome::Kind::kUnsupported:
      break;
  }
  return kErrnos + kSignals + 2;
}

Outcome OutcomeCounts::OutcomeOf(size_t slot) {
  if (slot < kErrnos) return Outcome::Errno(static_cast<int>(slot));
  slot -= kErrnos;
  if (slot < kSignals) return Outcome::Signal(static_cast<int>(slot));
  slot -= kSignals;
  if (slot == 0) return Outcome::Ok();
  return slot == 1 ? Outcome::Skipped() : Outcome::Unsupported();
}

void OutcomeCounts::Merge(const OutcomeCounts& other) {
  for (size_t op = 0; op < counts_.size(); ++op) {
    for (size_t slot = 0; slot < kSlots; ++slot) {
      counts_[op][slot] += other.counts_[op][slot];
    }
  }
}

uint64_t OutcomeCounts::Calls(Op op) const {
  uint64_t calls = 0;
  for (uint64_t count : counts_[static_cast<size_t>(op)]) calls += count;
  return calls;
}

std::map<std::string, uint64_t> OutcomeCounts::ByName(Op op) const {
  std::map<std::string, uint64_t> by_name;
  const std::array<uint64_t, kSlots>& counts = counts_[static_cast<size_t>(op)];
  for (size_t slot = 0; slot < kSlots; ++slot) {
    if (counts[slot] == 0) continue;
    by_name[std::string(OutcomeName(OutcomeOf(slot)))] += counts[slot];
  }
  return by_name;
}

absl::StatusOr<HuntResult> Hunt(const HuntOptions& options) {
  if (options.jobs < 1) return absl::InvalidArgumentError("jobs: at least 1");
  Shared shared(options);
  std::vector<std::thread> threads;
  threads.reserve(static_cast<size_t>(options.jobs));
  for (int i = 0; i < options.jobs; ++i) {
    threads.emplace_back([&] { Job(options, &shared).Run(); });
  }
  shared.Wait(options.jobs);
  for (std::thread& thread : threads) thread.join();
  return shared.Result();
}

}  // namespace lockstep
