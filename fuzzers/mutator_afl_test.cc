// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// lockstep_afl_mutator.so as afl-fuzz uses it: loaded, its functions looked up
// by name. The test has no code of ours: the schema registers once in a
// process.

#include <dlfcn.h>

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/testing.h"

namespace lockstep {
namespace {

using ::testing::UnorderedElementsAre;

constexpr size_t kMaxFile = 1 << 20;  // AFL++'s own limit

// The library, loaded for as long as the process lives.
void* Library() {
  static void* const library =
      dlopen(LOCKSTEP_AFL_MUTATOR, RTLD_NOW | RTLD_LOCAL);
  EXPECT_NE(library, nullptr) << dlerror();
  return library;
}

template <typename Function>
Function* Find(const char* name) {
  void* const function = dlsym(Library(), name);
  EXPECT_NE(function, nullptr) << name;
  return reinterpret_cast<Function*>(function);
}

// One mutator of the library.
class Mutator {
 public:
  explicit Mutator(unsigned int seed)
      : fuzz_(Find<size_t(void*, uint8_t*, size_t, uint8_t**, uint8_t*, size_t,
                          size_t)>("afl_custom_fuzz")),
        deinit_(Find<void(void*)>("afl_custom_deinit")),
        state_(Find<void*(void*, unsigned int)>("afl_custom_init")(nullptr,
                                                                   seed)) {}
  ~Mutator() { deinit_(state_); }
  Mutator(const Mutator&) = delete;
  Mutator& operator=(const Mutator&) = delete;

  // The mutated input; `other`, if given, is what it may be crossed with.
  std::string Fuzz(std::string input, size_t max_size = kMaxFile,
                   std::string other = "") {
    uint8_t* out = nullptr;
    const size_t size =
        fuzz_(state_, Bytes(input), input.size(), &out,
              other.empty() ? nullptr : Bytes(other), other.size(), max_size);
    return size == 0 ? "" : std::string(reinterpret_cast<char*>(out), size);
  }

 private:
  static uint8_t* Bytes(std::string& text) {
    return reinterpret_cast<uint8_t*>(text.data());
  }

  size_t (*const fuzz_)(void*, uint8_t*, size_t, uint8_t**, uint8_t*, size_t,
                        size_t);
  void (*const deinit_)(void*);
  void* const state_;
};

std::string Seed() {
  return ReadAll(
      absl::StrCat(LOCKSTEP_SOURCE_DIR, "/corpus/golden/mutated-v4.9.binpb"));
}

// Fails unless each that is not left out is a program: `lockstep run` reads it,
// whatever it finds.
void ExpectPrograms(const std::vector<std::string>& inputs) {
  const TemporaryDirectory directory;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].empty()) continue;
    directory.Write(absl::StrCat(i, ".binpb"), inputs[i]);
  }
  const ShellResult result = Shell(
      absl::StrCat(LOCKSTEP_BINARY, " run ", directory.path(), "/*.binpb"));
  EXPECT_LE(result.status, 1) << result.err;
}

// The input and what becomes of it, round by round.
std::vector<std::string> Rounds(unsigned int seed, std::string input,
                                size_t max_size = kMaxFile) {
  Mutator mutator(seed);
  std::vector<std::string> rounds;
  for (int i = 0; i < 200; ++i) {
    input = mutator.Fuzz(input, max_size);
    rounds.push_back(input);
  }
  return rounds;
}

TEST(AflMutatorTest, TheSameSeedGivesTheSameInputs) {
  EXPECT_EQ(Rounds(7, Seed()), Rounds(7, Seed()));
  EXPECT_NE(Rounds(7, Seed()), Rounds(8, Seed()));
}

TEST(AflMutatorTest, EveryRoundIsAnotherProgram) {
  const std::vector<std::string> rounds = Rounds(7, Seed());
  EXPECT_GT(std::set<std::string>(rounds.begin(), rounds.end()).size(), 150);
  ExpectPrograms(rounds);
}

TEST(AflMutatorTest, KeepsToTheSizeThatAflAllows) {
  for (const std::string& round : Rounds(7, Seed(), 0)) EXPECT_EQ(round, "");
  for (const size_t max_size : {8, 40, 200}) {
    const std::vector<std::string> rounds = Rounds(7, Seed(), max_size);
    for (const std::string& round : rounds) ASSERT_LE(round.size(), max_size);
    ExpectPrograms(rounds);
  }
}

TEST(AflMutatorTest, MakesProgramsOfNothingAndOfGarbage) {
  for (const std::string& input :
       {std::string(), std::string("\n"), std::string(300, '\xff'),
        std::string(17, '\0')}) {
    Mutator mutator(7);
    std::vector<std::string> programs;
    for (int i = 0; i < 50; ++i) programs.push_back(mutator.Fuzz(input));
    EXPECT_GT(std::set<std::string>(programs.begin(), programs.end()).size(),
              20);
    ExpectPrograms(programs);
  }
}

TEST(AflMutatorTest, CrossesWithTheOtherInput) {
  // steps { ftruncate { size: 0x12345678 } }, and that number alone.
  const std::string other = "\x12\x09\x92\x02\x06\x10\xf8\xac\xd1\x91\x01";
  const std::string number = "\xf8\xac\xd1\x91\x01";
  Mutator mutator(7);
  int crossed = 0;
  for (int i = 0; i < 200; ++i) {
    crossed += absl::StrContains(mutator.Fuzz(Seed(), kMaxFile, other), number);
  }
  EXPECT_GT(crossed, 10);
  EXPECT_LT(crossed, 100);
}

// Nothing of ours may stand in the way of a name in afl-fuzz, nor it in ours.
TEST(AflMutatorTest, ExportsWhatAflLooksUpAndNothingElse) {
  const ShellResult result = Shell(absl::StrCat(
      "nm --dynamic --defined-only --format=posix ", LOCKSTEP_AFL_MUTATOR));
  ASSERT_EQ(result.status, 0) << result.err;
  std::vector<std::string> names;
  for (absl::string_view line :
       absl::StrSplit(result.out, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> fields = absl::StrSplit(line, ' ');
    // Weak and unique: what C++ needs once in a process.
    if (fields[1] == "T" || fields[1] == "D" || fields[1] == "B" ||
        fields[1] == "R") {
      names.push_back(fields[0]);
    }
  }
  EXPECT_THAT(names, UnorderedElementsAre("afl_custom_init", "afl_custom_fuzz",
                                          "afl_custom_deinit"));
}

}  // namespace
}  // namespace lockstep
