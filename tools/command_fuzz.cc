// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// lockstep fuzz: the hunt.

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "engine/reference/reference_engine.h"
#include "props/hunt.h"
#include "props/judged.h"
#include "props/real_hunt.h"
#include "tools/command.h"
#include "tools/finding_log.h"
#include "tools/findings.h"
#include "tools/fuzz_job.h"
#include "tools/json.h"
#include "tools/libfuzzer_driver.h"
#include "tools/progress.h"
#include "tools/real_engine.h"
#include "tools/real_findings.h"
#include "tools/session.h"

namespace lockstep {
namespace {

constexpr absl::Duration kDefaultTime = absl::Seconds(60);
constexpr uint64_t kMaxJobs = 256;

std::atomic<bool> stop_requested{false};

// The first Ctrl-C ends the hunt in good order, the second one kills.
class StopOnSignal {
 public:
  StopOnSignal() {
    struct sigaction action = {};
    action.sa_handler = [](int) { stop_requested.store(true); };
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
    sigaction(SIGINT, &action, &interrupt_);
    sigaction(SIGTERM, &action, &terminate_);
  }
  ~StopOnSignal() {
    sigaction(SIGINT, &interrupt_, nullptr);
    sigaction(SIGTERM, &terminate_, nullptr);
  }
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;

 private:
  struct sigaction interrupt_ = {}, terminate_ = {};
};

Option OptionalCount(absl::string_view name, std::string help,
                     std::optional<uint64_t>* target) {
  return {name, "N", std::move(help), [target](absl::string_view value) {
            absl::StatusOr<uint64_t> count = ParseCount(value);
            if (count.ok()) *target = *count;
            return count.status();
          }};
}

class FuzzCommand : public Command {
 public:
  absl::string_view name() const override { return "fuzz"; }
  absl::string_view arguments() const override { return ""; }
  absl::string_view summary() const override {
    return "hunt: random programs, every property after every step";
  }
  absl::string_view description() const override {
    return "Runs random programs until time, --count or --steps is over, or "
           "Ctrl-C is\npressed. A program that breaks a property is shrunk and "
           "written to\nOUT/PROPERTY-HASH/ at once: program.txtpb, repro.c, "
           "report.md. Of the\nprograms that one defect explains the simplest "
           "is kept. With\n--kernel=all the limits are those of each "
           "kernel.\n"
           "One job with the same seed and --count or --steps finds the same.\n"
           "With --engine=host or guest:6.1 programs run on that kernel and on "
           "the model that\nfits it. What breaks a contract there, and where "
           "the two part, is run again in a\nprocess of its own, shrunk on "
           "that kernel and written with both sides; on the host\nrepro.c is "
           "compiled with cc and run, and the report says how that ended. "
           "Judged\ndivergences, steps that cannot be run and programs that "
           "are refused are counted.\n"
           "With --driver=libfuzzer --jobs processes of the kernel's fuzz "
           "target grow one\ncorpus. A defect that explains a finding is off "
           "from then on. The hunt may be\nkilled: started again with the same "
           "--out and --corpus it goes on.";
  }
  std::vector<Option> Options() override {
    std::vector<Option> rows = engine_.Rows(EngineRows::kProfiles);
    const std::vector<Option> own = {
        {"--for", "TIME", "how long; 60s if nothing else ends the hunt",
         [this](absl::string_view value) {
           absl::StatusOr<absl::Duration> time = ParseDuration(value);
           if (time.ok()) time_ = *time;
           return time.status();
         }},
        OptionalCount("--count", "how many programs", &count_),
        OptionalCount("--steps", "how many steps in all, such as 10M", &steps_),
        OptionalCount("--length", "steps of a program (16)", &length_),
        OptionalCount("--seed", "of the random programs; drawn if not given",
                      &seed_),
        CountOption("--jobs", "N",
                    "threads, or processes of libFuzzer (1); a real kernel "
                    "has one",
                    &jobs_),
        StringOption("--out", "DIRECTORY", "where findings go (findings)",
                     &out_),
        {"--driver", "NAME",
         "loop (if not given) or libfuzzer: by coverage, with the\nfuzz target "
         "of the kernel, which -DLOCKSTEP_FUZZERS=ON builds",
         [this](absl::string_view value) {
           if (value != "loop" && value != "libfuzzer") {
             return absl::InvalidArgumentError("expected loop or libfuzzer");
           }
           libfuzzer_ = value == "libfuzzer";
           return absl::OkStatus();
         }},
        StringOption("--corpus", "DIRECTORY",
                     "libFuzzer's inputs; what is new is added\n"
                     "(fuzz-corpus/KERNEL)",
                     &corpus_),
        StringOption("--fuzzers", "DIRECTORY",
                     "where the fuzz targets are, if not in the build",
                     &fuzzers_),
        SwitchOption("--json", "one JSON object a finding and a kernel",
                     &json_),
    };
    rows.insert(rows.end(), own.begin(), own.end());
    return rows;
  }

  ExitStatus Run(absl::Span<const std::string> args) override {
    if (absl::Status status = Check(args); !status.ok()) return Fail(status);
    if (!seed_) seed_ = std::random_device()();
    if (engine_.IsReal()) return FuzzReal();
    std::vector<const Profile*> kernels;
    for (const Profile& profile : AllProfiles()) {
      if (engine_.kernel == "all" || profile.name == engine_.kernel ||
          (engine_.kernel.empty() && &profile == &DefaultProfile())) {
        kernels.push_back(&profile);
      }
    }
    std::vector<DefectSet> defects;
    for (const Profile* kernel : kernels) {
      absl::StatusOr<DefectSet> set = ParseDefects(*kernel, engine_.defects);
      if (!set.ok()) return Fail(set.status());
      defects.push_back(*set);
    }
    if (absl::Status status = PrepareFindings(out_); !status.ok()) {
      return Fail(status);
    }
    StopOnSignal stop_on_signal;
    if (libfuzzer_) return HuntByCoverage(*kernels[0], defects[0]);
    ExitStatus worst = kExitFine;
    for (size_t i = 0; i < kernels.size() && !stop_requested.load(); ++i) {
      worst = std::max(worst, HuntOn(*kernels[i], defects[i]));
    }
    return worst;
  }

 private:
  absl::Status Check(absl::Span<const std::string> args) const {
    if (absl::Status status = engine_.CheckEngine(); !status.ok()) {
      return status;
    }
    if (!args.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("expected no argument, found \"", args[0], "\""));
    }
    if (jobs_ < 1 || jobs_ > kMaxJobs) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--jobs=", jobs_, ": expected a number from 1 to ", kMaxJobs));
    }
    if (engine_.IsReal() && jobs_ != 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("--jobs=", jobs_,
                       ": a real kernel runs programs on one CPU, expected 1"));
    }
    if (Length() < 1 || Length() > kMaxSteps) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--length=", Length(), ": expected a number from 1 to ", kMaxSteps));
    }
    return libfuzzer_ ? CheckLibFuzzer() : CheckLoop();
  }
  absl::Status CheckLoop() const {
    for (const auto& [option, value] :
         {std::pair{"--corpus", &corpus_}, std::pair{"--fuzzers", &fuzzers_}}) {
      if (value->empty()) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(option, "=", *value,
                       ": only libFuzzer has that, as --driver=libfuzzer"));
    }
    return absl::OkStatus();
  }
  absl::Status CheckLibFuzzer() const {
    constexpr absl::string_view kDriver = ": with --driver=libfuzzer ";
    if (engine_.IsReal()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--engine=", engine_.engine, kDriver,
                       "programs run on the model, expected reference"));
    }
    if (engine_.kernel == "all") {
      return absl::InvalidArgumentError(absl::StrCat(
          "--kernel=all", kDriver, "one target runs, expected one kernel"));
    }
    if (steps_) {
      return absl::InvalidArgumentError(
          absl::StrCat("--steps=", *steps_, kDriver,
                       "only programs are counted, expected --count"));
    }
    if (length_) {
      return absl::InvalidArgumentError(
          absl::StrCat("--length=", *length_, kDriver,
                       "coverage decides how long programs get"));
    }
    return absl::OkStatus();
  }
  uint64_t Length() const { return length_.value_or(16); }

  ExitStatus HuntOn(const Profile& kernel, DefectSet defects) {
    ProgressReporter progress(stderr, isatty(STDERR_FILENO) != 0,
                              std::string(kernel.name));
    FindingLog log(out_,
                   absl::StrCat("lockstep fuzz --kernel=", kernel.name,
                                " --seed=", *seed_, " --length=", Length()));
    HuntOptions options;
    options.vocabulary.profile = &kernel;
    options.vocabulary.defects = defects;
    options.vocabulary.steps = Length();
    options.seed = *seed_;
    options.jobs = static_cast<int>(jobs_);
    options.stop = &stop_requested;
    if (count_) options.max_programs = *count_;
    if (steps_) options.max_steps = *steps_;
    if (time_ || !(count_ || steps_)) {
      options.max_time =
          absl::ToChronoNanoseconds(time_.value_or(kDefaultTime));
    }
    options.make_engine = [] {
      return std::make_unique<reference::ReferenceEngine>();
    };
    options.on_finding = [&](const HuntFinding& finding) {
      const std::string line = log.Add(finding);
      if (!line.empty()) progress.Say(absl::StrCat(kernel.name, ": ", line));
    };
    options.on_progress = [&](HuntProgress now) {
      now.findings = log.size();
      progress.Update(now);
    };
    absl::StatusOr<HuntResult> result = Hunt(options);
    progress.Finish();
    if (!result.ok()) return Fail(result.status());
    result->statistics.findings = log.size();
    const std::vector<LoggedFinding> findings = log.Result(result->findings);
    if (json_) {
      PrintJson(kernel, findings, result->statistics, std::nullopt);
    } else {
      Print(kernel.name, findings, result->statistics);
    }
    if (!log.status().ok()) return Fail(log.status());
    return findings.empty() ? kExitFine : kExitViolated;
  }

  ExitStatus HuntByCoverage(const Profile& kernel, DefectSet defects) {
    const std::string target = absl::StrCat(
        "lockstep_", absl::StrReplaceAll(kernel.name, {{".", "_"}}), "_fuzzer");
    absl::StatusOr<std::string> path = FindFuzzTarget(target, fuzzers_);
    if (!path.ok()) return Fail(path.status());
    const std::string label = absl::StrCat(kernel.name, " by coverage");
    ProgressReporter progress(stderr, isatty(STDERR_FILENO) != 0, label);
    LibFuzzerOptions options;
    options.target = *path;
    options.lockstep = std::filesystem::read_symlink("/proc/self/exe");
    options.corpus =
        corpus_.empty() ? absl::StrCat("fuzz-corpus/", kernel.name) : corpus_;
    options.out = out_;
    options.origin =
        absl::StrCat("lockstep fuzz --driver=libfuzzer --kernel=", kernel.name,
                     " --seed=", *seed_, " --jobs=", jobs_);
    options.profile = &kernel;
    options.defects = defects;
    options.jobs = jobs_;
    options.seed = *seed_;
    options.stop = &stop_requested;
    if (count_) options.max_programs = *count_;
    if (time_ || !count_) options.max_time = time_.value_or(kDefaultTime);
    options.say = [&](absl::string_view line) {
      progress.Say(absl::StrCat(kernel.name, ": ", line));
    };
    options.on_progress = [&](const LibFuzzerProgress& now) {
      progress.Update(now.seconds, FormatProgress(label, now));
    };
    absl::StatusOr<LibFuzzerResult> result = RunLibFuzzer(options);
    progress.Finish();
    if (!result.ok()) return Fail(result.status());
    if (json_) {
      for (const LoggedFinding& finding : result->findings) {
        PrintJson(kernel, finding);
      }
      absl::PrintF("%s\n", JsonObject()
                               .Add("kernel", kernel.name)
                               .Add("seed", *seed_)
                               .Add("programs", result->progress.programs)
                               .Add("corpus", result->progress.corpus)
                               .Add("seconds", result->progress.seconds)
                               .Add("findings", result->progress.findings)
                               .Add("crashes", result->crashes)
                               .Add("left", result->left)
                               .ToString());
    } else {
      absl::PrintF("%s, seed %d\n", FormatProgress(label, result->progress),
                   *seed_);
      for (const LoggedFinding& finding : result->findings) Print(finding);
      for (const std::string& crash : result->crashes) {
        absl::PrintF("  %s\n    the target died, no property is violated\n",
                     crash);
      }
      if (result->left != 0) {
        absl::PrintF("failing inputs left for the next start: %d\n",
                     result->left);
      }
    }
    return result->findings.empty() && result->crashes.empty() ? kExitFine
                                                               : kExitViolated;
  }

  ExitStatus FuzzReal() {
    if (absl::Status status = PrepareFindings(out_); !status.ok()) {
      return Fail(status);
    }
    absl::StatusOr<RealEngine> real = OpenRealEngine(
        name(), engine_.engine, engine_.kernel, engine_.defects, {});
    if (!real.ok()) return Fail(real.status());
    KernelOptions alone;
    alone.mode = wire::Mode::kProcessPerProgram;
    absl::StatusOr<std::unique_ptr<Kernel>> confirm =
        MakeKernel(engine_.engine, alone);
    if (!confirm.ok()) return Fail(confirm.status());
    absl::StatusOr<std::vector<Judged>> judged = LoadJudged(engine_.judged);
    if (!judged.ok()) return Fail(judged.status());

    StopOnSignal stop_on_signal;
    const std::string label =
        absl::StrCat(real->kernel->name(), " against ", real->profile->name);
    ProgressReporter progress(stderr, isatty(STDERR_FILENO) != 0, label);
    RealHuntOptions options;
    options.vocabulary.profile = real->profile;
    options.vocabulary.defects = real->defects;
    options.vocabulary.steps = Length();
    options.seed = *seed_;
    options.stop = &stop_requested;
    options.kernel = real->kernel.get();
    options.confirm = confirm->get();
    options.judged = *std::move(judged);
    if (count_) options.max_programs = *count_;
    if (steps_) options.max_steps = *steps_;
    if (time_ || !(count_ || steps_)) {
      options.max_time =
          absl::ToChronoNanoseconds(time_.value_or(kDefaultTime));
    }
    absl::Status written;
    std::map<uint64_t, std::string> paths;  // by fingerprint
    options.on_finding = [&](const RealFinding& finding) {
      const std::string path = SaveReal(*real, finding, &written);
      paths[finding.fingerprint] = path;
      progress.Say(absl::StrCat(label, ": found ", path));
    };
    options.on_progress = [&](const HuntProgress& now) {
      progress.Update(now);
    };
    RealHuntResult result = RealHunt(options);
    progress.Finish();
    result.statistics.findings = result.findings.size();
    std::vector<LoggedFinding> findings;
    for (const RealFinding& finding : result.findings) {
      LoggedFinding logged;
      logged.program = finding.program;
      logged.violation = finding.violation;
      logged.path = paths[finding.fingerprint];
      logged.index = finding.index;
      logged.hits = finding.hits;
      findings.push_back(std::move(logged));
    }
    if (json_) {
      PrintJson(*real->profile, findings, result.statistics,
                RealJson(*real, result));
    } else {
      Print(label, findings, result.statistics);
      PrintReal(result);
    }
    if (!written.ok()) return Fail(written);
    if (!result.status.ok()) return Fail(result.status);
    return findings.empty() ? kExitFine : kExitViolated;
  }

  // Returns the finding's directory; an error of writing goes to *written.
  std::string SaveReal(const RealEngine& real, const RealFinding& finding,
                       absl::Status* written) const {
    const std::string name = FindingName(finding.program, finding.violation);
    absl::StatusOr<FindingFiles> files = RenderRealFinding(
        finding, real,
        absl::StrCat("lockstep fuzz --engine=", engine_.engine,
                     " --seed=", *seed_, " --length=", Length(), ", program ",
                     finding.index));
    if (!files.ok()) {
      // Whatever is wrong with the report, the program is not lost.
      written->Update(files.status());
      files =
          FindingFiles{{{"program.txtpb", FormatProgramText(finding.program)}}};
    }
    absl::StatusOr<std::string> path = SaveFinding(out_, name, *files);
    written->Update(path.status());
    return path.ok() ? *path : absl::StrCat(out_, "/", name);
  }

  static void PrintReal(const RealHuntResult& result) {
    absl::PrintF("steps not run here: %d, programs refused: %d\n",
                 result.steps_not_run, result.statistics.refused);
    for (const auto& [name, hits] : result.explained) {
      absl::PrintF("explained by the defect %s: %d programs\n", name, hits);
    }
    for (const auto& [name, hits] : result.judged) {
      absl::PrintF("judged: %s %d\n", name, hits);
    }
    if (!result.unconfirmed.empty()) {
      absl::PrintF(
          "%d violations did not show again in a process of their own, first "
          "in program %d\n",
          result.unconfirmed.size(), result.unconfirmed.front());
    }
    absl::PrintF("\n");
  }

  JsonObject RealJson(const RealEngine& real,
                      const RealHuntResult& result) const {
    JsonObject judged;
    for (const auto& [name, hits] : result.judged) judged.Add(name, hits);
    JsonObject explained;
    for (const auto& [name, hits] : result.explained) {
      explained.Add(name, hits);
    }
    JsonObject line;
    line.Add("engine", engine_.engine)
        .Add("release", real.kernel->release())
        .Add("steps_not_run", result.steps_not_run)
        .Add("refused", result.statistics.refused)
        .Add("judged", judged)
        .Add("explained", explained)
        .Add("unconfirmed", uint64_t{result.unconfirmed.size()});
    return line;
  }

  static void Print(const LoggedFinding& finding) {
    absl::PrintF("  %s\n    %d steps, hit %d times%s\n    %s\n", finding.path,
                 finding.program.steps.size(), finding.hits,
                 finding.explained_by.empty()
                     ? std::string()
                     : absl::StrCat(", explained by ",
                                    absl::StrJoin(Names(finding), ", ")),
                 DebugString(finding.program, finding.violation));
  }

  void Print(absl::string_view label,
             const std::vector<LoggedFinding>& findings,
             const HuntStatistics& statistics) {
    absl::PrintF("%s, seed %d\n", FormatProgress(label, statistics), *seed_);
    for (const LoggedFinding& finding : findings) Print(finding);
    absl::PrintF("\n%-20s %12s  outcomes\n", "call", "count");
    for (const OpInfo& info : AllOps()) {
      const uint64_t calls = statistics.outcomes.Calls(info.op);
      if (calls == 0) continue;
      absl::PrintF("%-20s %12d ", info.name, calls);
      for (const auto& [outcome, times] : statistics.outcomes.ByName(info.op)) {
        absl::PrintF(" %s %d", outcome, times);
      }
      absl::PrintF("\n");
    }
    absl::PrintF("\n");
  }

  static void PrintJson(const Profile& kernel, const LoggedFinding& finding) {
    JsonObject line;
    line.Add("finding", finding.path)
        .Add("kernel", kernel.name)
        .Add("property", finding.violation.property)
        .Add("step", uint64_t{finding.violation.step})
        .Add("steps", uint64_t{finding.program.steps.size()})
        .Add("expected", finding.violation.expected)
        .Add("seen", finding.violation.seen)
        .Add("explained_by", Names(finding))
        .Add("program_index", finding.index)
        .Add("programs", finding.programs)
        .Add("hits", finding.hits);
    absl::PrintF("%s\n", line.ToString());
  }

  void PrintJson(const Profile& kernel,
                 const std::vector<LoggedFinding>& findings,
                 const HuntStatistics& statistics,
                 const std::optional<JsonObject>& real) {
    for (const LoggedFinding& finding : findings) PrintJson(kernel, finding);
    JsonObject calls, hits;
    for (const OpInfo& info : AllOps()) {
      if (statistics.outcomes.Calls(info.op) == 0) continue;
      JsonObject outcomes;
      for (const auto& [name, times] : statistics.outcomes.ByName(info.op)) {
        outcomes.Add(name, times);
      }
      calls.Add(info.name, outcomes);
    }
    for (const auto& [property, times] : statistics.hits) {
      hits.Add(property, times);
    }
    JsonObject line;
    line.Add("kernel", kernel.name)
        .Add("seed", *seed_)
        .Add("programs", statistics.programs)
        .Add("steps", statistics.steps)
        .Add("seconds", statistics.seconds)
        .Add("steps_per_second", statistics.steps_per_second())
        .Add("findings", uint64_t{findings.size()})
        .Add("violations", hits)
        .Add("calls", calls);
    if (real) line.Add("real", *real);
    absl::PrintF("%s\n", line.ToString());
  }

  static std::vector<std::string> Names(const LoggedFinding& finding) {
    std::vector<std::string> names;
    for (Defect defect : finding.explained_by) {
      names.emplace_back(InfoOf(defect).name);
    }
    return names;
  }

  EngineOptions engine_;
  std::optional<absl::Duration> time_;
  std::optional<uint64_t> seed_;
  std::optional<uint64_t> count_;
  std::optional<uint64_t> steps_;
  std::optional<uint64_t> length_;
  uint64_t jobs_ = 1;
  std::string out_ = "findings";
  bool libfuzzer_ = false;
  std::string corpus_;
  std::string fuzzers_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeFuzzCommand() {
  return std::make_unique<FuzzCommand>();
}

}  // namespace lockstep
