// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/libfuzzer_driver.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "engine/program.h"
#include "props/hunt.h"
#include "props/random.h"
#include "props/shrink.h"
#include "tools/child_process.h"
#include "tools/command.h"
#include "tools/findings.h"
#include "tools/fuzz_job.h"
#include "tools/progress.h"
#include "tools/report.h"
#include "tools/session.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kPoll = absl::Milliseconds(20);
// For a process to end after the input that it runs.
constexpr absl::Duration kStopGrace = absl::Seconds(5);
// How long after the end of the hunt what has failed may still be shrunk.
constexpr absl::Duration kShrinkGrace = absl::Seconds(15);
// A shrink that takes longer is given up; a second is usual.
constexpr absl::Duration kMostShrinkTime = absl::Minutes(2);
// A target that dies so often in a row without failing on an input cannot run.
constexpr int kMostDeaths = 3;

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::vector<fs::path> FilesOf(const fs::path& directory) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end;
       !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_regular_file(ignored)) files.push_back(entry->path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

void Remove(const fs::path& path) {
  std::error_code ignored;
  fs::remove(path, ignored);
}

// libFuzzer names what it adds to a corpus by the SHA-1 of the contents.
bool IsNamedByLibFuzzer(const std::string& name) {
  return name.size() == 40 &&
         std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return std::isxdigit(c) != 0; });
}

bool IsSubset(DefectSet some, DefectSet all) {
  return std::all_of(AllDefects().begin(), AllDefects().end(),
                     [&](const DefectInfo& info) {
                       return !some.Has(info.defect) || all.Has(info.defect);
                     });
}

class Driver {
 public:
  explicit Driver(const LibFuzzerOptions& options)
      : options_(options),
        own_(fs::path(options.out) /
             absl::StrCat(".", fs::path(options.target).filename().string())),
        pending_(own_ / "pending"),
        log_(options.out, options.origin),
        defects_(options.defects),
        start_(absl::Now()) {}
  ~Driver() {
    if (lock_ >= 0) close(lock_);
  }
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  absl::StatusOr<LibFuzzerResult> Run() {
    if (absl::Status status = Prepare(); !status.ok()) return status;
    absl::Status status = Hunt();
    StopJobs();
    status.Update(ShrinkTheRest());
    status.Update(log_.status());
    if (!status.ok()) return status;
    return Result();
  }

 private:
  struct Job {
    explicit Job(const fs::path& directory) : process(directory) {}
    FuzzJob process;
    bool started = false;  // and its end not seen yet
    DefectSet defects;     // that it was started with
    uint64_t runs_before = 0;
    int starts = 0;
    int deaths = 0;  // in a row
  };

  void Say(absl::string_view line) const {
    if (options_.say) options_.say(line);
  }
  bool StopRequested() const {
    return options_.stop != nullptr && options_.stop->load();
  }
  absl::Duration Elapsed() const { return absl::Now() - start_; }

  // The directories; what earlier starts have left.
  absl::Status Prepare() {
    for (const fs::path& directory :
         {fs::path(options_.out), pending_, fs::path(options_.corpus)}) {
      if (absl::Status status = PrepareFindings(directory); !status.ok()) {
        return status;
      }
    }
    lock_ = open((own_ / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (lock_ < 0 || flock(lock_, LOCK_EX | LOCK_NB) != 0) {
      return absl::FailedPreconditionError(absl::StrCat(
          own_.string(), ": ",
          errno == EWOULDBLOCK ? "another hunt with this target works there"
                               : std::strerror(errno)));
    }
    DropCutOffInputs();
    for (const fs::path& path : FilesOf(pending_)) {
      if (path.extension() == ".binpb") queue_.push_back(path);
    }
    for (const fs::path& directory : JobDirectories()) {
      QueueArtifacts(FuzzJob(directory), options_.defects, /*killed=*/true);
    }
    if (!queue_.empty()) {
      Say(absl::StrCat("failing inputs from earlier: ", queue_.size()));
    }
    for (uint64_t i = 0; i < options_.jobs; ++i) {
      jobs_.push_back(std::make_unique<Job>(own_ / absl::StrCat("job-", i)));
    }
    return LoadFindings();
  }

  // Of this start and earlier ones.
  std::vector<fs::path> JobDirectories() const {
    std::vector<fs::path> found;
    std::error_code error;
    for (fs::directory_iterator entry(own_, error), end; !error && entry != end;
         entry.increment(error)) {
      if (absl::StartsWith(entry->path().filename().string(), "job-")) {
        found.push_back(entry->path());
      }
    }
    std::sort(found.begin(), found.end());
    return found;
  }

  // A target that was killed while it wrote leaves a part of an input.
  void DropCutOffInputs() const {
    for (const fs::path& path : FilesOf(options_.corpus)) {
      if (IsNamedByLibFuzzer(path.filename()) &&
          !ParseProgram(ReadFile(path), path.string()).ok()) {
        Remove(path);
      }
    }
  }

  // What was found here before is known, and its defects stay off.
  absl::Status LoadFindings() {
    std::error_code error;
    for (fs::directory_iterator entry(options_.out, error), end;
         !error && entry != end; entry.increment(error)) {
      absl::StatusOr<Program> program =
          LoadProgram(entry->path() / "program.txtpb");
      if (!program.ok() || program->config.profile != options_.profile ||
          !IsSubset(program->config.defects, options_.defects)) {
        continue;
      }
      absl::StatusOr<std::optional<Violation>> violation = Judge(*program);
      if (!violation.ok() || !violation->has_value()) continue;
      HuntFinding finding;
      finding.program = *std::move(program);
      finding.violation = **violation;
      if (entry->path().filename() !=
          FindingName(finding.program, finding.violation)) {
        continue;  // someone else's
      }
      finding.hits = 0;
      Note(std::move(finding));
    }
    return log_.status();
  }

  absl::Status Hunt() {
    absl::Time next_progress = start_ + absl::Seconds(1);
    while (!StopRequested() && Elapsed() < options_.max_time) {
      bool all_done = true;
      for (size_t i = 0; i < jobs_.size(); ++i) {
        absl::Status status = Advance(i);
        if (!status.ok()) return status;
        all_done = all_done && !jobs_[i]->started;
      }
      if (absl::Status status = AdvanceShrink(); !status.ok()) return status;
      if (all_done) break;
      if (options_.on_progress && absl::Now() >= next_progress) {
        options_.on_progress(Progress());
        next_progress = absl::Now() + absl::Seconds(1);
      }
      absl::SleepFor(kPoll);
    }
    return absl::OkStatus();
  }

  // Sees to a job that has ended, and starts it (again) if it has not run all
  // of its programs.
  absl::Status Advance(size_t index) {
    Job& job = *jobs_[index];
    if (job.process.Running()) return absl::OkStatus();
    if (job.started) {
      if (absl::Status status = NoteEnd(job); !status.ok()) return status;
    }
    FuzzJob::Options start;
    start.target = options_.target;
    start.corpus = options_.corpus;
    // libFuzzer takes 0 for "draw one" and reads an int.
    start.seed = static_cast<uint32_t>(
        Mix(Mix(options_.seed) ^ (job.starts * options_.jobs + index)) >> 34);
    start.seed = std::max(start.seed, 1U);
    if (options_.max_programs != LibFuzzerOptions::kNoLimit) {
      const uint64_t share =
          options_.max_programs / options_.jobs +
          (index < options_.max_programs % options_.jobs ? 1 : 0);
      if (job.runs_before >= share) return absl::OkStatus();
      start.runs = share - job.runs_before;
    }
    start.environment = {
        {"LOCKSTEP_FUZZ_DEFECTS", FormatDefects(*options_.profile, defects_)}};
    if (absl::Status status = job.process.Start(start); !status.ok()) {
      return status;
    }
    job.started = true;
    job.defects = defects_;
    ++job.starts;
    return absl::OkStatus();
  }

  absl::Status NoteEnd(Job& job) {
    job.started = false;
    job.runs_before += job.process.output().runs();
    const bool failed =
        QueueArtifacts(job.process, job.defects, /*killed=*/false) > 0;
    if (failed || job.process.EndedWell()) {
      job.deaths = 0;
      return absl::OkStatus();
    }
    const std::string how = absl::StrCat(
        fs::path(options_.target).filename().string(), ": ",
        job.process.HowItEnded(), ": ", job.process.output().last_line());
    if (++job.deaths == kMostDeaths) return absl::UnavailableError(how);
    Say(absl::StrCat(how, "; it is started again"));
    return absl::OkStatus();
  }

  // Makes pending programs of what the target has failed on, with the defects
  // that it ran with. The artifact goes when the program is written.
  size_t QueueArtifacts(const FuzzJob& job, DefectSet defects, bool killed) {
    const std::vector<std::string> artifacts = job.Artifacts();
    for (const std::string& artifact : artifacts) {
      const std::string bytes = ReadFile(artifact);
      TakeOutOfCorpus(bytes);
      absl::StatusOr<Program> program = ParseProgram(bytes, artifact);
      const std::string name = fs::path(artifact).filename();
      if (!program.ok()) {
        // Of what was killed, one that was not written to its end.
        if (!killed) {
          KeepCrash(name, {{{"input", bytes}, {"target.log", job.Log()}}});
        }
        Remove(artifact);
        continue;
      }
      ++failures_;
      program->config.profile = options_.profile;
      program->config.defects = defects;
      const fs::path path = pending_ / absl::StrCat(name, ".binpb");
      absl::Status written =
          WriteFileAtomically(pending_ / absl::StrCat(name, ".log"), job.Log());
      written.Update(SaveProgram(*program, path));
      if (!written.ok()) {
        Say(written.message());
        continue;  // it stays an artifact
      }
      Remove(artifact);
      // Two jobs may fail on the same.
      if (std::find(queue_.begin(), queue_.end(), path) == queue_.end()) {
        queue_.push_back(path);
      }
    }
    return artifacts.size();
  }

  // A corpus with an input that fails would end every start at once.
  void TakeOutOfCorpus(const std::string& bytes) const {
    for (const fs::path& path : FilesOf(options_.corpus)) {
      std::error_code error;
      if (fs::file_size(path, error) == bytes.size() && !error &&
          ReadFile(path) == bytes) {
        Remove(path);
      }
    }
  }

  // One shrink at a time, in a process of its own: it takes a while, and a
  // program that kills the model kills only that.
  absl::Status AdvanceShrink() {
    if (shrinker_.Running()) {
      if (absl::Now() - shrink_start_ > kMostShrinkTime) shrinker_.Kill();
      return absl::OkStatus();
    }
    if (shrinking_) {
      shrinking_ = false;
      if (absl::Status status = NoteShrunk(queue_.front()); !status.ok()) {
        return status;
      }
      queue_.pop_front();
    }
    if (queue_.empty()) return absl::OkStatus();
    absl::StatusOr<Program> program = LoadProgram(queue_.front());
    if (!program.ok()) return program.status();
    // With the defects that are not known yet.
    shrunk_defects_ = defects_;
    program->config.defects = defects_;
    absl::Status status = SaveProgram(*program, ShrinkInput());
    if (!status.ok()) return status;
    Remove(ShrinkOutput());
    shrink_start_ = absl::Now();
    shrinking_ = true;
    return shrinker_.Start(
        {options_.lockstep, "shrink", absl::StrCat("--out=", ShrinkOutput()),
         ShrinkInput()},
        {}, own_ / "shrink.log");
  }
  std::string ShrinkInput() const { return own_ / "shrink.binpb"; }
  std::string ShrinkOutput() const { return own_ / "shrunk.txtpb"; }

  absl::Status NoteShrunk(const fs::path& path) {
    const bool ended = WIFEXITED(shrinker_.wait_status());
    absl::StatusOr<Program> shrunk = LoadProgram(ShrinkOutput());
    if (ended && WEXITSTATUS(shrinker_.wait_status()) == kExitFine &&
        shrunk.ok()) {
      absl::StatusOr<std::optional<Violation>> violation = Judge(*shrunk);
      if (violation.ok() && violation->has_value()) {
        HuntFinding finding;
        finding.program = *std::move(shrunk);
        finding.violation = **violation;
        Note(std::move(finding));
        if (!log_.status().ok()) return log_.status();
        Forget(path);
        return absl::OkStatus();
      }
    }
    absl::StatusOr<Program> program = LoadProgram(path);
    if (!program.ok()) return program.status();
    // Unless it shows a defect that was switched off since, which is known.
    if (!ended || program->config.defects == shrunk_defects_) {
      program->config.defects = shrunk_defects_;
      KeepCrash(
          path.stem(),
          {{{"program.txtpb", FormatProgramText(*program)},
            {"target.log", ReadFile(fs::path(path).replace_extension(".log"))},
            {"shrink.log", absl::StrCat(ReadFile(own_ / "shrink.log"),
                                        shrinker_.HowItEnded(), "\n")}}});
      if (!log_.status().ok()) return log_.status();
    }
    Forget(path);
    return absl::OkStatus();
  }

  static void Forget(const fs::path& path) {
    Remove(fs::path(path).replace_extension(".log"));
    Remove(path);
  }

  // A program that violates something, shrunk.
  void Note(HuntFinding finding) {
    finding.fingerprint = Fingerprint(finding.program);
    finding.index = Progress().programs;
    const std::string line = log_.Add(finding);
    if (finding.hits > 0 && !line.empty()) Say(line);
    absl::StatusOr<std::vector<Defect>> explained =
        ExplainingDefects(finding.program, finding.violation);
    if (explained.ok() && !explained->empty() &&
        defects_.Has(explained->front())) {
      defects_.Remove(explained->front());
      // They start again without it.
      for (const auto& job : jobs_) job->process.Stop();
    }
    const auto known = std::find_if(
        findings_.begin(), findings_.end(), [&](const HuntFinding& other) {
          return other.fingerprint == finding.fingerprint;
        });
    if (known == findings_.end()) {
      findings_.push_back(std::move(finding));
    } else {
      known->hits += finding.hits;
    }
  }

  void KeepCrash(const std::string& name, const FindingFiles& files) {
    absl::StatusOr<std::string> path = SaveFinding(options_.out, name, files);
    if (!path.ok()) {
      Say(path.status().message());
      return;
    }
    if (crashes_.insert(*path).second) {
      Say(absl::StrCat("the target died, but no property is violated: ",
                       *path));
    }
  }

  void StopJobs() {
    for (const auto& job : jobs_) job->process.Stop();
    const absl::Time deadline = absl::Now() + kStopGrace;
    for (const auto& job : jobs_) {
      while (job->process.Running() && absl::Now() < deadline) {
        absl::SleepFor(kPoll);
      }
      job->process.Kill();
      if (!job->started) continue;
      job->started = false;
      job->runs_before += job->process.output().runs();
      QueueArtifacts(job->process, job->defects,
                     /*killed=*/!job->process.EndedWell());
    }
  }

  absl::Status ShrinkTheRest() {
    const absl::Time deadline = absl::Now() + kShrinkGrace;
    while ((shrinking_ || !queue_.empty()) && !StopRequested() &&
           absl::Now() < deadline) {
      if (absl::Status status = AdvanceShrink(); !status.ok()) return status;
      absl::SleepFor(kPoll);
    }
    shrinker_.Kill();
    return absl::OkStatus();
  }

  LibFuzzerProgress Progress() const {
    LibFuzzerProgress progress;
    for (const auto& job : jobs_) {
      progress.programs += job->runs_before;
      if (job->started) progress.programs += job->process.output().runs();
      progress.corpus =
          std::max(progress.corpus, job->process.output().corpus());
    }
    progress.failures = failures_;
    progress.findings = log_.size();
    progress.seconds = absl::ToDoubleSeconds(Elapsed());
    return progress;
  }

  LibFuzzerResult Result() const {
    LibFuzzerResult result;
    result.progress = Progress();
    result.findings = log_.Result(findings_);
    result.crashes.assign(crashes_.begin(), crashes_.end());
    result.left = queue_.size();
    return result;
  }

  const LibFuzzerOptions& options_;
  const fs::path own_;
  const fs::path pending_;
  FindingLog log_;
  DefectSet defects_;  // less those that explain a finding
  const absl::Time start_;
  int lock_ = -1;

  std::vector<std::unique_ptr<Job>> jobs_;
  std::vector<HuntFinding> findings_;  // by fingerprint
  std::set<std::string> crashes_;
  uint64_t failures_ = 0;

  std::deque<fs::path> queue_;  // of pending_
  ChildProcess shrinker_;       // of queue_.front()
  bool shrinking_ = false;
  absl::Time shrink_start_;
  DefectSet shrunk_defects_;
};

}  // namespace

std::string FormatProgress(absl::string_view label,
                           const LibFuzzerProgress& progress) {
  return absl::StrFormat(
      "%s: %.0f s, %s programs, %d inputs in the corpus, %d finding%s", label,
      progress.seconds, FormatAmount(static_cast<double>(progress.programs)),
      progress.corpus, progress.findings, progress.findings == 1 ? "" : "s");
}

absl::StatusOr<LibFuzzerResult> RunLibFuzzer(const LibFuzzerOptions& options) {
  return Driver(options).Run();
}

}  // namespace lockstep
