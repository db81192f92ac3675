// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// What ways of searching are worth: checked steps per CPU second, and the CPU
// time until each of five defects is found, side by side. Every search is a
// process of its own that begins with nothing (libFuzzer with one empty input);
// its CPU time is what wait4(2) says, start included. The ways take turns, seed
// after seed, so that a busy machine is busy for all of them.
//
// The targets come from a build with -DLOCKSTEP_FUZZERS=ON, this program and
// with it the loop and RapidCheck from one without, since coverage would slow
// them down for nothing:
//
//   fuzz_power --fuzzers=COVERAGE-BUILD/fuzzers --raw=COVERAGE-BUILD/bench
//              [--lpm=DIRECTORY] [--repeats=5] [--timeout=60] [--speed=5]
//              [--defect=NAME] [--way=NAME]
//
// --lpm: targets named as ours that libprotobuf-mutator feeds. A search that
// was given up after --timeout CPU seconds counts as that: ">= 60".

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "bench/fuzz_power_search.h"
#include "engine/defect.h"
#include "engine/profile.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

// Three shallow ones, and two that nothing but the right calls in the right
// order, or at the right moment, shows.
struct DefectRow {
  Defect defect;
  const char* kernel;
  const char* why;
};
constexpr DefectRow kDefects[] = {
    {Defect::kMclOnfaultAlone, "v4.9", "one call with one flag"},
    {Defect::kOverlapDoubleCount, "v3.12",
     "two calls: locked memory is locked again, near the limit"},
    {Defect::kMprotectNoCow, "v3.12",
     "two calls: locked read-only memory becomes writable"},
    {Defect::kThpCowStaleMlocked, "v4.9",
     "three calls in order: a huge page is locked, fork, a write copies it"},
    {Defect::kThpSplitRace, "v3.12",
     "an interleaving: a huge page is split at one point inside munlock"},
};

struct Options {
  std::string fuzzers, raw, lpm, defect, way;
  uint64_t repeats = 5;
  uint64_t timeout = 60;  // CPU seconds
  uint64_t speed = 5;     // seconds; 0: not measured
};

// How one search ended.
struct Cell {
  double cpu = 0;  // seconds
  bool found = false;
  uint64_t steps = 0;  // 0: not known
};

// A way of searching: a function, or a directory of targets.
struct Way {
  std::string name;
  SearchResult (*search)(const SearchTask& task) = nullptr;
  std::string directory;
  const char* suffix = "";  // of the targets' names
};

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = fs::temp_directory_path() / "fuzz_power-XXXXXX";
    path_ = mkdtemp(name.data());
    fs::create_directory(path_ / "corpus");
    std::ofstream(path_ / "corpus" / "empty");
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

double SecondsOf(const rusage& usage) {
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) +
           static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Ended {
  int status = 0;
  double cpu = 0;
};

Ended WaitFor(pid_t pid) {
  Ended ended;
  rusage usage = {};
  wait4(pid, &ended.status, 0, &usage);
  ended.cpu = SecondsOf(usage);
  return ended;
}

absl::StatusOr<Cell> SearchInChild(const Way& way, const SearchTask& task) {
  void* shared = mmap(nullptr, sizeof(SearchResult), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return absl::UnavailableError("mmap failed");
  auto* result = new (shared) SearchResult();
  const pid_t pid = fork();
  if (pid == 0) {
    *result = way.search(task);
    _exit(0);
  }
  const Ended ended = WaitFor(pid);
  const Cell cell{ended.cpu, result->found, result->steps};
  munmap(shared, sizeof(SearchResult));
  if (!WIFEXITED(ended.status) || WEXITSTATUS(ended.status) != 0) {
    return absl::InternalError(absl::StrCat(way.name, ": the search died"));
  }
  return cell;
}

// The steps that a target says it has run when it exits.
uint64_t StepsIn(absl::string_view log) {
  for (absl::string_view line : absl::StrSplit(log, '\n')) {
    if (!absl::ConsumePrefix(&line, "lockstep: ")) continue;
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(" ,"), absl::SkipEmpty());
    uint64_t steps;
    if (words.size() > 3 && words[3] == "steps" &&
        absl::SimpleAtoi(words[2], &steps)) {
      return steps;
    }
  }
  return 0;
}

// `seconds`: 0, until it finds something or is over its CPU time.
absl::StatusOr<Cell> RunTarget(const Way& way, const SearchTask& task,
                               uint64_t seconds) {
  const TemporaryDirectory directory;
  const std::string target = fs::absolute(
      fs::path(way.directory) /
      absl::StrCat("lockstep_",
                   absl::StrReplaceAll(task.profile->name, {{".", "_"}}),
                   way.suffix, "_fuzzer"));
  const std::string log = directory.path() / "log";
  const pid_t pid = fork();
  if (pid == 0) {
    const auto cpu = static_cast<rlim_t>(task.cpu_seconds);
    const rlimit limit{cpu, cpu};
    if (seconds == 0) setrlimit(RLIMIT_CPU, &limit);
    setenv("LOCKSTEP_FUZZ_DEFECTS",
           FormatDefects(*task.profile, task.defects).c_str(), 1);
    setenv("LOCKSTEP_FUZZ_STATISTICS", "1", 1);
    if (chdir(directory.path().c_str()) != 0) _exit(126);
    if (std::freopen(log.c_str(), "w", stderr) == nullptr) _exit(126);
    const std::string seed = absl::StrCat("-seed=", task.seed);
    const std::string time = absl::StrCat("-max_total_time=", seconds);
    // All with the flags that our targets choose for themselves.
    execl(target.c_str(), target.c_str(), seed.c_str(), time.c_str(),
          "-len_control=0", "-entropic=0", "-use_counters=0",
          "-reduce_inputs=0", "-print_funcs=0", "corpus", nullptr);
    _exit(127);
  }
  const Ended ended = WaitFor(pid);
  std::ifstream file(log, std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  Cell cell{ended.cpu, false, StepsIn(text)};
  if (seconds > 0 && WIFEXITED(ended.status) &&
      WEXITSTATUS(ended.status) == 0 && cell.steps > 0) {
    return cell;
  }
  // It aborts with the finding, which libFuzzer makes an exit status.
  cell.found = seconds == 0 && WIFEXITED(ended.status) &&
               WEXITSTATUS(ended.status) == 77 &&
               absl::StrContains(text, " after step ");
  const bool given_up =
      seconds == 0 && WIFSIGNALED(ended.status) &&
      (WTERMSIG(ended.status) == SIGXCPU || WTERMSIG(ended.status) == SIGKILL);
  if (cell.found || given_up) return cell;
  return absl::InternalError(absl::StrCat(
      target, " ended with wait status ", ended.status, ": ",
      text.substr(text.size() - std::min<size_t>(text.size(), 600))));
}

absl::StatusOr<Cell> Search(const Way& way, const SearchTask& task) {
  return way.search != nullptr ? SearchInChild(way, task)
                               : RunTarget(way, task, 0);
}

absl::StatusOr<Cell> Speed(const Way& way, SearchTask task, uint64_t seconds) {
  if (way.search == nullptr) return RunTarget(way, task, seconds);
  task.cpu_seconds = static_cast<double>(seconds);
  return SearchInChild(way, task);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half]
                                : (values[half - 1] + values[half]) / 2;
}

// The median and how far the values are apart; what was given up is as long as
// it was tried.
struct Summary {
  double median = 0, least = 0, most = 0;
  size_t found = 0, all = 0;
  // The median is of searches that were given up: a lower bound.
  bool bound = false;
};
Summary Summarise(const std::vector<Cell>& cells) {
  Summary summary;
  std::vector<double> times;
  for (const Cell& cell : cells) {
    times.push_back(cell.cpu);
    summary.found += cell.found ? 1 : 0;
  }
  summary.all = cells.size();
  summary.median = Median(times);
  summary.least = *std::min_element(times.begin(), times.end());
  summary.most = *std::max_element(times.begin(), times.end());
  summary.bound = summary.found < summary.all / 2 + 1;
  return summary;
}

std::string FormatSummary(const Summary& summary) {
  return absl::StrFormat(
      "%s%.2f (%.2f to %s%.2f)", summary.bound ? ">= " : "", summary.median,
      summary.least, summary.found < summary.all ? ">= " : "", summary.most);
}

// How many times longer `other` takes than `ours`.
std::string FormatRatio(const Summary& other, const Summary& ours) {
  if (ours.bound) return other.bound ? "?" : "< 1";
  return absl::StrFormat("%s%.3gx", other.bound ? ">= " : "",
                         other.median / ours.median);
}

absl::Status MeasureSpeed(const std::vector<Way>& ways,
                          const Options& options) {
  std::vector<const Profile*> profiles;
  for (const DefectRow& row : kDefects) {
    const Profile* profile = *FindProfile(row.kernel);
    if (std::find(profiles.begin(), profiles.end(), profile) ==
        profiles.end()) {
      profiles.push_back(profile);
    }
  }
  std::vector<std::vector<std::vector<double>>> rates(
      ways.size(), std::vector<std::vector<double>>(profiles.size()));
  for (uint64_t repeat = 0; repeat < options.repeats; ++repeat) {
    for (size_t p = 0; p < profiles.size(); ++p) {
      for (size_t w = 0; w < ways.size(); ++w) {
        SearchTask task;
        task.profile = profiles[p];
        task.seed = repeat + 1;
        absl::StatusOr<Cell> cell = Speed(ways[w], task, options.speed);
        if (!cell.ok()) return cell.status();
        rates[w][p].push_back(static_cast<double>(cell->steps) / cell->cpu);
      }
    }
  }
  absl::PrintF(
      "Checked steps per CPU second, no defect, from nothing, median "
      "of %d:\n\n| way |",
      options.repeats);
  for (const Profile* profile : profiles) absl::PrintF(" %s |", profile->name);
  absl::PrintF("\n|---|");
  for (size_t p = 0; p < profiles.size(); ++p) absl::PrintF("---:|");
  absl::PrintF("\n");
  for (size_t w = 0; w < ways.size(); ++w) {
    absl::PrintF("| %s |", ways[w].name);
    for (size_t p = 0; p < profiles.size(); ++p) {
      absl::PrintF(" %.0fk |", Median(rates[w][p]) / 1000);
    }
    absl::PrintF("\n");
  }
  absl::PrintF("\n");
  std::fflush(stdout);
  return absl::OkStatus();
}

absl::Status MeasureDefects(const std::vector<Way>& ways,
                            const Options& options) {
  absl::PrintF(
      "CPU seconds until the defect is found, median of %d (least to "
      "most), given up at %d:\n\n| defect |",
      options.repeats, options.timeout);
  for (const Way& way : ways) absl::PrintF(" %s |", way.name);
  absl::PrintF(" against ours |\n|---|");
  for (size_t w = 0; w <= ways.size(); ++w) absl::PrintF("---:|");
  absl::PrintF("\n");
  std::fflush(stdout);
  for (const DefectRow& row : kDefects) {
    const DefectInfo& info = InfoOf(row.defect);
    if (!options.defect.empty() && options.defect != info.name) continue;
    std::vector<std::vector<Cell>> cells(ways.size());
    for (uint64_t repeat = 0; repeat < options.repeats; ++repeat) {
      for (size_t w = 0; w < ways.size(); ++w) {
        SearchTask task;
        task.profile = *FindProfile(row.kernel);
        task.defects = DefectSet({row.defect});
        task.seed = repeat + 1;
        task.cpu_seconds = static_cast<double>(options.timeout);
        absl::StatusOr<Cell> cell = Search(ways[w], task);
        if (!cell.ok()) return cell.status();
        absl::FPrintF(stderr, "%s, %s, seed %d: %s%.3f s\n", info.name,
                      ways[w].name, task.seed,
                      cell->found ? "" : ">= ", cell->cpu);
        cells[w].push_back(*cell);
      }
    }
    absl::PrintF("| %s (%s: %s) |", info.name, row.kernel, row.why);
    std::vector<std::string> ratios;
    const Summary ours = Summarise(cells[0]);
    for (size_t w = 0; w < ways.size(); ++w) {
      const Summary summary = Summarise(cells[w]);
      absl::PrintF(" %s |", FormatSummary(summary));
      if (w > 0) {
        ratios.push_back(
            absl::StrCat(ways[w].name, " ", FormatRatio(summary, ours)));
      }
    }
    absl::PrintF(" %s |\n", absl::StrJoin(ratios, ", "));
    std::fflush(stdout);
  }
  return absl::OkStatus();
}

bool ParseText(absl::string_view argument, absl::string_view name,
               std::string* value) {
  if (!absl::ConsumePrefix(&argument, name)) return false;
  *value = std::string(argument);
  return !value->empty();
}
bool ParseNumber(absl::string_view argument, absl::string_view name,
                 uint64_t* value) {
  return absl::ConsumePrefix(&argument, name) &&
         absl::SimpleAtoi(argument, value);
}

int Main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    if (!ParseText(argv[i], "--fuzzers=", &options.fuzzers) &&
        !ParseText(argv[i], "--raw=", &options.raw) &&
        !ParseText(argv[i], "--lpm=", &options.lpm) &&
        !ParseText(argv[i], "--defect=", &options.defect) &&
        !ParseText(argv[i], "--way=", &options.way) &&
        !ParseNumber(argv[i], "--repeats=", &options.repeats) &&
        !ParseNumber(argv[i], "--timeout=", &options.timeout) &&
        !ParseNumber(argv[i], "--speed=", &options.speed)) {
      absl::FPrintF(stderr,
                    "expected --fuzzers=DIR, --raw=DIR, --lpm=DIR, "
                    "--defect=NAME, --way=NAME, --repeats=N, --timeout=N or "
                    "--speed=N, found \"%s\"\n",
                    argv[i]);
      return 2;
    }
  }
  if (options.repeats == 0 || options.timeout == 0) {
    absl::FPrintF(stderr, "expected --repeats and --timeout above 0\n");
    return 2;
  }
  if (options.fuzzers.empty() || options.raw.empty()) {
    absl::FPrintF(stderr,
                  "expected --fuzzers=DIR and --raw=DIR of a build "
                  "with -DLOCKSTEP_FUZZERS=ON\n");
    return 2;
  }
  std::vector<Way> ways = {
      {"libFuzzer, our mutator", nullptr, options.fuzzers},
      {"plain loop", SearchByLoop, ""},
      {"libFuzzer, raw bytes", nullptr, options.raw, "_raw"},
      {"RapidCheck state machine", SearchByRapidCheck, ""},
  };
  if (!options.lpm.empty()) {
    ways.push_back({"libprotobuf-mutator", nullptr, options.lpm});
  }
  if (!options.way.empty()) {
    ways.erase(std::remove_if(ways.begin(), ways.end(),
                              [&](const Way& way) {
                                return !absl::StrContains(way.name,
                                                          options.way);
                              }),
               ways.end());
  }
  absl::Status status;
  if (options.speed > 0) status = MeasureSpeed(ways, options);
  if (status.ok()) status = MeasureDefects(ways, options);
  if (status.ok()) return 0;
  absl::FPrintF(stderr, "fuzz_power: %s\n", status.message());
  return 3;
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) { return lockstep::Main(argc, argv); }
