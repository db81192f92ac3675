// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Program: a start configuration and steps, as plain structs, and their way
// from and to disk.

#ifndef LOCKSTEP_ENGINE_PROGRAM_H_
#define LOCKSTEP_ENGINE_PROGRAM_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/outcome.h"
#include "engine/profile.h"
#include "engine/step.h"

namespace lockstep {

enum class TransparentHugepage : uint8_t { kNever, kMadvise, kAlways };

// See Config in program.proto. Numbers are already brought into their ranges.
struct Config {
  const Profile* profile = &DefaultProfile();
  DefectSet defects = DefaultProfile().shipped;
  uint64_t arena_pages = 64;
  uint64_t memory_pages = 1024;
  uint64_t image_pages = 0;           // never locked
  uint64_t image_lockable_pages = 0;  // locked by mlockall
  uint64_t memlock_limit = 65536;     // bytes
  uint64_t file_size = 65536;         // bytes
  uint32_t zones = 1;
  uint32_t cpus = 2;
  uint32_t hpage_pmd_order = 4;
  uint32_t max_map_count = 65530;
  uint32_t nr_hugepages = 0;
  std::optional<uint32_t> stack_guard_gap;  // pages; none: the profile's
  uint8_t uid = 0;
  bool cap_ipc_lock = false;
  bool protection_keys = false;  // of the CPU
  TransparentHugepage transparent_hugepage = TransparentHugepage::kNever;

  bool Has(Defect defect) const { return defects.Has(defect); }
  bool operator==(const Config&) const = default;

  // Another profile, with the defects it shipped with.
  void SetProfile(const Profile& new_profile) {
    profile = &new_profile;
    defects = new_profile.shipped;
  }
};

// What must be seen after a step (Expect in program.proto).
struct Expectation {
  struct PageRange {
    Vpn page;  // arena page
    Pages count{1};
    std::optional<bool> mapped, locked, onfault, resident, mlocked;
    bool operator==(const PageRange&) const = default;
  };
  struct Counter {
    std::string name;
    int64_t value = 0;
    bool operator==(const Counter&) const = default;
  };
  size_t step = 0;
  std::vector<std::string> kernels;  // profile names; none: all
  std::string outcome;               // OutcomeName; empty: not checked
  std::optional<uint64_t> locked_vm;
  std::vector<PageRange> pages;
  std::vector<Counter> counters;
  std::optional<uint32_t> map_count;
  bool operator==(const Expectation&) const = default;
};

struct Program {
  Config config;
  std::vector<Step> steps;
  std::vector<Expectation> expectations;  // in the order of steps
  std::string description;
  bool operator==(const Program&) const = default;
};

inline constexpr size_t kMaxSteps = 65536;
inline constexpr size_t kMaxProgramBytes = 16 << 20;

// The program in a file, text or binary. Errors name the file, and for text the
// line and column and what was expected there:
//   NotFound, PermissionDenied, InvalidArgument (malformed, a directory, empty,
//   over kMaxSteps or kMaxProgramBytes, unknown kernel or defect).
absl::StatusOr<Program> LoadProgram(const std::string& path);

// The same from memory; `name` stands for the file in errors.
absl::StatusOr<Program> ParseProgramText(absl::string_view text,
                                         absl::string_view name);
absl::StatusOr<Program> ParseProgramBinary(absl::string_view bytes,
                                           absl::string_view name);
// Either, as fuzzers keep them: text if it begins with the '#' of its header,
// which no binary program does (it would be a group, which the format lacks).
absl::StatusOr<Program> ParseProgram(absl::string_view contents,
                                     absl::string_view name);

// Text with its "# proto-file:" and "# proto-message:" header. Parsing it gives
// an equal program.
std::string FormatProgramText(const Program& program);
std::string FormatProgramBinary(const Program& program);

// Writes beside and renames: the file is whole or not there. The format is
// binary for names that end in ".binpb", text otherwise.
absl::Status SaveProgram(const Program& program, const std::string& path);
absl::Status WriteFileAtomically(const std::string& path,
                                 absl::string_view contents);

// One line for a person: "task 0: mlock(arena 3, 8192)".
std::string DebugString(const Step& step);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PROGRAM_H_
