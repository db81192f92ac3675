// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "fuzzers/target_files.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "engine/defect.h"
#include "engine/linux/trace.h"
#include "engine/linux/wire.h"
#include "engine/program.h"
#include "engine/reference/reference_engine.h"
#include "engine/step.h"
#include "fuzzers/dictionary.h"
#include "fuzzers/trace_programs.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "props/property.h"
#include "props/runner.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::SizeIs;
using testing::UnorderedElementsAreArray;

const std::string& Corpus() {
  static const std::string path = absl::StrCat(LOCKSTEP_SOURCE_DIR, "/corpus");
  return path;
}

SeedCorpus SeedsOf(absl::string_view target) {
  absl::StatusOr<SeedCorpus> seeds = Seeds(*FindTarget(target), Corpus());
  EXPECT_TRUE(seeds.ok()) << seeds.status();
  return seeds.ok() ? *seeds : SeedCorpus();
}

// The programs of corpus/: all but what is judged.
std::vector<fs::path> Programs() {
  std::vector<fs::path> programs;
  for (const auto& entry : fs::recursive_directory_iterator(Corpus())) {
    const fs::path& path = entry.path();
    if (path.extension() == ".txtpb" && path.filename() != "judged.txtpb") {
      programs.push_back(path);
    }
  }
  return programs;
}

// LOCKSTEP_TARGETS is what is built.
TEST(TargetFiles, HaveARowForEachTargetThatIsBuiltAndNoOther) {
  std::vector<std::string> names;
  for (const TargetInfo& target : AllTargets()) names.emplace_back(target.name);
  const std::vector<std::string> built =
      absl::StrSplit(LOCKSTEP_TARGETS, ',', absl::SkipEmpty());
  EXPECT_THAT(names, UnorderedElementsAreArray(built));
}

// OSS-Fuzz takes no other names.
TEST(TargetFiles, AreNamedByLettersDigitsAndLines) {
  for (const TargetInfo& target : AllTargets()) {
    for (const char c : target.name) {
      EXPECT_TRUE(absl::ascii_isalnum(c) || c == '_' || c == '-')
          << target.name;
    }
  }
}

TEST(TargetFiles, MakeASeedOfEachProgramOfTheCorpus) {
  for (const TargetInfo& target : AllTargets()) {
    if (target.inputs == InputKind::kSoundProgram ||
        target.inputs == InputKind::kTrace) {
      continue;
    }
    EXPECT_GE(SeedsOf(target.name).size(), Programs().size()) << target.name;
  }
}

TEST(TargetFiles, SeedsAreTheStepsOfTheProgramsTheyAreMadeOf) {
  const SeedCorpus seeds = SeedsOf("lockstep_v4_9_fuzzer");
  for (const fs::path& path : Programs()) {
    const absl::StatusOr<Program> program = LoadProgram(path);
    ASSERT_TRUE(program.ok()) << program.status();
    const std::string name = absl::StrCat(
        path.parent_path().filename().string(), "-", path.filename().string(),
        path.extension() == ".txtpb" ? ".binpb" : "");
    ASSERT_TRUE(seeds.contains(name)) << name;
    const absl::StatusOr<Program> seed =
        ParseProgramBinary(seeds.at(name), name);
    ASSERT_TRUE(seed.ok()) << seed.status();
    EXPECT_EQ(seed->steps, program->steps) << name;
    EXPECT_EQ(seed->config, program->config) << name;
  }
}

TEST(TargetFiles, SeedsOfFilesKeepAllThatAFileSays) {
  const SeedCorpus seeds = SeedsOf("lockstep_binary_fuzzer");
  const std::string name = "spec-1.2-fatal-signal";
  const absl::StatusOr<Program> seed =
      ParseProgramBinary(seeds.at(name + ".txtpb.binpb"), name);
  ASSERT_TRUE(seed.ok()) << seed.status();
  const absl::StatusOr<Program> file =
      LoadProgram(absl::StrCat(Corpus(), "/spec/1.2-fatal-signal.txtpb"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_FALSE(file->expectations.empty());
  EXPECT_EQ(*seed, *file);
}

TEST(TargetFiles, SeedsOfTracesAreTraces) {
  const std::vector<Program>& programs = TracePrograms();
  const SeedCorpus seeds = SeedsOf("lockstep_trace_fuzzer");
  ASSERT_THAT(seeds, SizeIs(programs.size()));
  for (const auto& [name, bytes] : seeds) {
    const Program& program = programs[static_cast<uint8_t>(bytes[0]) / 2];
    const absl::StatusOr<std::vector<Trace>> traces = DecodeResult(
        {&program, 1}, wire::Look::kPages, absl::string_view(bytes).substr(1));
    ASSERT_TRUE(traces.ok()) << name << ": " << traces.status();
    ASSERT_THAT(*traces, SizeIs(1));
    EXPECT_THAT(traces->front().steps, SizeIs(program.steps.size())) << name;
  }
}

TEST(TargetFiles, SeedsAreTheSameEachTime) {
  for (const TargetInfo& target : AllTargets()) {
    EXPECT_EQ(SeedsOf(target.name), SeedsOf(target.name)) << target.name;
  }
}

// A target that hunts would stop at its first seed.
TEST(TargetFiles, SoundSeedsViolateNothingAndTheWitnessesAreNoneOfThem) {
  const SeedCorpus seeds = SeedsOf("lockstep_defects_fuzzer");
  EXPECT_GE(seeds.size(), Programs().size() / 2);
  for (const auto& [name, bytes] : seeds) {
    const absl::StatusOr<Program> program = ParseProgramBinary(bytes, name);
    ASSERT_TRUE(program.ok()) << program.status();
    reference::ReferenceEngine engine;
    Runner runner(&engine);
    const absl::StatusOr<std::optional<Violation>> violation =
        runner.Run(*program);
    ASSERT_TRUE(violation.ok()) << violation.status();
    EXPECT_FALSE(violation->has_value()) << name;
  }
  for (const DefectInfo& defect : AllDefects()) {
    EXPECT_FALSE(
        seeds.contains(absl::StrCat("defects-", defect.name, ".txtpb.binpb")));
  }
}

TEST(TargetFiles, SayWhatIsMissing) {
  const absl::StatusOr<SeedCorpus> seeds =
      Seeds(*FindTarget("lockstep_v4_9_fuzzer"), "/nonexistent");
  EXPECT_TRUE(absl::IsNotFound(seeds.status()));
  EXPECT_THAT(std::string(seeds.status().message()),
              testing::HasSubstr("/nonexistent"));
  EXPECT_EQ(FindTarget("lockstep_v2_6_fuzzer"), nullptr);
}

TEST(TargetFiles, OptionsNameTheDictionaryIfThereIsOne) {
  for (const TargetInfo& target : AllTargets()) {
    EXPECT_EQ(absl::StrContains(OptionsOf(target), "dict = "),
              !DictionaryOf(target).empty())
        << target.name;
  }
}

// ---- Dictionaries ----

// The words of a text, strings whole, comments and numbers left out.
std::set<std::string> WordsOf(absl::string_view text) {
  std::set<std::string> words;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    size_t i = 0;
    while (i < line.size() && line[i] != '#') {
      size_t end = i + 1;
      if (line[i] == '"') {
        while (end < line.size() && line[end] != '"') ++end;
        words.insert(std::string(line.substr(i, end + 1 - i)));
        ++end;
      } else if (absl::ascii_isalpha(line[i])) {
        while (end < line.size() &&
               (absl::ascii_isalnum(line[end]) || line[end] == '_')) {
          ++end;
        }
        words.insert(std::string(line.substr(i, end - i)));
      }
      i = end;
    }
  }
  return words;
}

TEST(Dictionary, OfTextHasEachNameThatTheCorpusUses) {
  std::set<std::string> entries;
  for (const std::string& entry : TextDictionary()) {
    entries.insert(entry.substr(0, entry.find_first_of(": {", 1)));
    entries.insert(entry);
  }
  const std::set<std::string> known_literals = {"true", "false"};
  std::set<std::string> missing;
  for (const fs::path& path : Programs()) {
    const absl::StatusOr<Program> program = LoadProgram(path);
    ASSERT_TRUE(program.ok()) << program.status();
    Program bare = *program;  // descriptions are prose
    bare.description.clear();
    for (Expectation& expectation : bare.expectations) {
      expectation.counters.clear();  // by the names of /proc/vmstat
    }
    for (const std::string& word : WordsOf(FormatProgramText(bare))) {
      const bool defects = absl::StartsWith(word, "\"+") ||
                           absl::StartsWith(word, "\"-") ||
                           absl::StartsWith(word, "\"none");
      if (!defects && !known_literals.contains(word) &&
          !entries.contains(word)) {
        missing.insert(word);
      }
    }
  }
  EXPECT_EQ(missing, std::set<std::string>());
}

TEST(Dictionary, OfBinaryHasAProgramOfEachOperation) {
  std::set<Op> seen;
  for (const std::string& entry : BinaryDictionary()) {
    const absl::StatusOr<Program> program = ParseProgramBinary(entry, "entry");
    if (program.ok() && program->steps.size() == 1 &&
        program->config == Config()) {
      seen.insert(program->steps[0].op);
    }
  }
  for (int op = static_cast<int>(Op::kNone) + 1; op < kOpCount; ++op) {
    EXPECT_THAT(seen, Contains(static_cast<Op>(op)));
  }
}

TEST(Dictionary, EntriesAreWithinTheEnginesLimitAndDiffer) {
  for (const std::vector<std::string>& entries :
       {TextDictionary(), BinaryDictionary()}) {
    EXPECT_THAT(std::set<std::string>(entries.begin(), entries.end()),
                SizeIs(entries.size()));
    for (const std::string& entry : entries) {
      EXPECT_LE(entry.size(), kMaxDictionaryEntry) << entry;
      EXPECT_FALSE(entry.empty());
    }
  }
}

TEST(Dictionary, FileReadsBackAsItsEntries) {
  const std::vector<std::string> entries = BinaryDictionary();
  std::vector<std::string> read;
  for (absl::string_view line :
       absl::StrSplit(FormatDictionary(entries), '\n', absl::SkipEmpty())) {
    ASSERT_TRUE(absl::ConsumePrefix(&line, "\""));
    ASSERT_TRUE(absl::ConsumeSuffix(&line, "\""));
    std::string entry;
    for (size_t i = 0; i < line.size(); ++i) {
      if (line[i] != '\\') {
        entry.push_back(line[i]);
      } else if (line[i + 1] == 'x') {
        entry += absl::HexStringToBytes(line.substr(i + 2, 2));
        i += 3;
      } else {
        entry.push_back(line[++i]);
      }
    }
    read.push_back(entry);
  }
  EXPECT_EQ(read, entries);
}

}  // namespace
}  // namespace lockstep
