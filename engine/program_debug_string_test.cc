// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include <string>

#include "engine/program.h"
#include "engine/step.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

// The one step of a program in text.
std::string Line(const std::string& step) {
  const auto program = ParseProgramText("steps { " + step + " }", "test.txtpb");
  return program.ok() ? DebugString(program->steps.at(0))
                      : program.status().ToString();
}

TEST(DebugStringTest, CallsReadLikeCalls) {
  EXPECT_EQ(Line("mlock { addr { page: 3 } length: 8192 }"),
            "task 0: mlock(arena 3, 8192)");
  EXPECT_EQ(Line("task: 2 munlockall {}"), "task 2: munlockall()");
  EXPECT_EQ(Line("mlockall { flags: [CURRENT, FUTURE] }"),
            "task 0: mlockall(CURRENT|FUTURE)");
  EXPECT_EQ(Line("mlockall {}"), "task 0: mlockall(0)");
  EXPECT_EQ(Line("madvise { addr { heap_page: 1 } length: 1 advice: FREE }"),
            "task 0: madvise(heap 1, 1, FREE)");
  EXPECT_EQ(Line("madvise { addr { heap_page: 1 } length: 1 advice: 77 }"),
            "task 0: madvise(heap 1, 1, 77)");
  EXPECT_EQ(Line("setcap { ipc_lock: true }"), "task 0: setcap(ipc_lock)");
  EXPECT_EQ(Line("fork { child: 1 }"), "task 0: fork(child 1)");
  EXPECT_EQ(Line(""), "task 0: none()");
}

TEST(DebugStringTest, MmapShowsFlagsByNameAndTheRestAsNumbers) {
  EXPECT_EQ(Line("mmap { addr { page: 1 } length: 4096 prot: [READ, WRITE] "
                 "flags: [PRIVATE, ANONYMOUS, 2048] }"),
            "task 0: mmap(arena 1, 4096, READ|WRITE, PRIVATE|ANONYMOUS|0x800)");
  EXPECT_EQ(Line("mmap { length: 4096 prot: READ flags: SHARED fd: 2 "
                 "source: DEVICE_PFNMAP offset_pages: 5 }"),
            "task 0: mmap(arena 0, 4096, READ, SHARED, source DEVICE_PFNMAP, "
            "fd 2, offset_pages 5)");
}

TEST(DebugStringTest, AddressesShowTheirBase) {
  EXPECT_EQ(Line("shmdt { addr { page: 2 offset: 16 } }"),
            "task 0: shmdt(arena 2+0x10)");
  EXPECT_EQ(Line("shmdt { addr { offset: 18446744073709551615 } }"),
            "task 0: shmdt(arena 0-0x1)");
  EXPECT_EQ(Line("shmdt { addr { raw: 0xffff800000000000 } }"),
            "task 0: shmdt(0xffff800000000000)");
}

TEST(DebugStringTest, ReclaimOfEverythingHasNoPage) {
  EXPECT_EQ(Line("reclaim {}"), "task 0: reclaim()");
  EXPECT_EQ(Line("reclaim { page {} }"), "task 0: reclaim(arena 0)");
}

TEST(DebugStringTest, InterleavingsFollowTheCall) {
  EXPECT_EQ(Line("munlock { length: 4096 } during { point: "
                 "\"munlock_pagevec:isolated\" nth: 2 task: 1 isolate { page { "
                 "page: 3 } } } during { point: \"mlock:marked\" drain {} }"),
            "task 0: munlock(arena 0, 4096), task 1: isolate(arena 3) at "
            "munlock_pagevec:isolated after 2, task 0: drain() at "
            "mlock:marked");
}

}  // namespace
}  // namespace lockstep
