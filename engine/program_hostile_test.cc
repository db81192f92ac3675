// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Files made to hurt: no crash, no unbounded memory or time, one line of error.

#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Repeat(absl::string_view what, size_t times) {
  std::string text;
  text.reserve(what.size() * times);
  for (size_t i = 0; i < times; ++i) absl::StrAppend(&text, what);
  return text;
}

std::string TextError(const std::string& text) {
  const auto program = ParseProgramText(text, "hostile");
  EXPECT_TRUE(absl::IsInvalidArgument(program.status())) << program.status();
  const std::string error(program.status().message());
  EXPECT_THAT(error, StartsWith("hostile:"));
  EXPECT_LT(error.size(), 2000u);
  return error;
}

std::string BinaryError(const std::string& bytes) {
  const auto program = ParseProgramBinary(bytes, "hostile");
  EXPECT_TRUE(absl::IsInvalidArgument(program.status())) << program.status();
  const std::string error(program.status().message());
  EXPECT_THAT(error, StartsWith("hostile: "));
  EXPECT_LT(error.size(), 2000u);
  return error;
}

std::string Varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) {
    bytes.push_back(static_cast<char>(value | 0x80));
  }
  bytes.push_back(static_cast<char>(value));
  return bytes;
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

// Expects that the process grows little while this is alive.
class LittleMemory {
 public:
  ~LittleMemory() {
// AddressSanitizer keeps freed memory.
#if !defined(__SANITIZE_ADDRESS__)
    EXPECT_LT(Peak() - before_, 64 << 10) << "kilobytes";
#endif
  }

 private:
  static int64_t Peak() {
    rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_maxrss : INT64_MAX;
  }
  [[maybe_unused]] int64_t before_ = Peak();
};

TEST(HostileTextTest, DeepNestingIsAnErrorAtTheFirstUnknownName) {
  EXPECT_THAT(TextError(Repeat("steps { ", 1000000)),
              HasSubstr("hostile:1:15: Message type \"lockstep.proto.Step\" "
                        "has no field named \"steps\""));
  EXPECT_THAT(TextError("x " + Repeat("{", 1000000)), HasSubstr("hostile:1:"));
}

TEST(HostileTextTest, TooManyStepsAreAnErrorAtTheFirstTooMany) {
  EXPECT_EQ(TextError(Repeat("steps {}\n", kMaxSteps + 2)),
            "hostile:65537:1: steps[65536]: more than 65536 steps");
  EXPECT_TRUE(ParseProgramText(Repeat("steps {}\n", kMaxSteps), "most").ok());
}

TEST(HostileTextTest, TooManyMessagesAreAnErrorBeforeTheyAreBuilt) {
  const std::string text = "steps { " + Repeat("expect{}", 1500000) + "}";
  LittleMemory little_memory;
  EXPECT_THAT(TextError(text), HasSubstr("more than 1048576 messages"));
}

TEST(HostileTextTest, TooManyBytesAreAnError) {
  EXPECT_THAT(TextError(std::string(kMaxProgramBytes + 1, '#')),
              HasSubstr("larger than 16777216 bytes"));
}

TEST(HostileTextTest, LongNamesAndNulsAreErrors) {
  EXPECT_TRUE(absl::IsInvalidArgument(
      ParseProgramText(std::string(100000, 'a'), "hostile").status()));
  TextError(std::string("steps\0{}", 8));
  TextError("description: \"" + std::string(100, '\\'));
}

TEST(HostileTextTest, TypesFromElsewhereAreErrors) {
  TextError("[type.googleapis.com/lockstep.proto.Step] {}");
  TextError("[lockstep.proto.extension]: 1");
}

TEST(HostileBinaryTest, SizesBeyondTheEndAreErrors) {
  for (const uint64_t size : {uint64_t{1}, uint64_t{0x7fffffff},
                              uint64_t{0xffffffff}, ~uint64_t{0}}) {
    EXPECT_THAT(BinaryError("\x12" + Varint(size)), HasSubstr("truncated"));
    EXPECT_THAT(BinaryError("\x12\x0a\x52" + Varint(size)),
                HasSubstr("truncated"));
  }
}

TEST(HostileBinaryTest, NestedSizesBeyondTheirOwnerAreErrors) {
  // A step of 3 bytes that holds an mmap of 9, with enough bytes behind it.
  EXPECT_THAT(BinaryError("\x12\x03\x52\x09\x10" + std::string(20, '\x01')),
              HasSubstr("lockstep.proto.Step.mmap has 9 bytes, 1 are left"));
}

TEST(HostileBinaryTest, TooManyStepsAreAnError) {
  EXPECT_EQ(BinaryError(Repeat(std::string("\x12\0", 2), kMaxSteps + 1)),
            "hostile: steps[65536]: more than 65536 steps");
}

TEST(HostileBinaryTest, TooManyMessagesAreAnErrorBeforeTheyAreBuilt) {
  // Expectations: 2 bytes each in the file, over 100 in memory.
  const std::string expects = Repeat(std::string("\x1a\0", 2), 8000000);
  const std::string bytes = "\x12" + Varint(expects.size()) + expects;
  LittleMemory little_memory;
  EXPECT_THAT(BinaryError(bytes), HasSubstr("more than 1048576 messages"));
}

TEST(HostileBinaryTest, EndlessNumbersAreErrors) {
  BinaryError(std::string(1000, '\xff'));
  BinaryError("\x12\x0c\x08" + std::string(11, '\xff'));
  BinaryError("\x12\x0e\x52\x0c\x22\x0a" + std::string(10, '\xff'));
}

// ---- Any damage to a good program ----

// Has a bit of everything that the schema knows.
constexpr absl::string_view kRichProgram = R"(
description: "Größe \n\"quoted\""
config { kernel: "v3.12" defects: "none,+D3" arena_pages: 4096 cpus: 3
  memlock_limit: 18446744073709551615 transparent_hugepage: ALWAYS }
steps { mmap { addr { page: 3 } length: 8192 prot: [READ, WRITE]
  flags: [PRIVATE, ANONYMOUS, 2048] source: SECRET fd: 2 offset_pages: 9 } }
steps { task: 1 mremap { addr { raw: 0xffff800000000000 } old_length: 4096
  new_addr { heap_page: 1 offset: 5 } flags: [MAYMOVE, FIXED] } }
steps { munlock { addr { page: 3 } length: 8192 }
  during { point: "munlock_pagevec:isolated" nth: 1 task: 2
    isolate { page { page: 4 } } }
  during { point: "mlock:marked" touch { write: true } }
  expect { kernel: ["v3.12", "v4.9"] outcome: "ENOMEM" locked_vm: 2
    pages { page: 3 count: 2 locked: false resident: true }
    counters { name: "nr_mlock" value: -3 } map_count: 7 } }
steps { shmctl { shm: 1 command: LOCK } }
steps { madvise { advice: DONTNEED } }
steps { fail_allocation { nth: 3 } }
)";

class Damage {
 public:
  explicit Damage(uint64_t seed) : engine_(seed) {}

  std::string Apply(std::string bytes) {
    for (uint64_t n = 1 + Below(4); n > 0; --n) One(&bytes);
    return bytes;
  }

 private:
  uint64_t Below(uint64_t n) { return engine_() % n; }

  void One(std::string* bytes) {
    const size_t at = Below(bytes->size() + 1);
    const size_t size = Below(20);
    switch (Below(6)) {
      case 0:
        bytes->resize(at);
        return;
      case 1:
        bytes->erase(at, size);
        return;
      case 2:
        bytes->insert(at, bytes->substr(Below(bytes->size() + 1), size));
        return;
      case 3:
        bytes->insert(at, 1, static_cast<char>(engine_()));
        return;
      default:
        if (at < bytes->size()) {
          (*bytes)[at] = static_cast<char>(
              Below(2) == 0 ? (*bytes)[at] ^ (1 << Below(8)) : engine_());
        }
    }
  }

  std::mt19937_64 engine_;
};

void ExpectOneLineOrAProgram(const absl::StatusOr<Program>& program,
                             int* programs, int* errors) {
  if (program.ok()) {
    // What was accepted is as good as any other program.
    const auto again = ParseProgramText(FormatProgramText(*program), "again");
    ASSERT_TRUE(again.ok()) << again.status();
    ASSERT_TRUE(*again == *program);
    ++*programs;
    return;
  }
  const absl::string_view error = program.status().message();
  ASSERT_EQ(program.status().code(), absl::StatusCode::kInvalidArgument);
  ASSERT_EQ(std::count(error.begin(), error.end(), '\n'), 0) << error;
  ASSERT_THAT(std::string(error), StartsWith("damaged:"));
  ++*errors;
}

TEST(DamageTest, DamagedTextIsAProgramOrAnError) {
  Damage damage(1);
  int programs = 0;
  int errors = 0;
  for (int i = 0; i < 20000; ++i) {
    const std::string text = damage.Apply(std::string(kRichProgram));
    ASSERT_NO_FATAL_FAILURE(ExpectOneLineOrAProgram(
        ParseProgramText(text, "damaged"), &programs, &errors))
        << text;
  }
  EXPECT_GT(programs, 100);
  EXPECT_GT(errors, 100);
}

TEST(DamageTest, DamagedBytesAreAProgramOrAnError) {
  const std::string good =
      FormatProgramBinary(*ParseProgramText(kRichProgram, "rich"));
  Damage damage(2);
  int programs = 0;
  int errors = 0;
  for (int i = 0; i < 40000; ++i) {
    const std::string bytes = damage.Apply(good);
    if (bytes.empty()) continue;
    const auto program = ParseProgramBinary(bytes, "damaged");
    ASSERT_NO_FATAL_FAILURE(
        ExpectOneLineOrAProgram(program, &programs, &errors))
        << testing::PrintToString(bytes);
    if (!program.ok()) {
      // The check before parsing misses nothing that protobuf refuses.
      ASSERT_NE(program.status().message(),
                "damaged: not a program: malformed");
    }
  }
  EXPECT_GT(programs, 100);
  EXPECT_GT(errors, 100);
}

}  // namespace
}  // namespace lockstep
