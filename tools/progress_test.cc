// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/progress.h"

#include <cstdlib>

#include "gtest/gtest.h"

namespace lockstep {
namespace {

HuntProgress At(double seconds) {
  HuntProgress progress;
  progress.seconds = seconds;
  progress.programs = 1'250'000;
  progress.steps = 20'000'000;
  progress.findings = 1;
  return progress;
}

// What a reporter writes for updates at these seconds, and a line said.
std::string Written(bool terminal, std::initializer_list<double> seconds) {
  char* text = nullptr;
  size_t size = 0;
  std::FILE* out = open_memstream(&text, &size);
  ProgressReporter reporter(out, terminal, "v4.9");
  for (double second : seconds) reporter.Update(At(second));
  reporter.Say("found");
  reporter.Finish();
  std::fclose(out);
  std::string result(text, size);
  std::free(text);
  return result;
}

TEST(Progress, RewritesOneLineOnATerminal) {
  EXPECT_EQ(
      Written(true, {10}),
      "\r\x1b[Kv4.9: 10 s, 1.2M programs, 20.0M steps, 2.0M steps/s, 1 finding"
      "\r\x1b[Kfound\n\r\x1b[K");
}

TEST(Progress, WritesALineEveryTenSecondsElsewhere) {
  EXPECT_EQ(Written(false, {1, 5, 10, 11, 19, 20}),
            "v4.9: 10 s, 1.2M programs, 20.0M steps, 2.0M steps/s, 1 finding\n"
            "v4.9: 20 s, 1.2M programs, 20.0M steps, 1.0M steps/s, 1 finding\n"
            "found\n");
}

}  // namespace
}  // namespace lockstep
