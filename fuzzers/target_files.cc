// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "fuzzers/target_files.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/linux/trace.h"
#include "engine/linux/trace_testing.h"
#include "engine/program.h"
#include "engine/reference/reference_engine.h"
#include "fuzzers/dictionary.h"
#include "fuzzers/trace_programs.h"
#include "props/property.h"
#include "props/runner.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

constexpr absl::string_view kFindsDefects =
    "it is to find defects of kernels, which are on as its input says";
constexpr absl::string_view kNeedsTheKernel =
    "it runs programs on the kernel underneath, with rights of its own";

constexpr TargetInfo kTargets[] = {
    {"lockstep_v3_12_fuzzer", InputKind::kProgram, ""},
    {"lockstep_v4_9_fuzzer", InputKind::kProgram, ""},
    {"lockstep_v6_1_fuzzer", InputKind::kProgram, ""},
    {"lockstep_v6_12_fuzzer", InputKind::kProgram, ""},
    {"lockstep_v6_18_fuzzer", InputKind::kProgram, ""},
    {"lockstep_profiles_fuzzer", InputKind::kProgram, ""},
    {"lockstep_defects_fuzzer", InputKind::kSoundProgram, kFindsDefects},
    {"lockstep_host_fuzzer", InputKind::kProgram, kNeedsTheKernel},
    {"lockstep_text_fuzzer", InputKind::kText, ""},
    {"lockstep_binary_fuzzer", InputKind::kFile, ""},
    {"lockstep_trace_fuzzer", InputKind::kTrace, ""},
};

// The longest input that an engine should make, in bytes. Libraries refuse far
// longer ones; longer than the longest seed they are slow and say nothing new.
constexpr int kMaxInput = 16384;

absl::StatusOr<std::string> ReadFile(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(stream)),
                    std::istreambuf_iterator<char>());
  if (!stream) {
    return absl::NotFoundError(absl::StrCat("cannot read ", path.string()));
  }
  return bytes;
}

// Whether the program violates nothing on the kernel that it names.
absl::StatusOr<bool> IsSound(const Program& program) {
  reference::ReferenceEngine engine;
  Runner runner(&engine);
  absl::StatusOr<std::optional<Violation>> violation = runner.Run(program);
  if (!violation.ok()) return violation.status();
  return !violation->has_value();
}

// What an executor would write of the programs of lockstep_trace_fuzzer, if the
// kernel underneath were the model. The first byte chooses program and look.
SeedCorpus TraceSeeds() {
  SeedCorpus seeds;
  reference::ReferenceEngine engine;
  const std::vector<Program>& programs = TracePrograms();
  for (size_t i = 0; i < programs.size(); ++i) {
    const Trace trace = RecordTrace(programs[i], &engine);
    seeds.emplace(absl::StrFormat("trace-%03d", i),
                  absl::StrCat(std::string(1, static_cast<char>(2 * i)),
                               ResultBytes({trace}).bytes()));
  }
  return seeds;
}

// The program's seed for the target; nothing if it is none.
absl::StatusOr<std::optional<std::string>> Seed(InputKind inputs,
                                                const fs::path& path,
                                                const Program& program) {
  // What is expected and what a person reads are not run.
  Program bare = program;
  bare.expectations.clear();
  bare.description.clear();
  switch (inputs) {
    case InputKind::kSoundProgram: {
      const absl::StatusOr<bool> sound = IsSound(bare);
      if (!sound.ok()) return sound.status();
      if (!*sound) return std::nullopt;
      return FormatProgramBinary(bare);
    }
    case InputKind::kProgram:
      return FormatProgramBinary(bare);
    case InputKind::kFile:
      return FormatProgramBinary(program);
    case InputKind::kText:
      return ReadFile(path);
    case InputKind::kTrace:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

absl::Span<const TargetInfo> AllTargets() { return kTargets; }

const TargetInfo* FindTarget(absl::string_view name) {
  for (const TargetInfo& target : kTargets) {
    if (target.name == name) return &target;
  }
  return nullptr;
}

absl::StatusOr<SeedCorpus> Seeds(const TargetInfo& target,
                                 const std::string& corpus) {
  if (target.inputs == InputKind::kTrace) return TraceSeeds();
  SeedCorpus seeds;
  std::error_code error;
  for (fs::recursive_directory_iterator i(corpus, error), end; i != end;
       i.increment(error)) {
    const fs::path& path = i->path();
    const bool text = path.extension() == ".txtpb";
    // Files beside the folders are no programs: judged.txtpb.
    if (i.depth() == 0 || (!text && path.extension() != ".binpb")) continue;
    if (!text && target.inputs == InputKind::kText) continue;
    absl::StatusOr<Program> program = LoadProgram(path.string());
    if (!program.ok()) return program.status();
    absl::StatusOr<std::optional<std::string>> seed =
        Seed(target.inputs, path, *program);
    if (!seed.ok()) return seed.status();
    if (!seed->has_value()) continue;
    // Text and binary of one name are two seeds.
    std::string name = fs::relative(path, corpus).string();
    if (text && target.inputs != InputKind::kText) name += ".binpb";
    seeds.emplace(absl::StrReplaceAll(name, {{"/", "-"}}), **seed);
  }
  if (error) {
    return absl::NotFoundError(
        absl::StrCat("cannot read ", corpus, ": ", error.message()));
  }
  if (seeds.empty()) {
    return absl::NotFoundError(
        absl::StrCat("no seed for ", target.name, " below ", corpus));
  }
  return seeds;
}

std::string DictionaryOf(const TargetInfo& target) {
  switch (target.inputs) {
    case InputKind::kText:
      return FormatDictionary(TextDictionary());
    case InputKind::kTrace:
      return "";
    default:
      return FormatDictionary(BinaryDictionary());
  }
}

std::string OptionsOf(const TargetInfo& target) {
  std::string options =
      absl::StrCat("[libfuzzer]\nmax_len = ", kMaxInput, "\n");
  if (!DictionaryOf(target).empty()) {
    absl::StrAppend(&options, "dict = ", target.name, ".dict\n");
  }
  return options;
}

}  // namespace lockstep
