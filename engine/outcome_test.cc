// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/outcome.h"

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <set>
#include <string>

#include "gtest/gtest.h"

namespace lockstep {
namespace {

TEST(OutcomeTest, KindsHaveNames) {
  EXPECT_EQ(OutcomeName(Outcome::Ok()), "OK");
  EXPECT_EQ(OutcomeName(Outcome::Ok(12)), "OK");
  EXPECT_EQ(OutcomeName(Outcome::Errno(ENOMEM)), "ENOMEM");
  EXPECT_EQ(OutcomeName(Outcome::Errno(EAGAIN)), "EAGAIN");
  EXPECT_EQ(OutcomeName(Outcome::Signal(SIGSEGV)), "SIGSEGV");
  EXPECT_EQ(OutcomeName(Outcome::Signal(SIGBUS)), "SIGBUS");
  EXPECT_EQ(OutcomeName(Outcome::Skipped()), "SKIPPED");
  EXPECT_EQ(OutcomeName(Outcome::Unsupported()), "UNSUPPORTED");
}

// Every errno that the manual pages of the calls of program.proto list.
TEST(OutcomeTest, EveryDocumentedErrnoIsFoundByItsName) {
  for (const int error :
       {EACCES, EAGAIN,    EBADF,   EBUSY,      EEXIST,   EFAULT, EFBIG,
        EIDRM,  EINTR,     EINVAL,  EIO,        EISDIR,   EMFILE, ENFILE,
        ENODEV, ENOENT,    ENOMEM,  ENOSPC,     ENOSYS,   EPERM,  EROFS,
        ESRCH,  EOVERFLOW, ETXTBSY, EOPNOTSUPP, EHWPOISON}) {
    const Outcome outcome = Outcome::Errno(error);
    EXPECT_EQ(OutcomeFromName(OutcomeName(outcome)), outcome) << error;
  }
}

TEST(OutcomeTest, NamedNumbersHaveOneNameEach) {
  std::set<absl::string_view> names;
  int named = 0;
  for (int number = 1; number < 200; ++number) {
    for (const Outcome& outcome :
         {Outcome::Errno(number), Outcome::Signal(number)}) {
      const absl::string_view name = OutcomeName(outcome);
      const auto found = OutcomeFromName(name);
      if (!found) continue;
      EXPECT_EQ(*found, outcome) << name;
      EXPECT_TRUE(names.insert(name).second) << name;
      ++named;
    }
  }
  EXPECT_GT(named, 40);
}

TEST(OutcomeTest, UnknownNamesAreNothing) {
  for (const char* name : {"", "ok", "ENOPE", "ERRNO", "SIGNAL", "EINVAL "}) {
    EXPECT_FALSE(OutcomeFromName(name).has_value()) << name;
  }
}

TEST(OutcomeTest, DebugStringShowsTheValueWhereItSaysSomething) {
  EXPECT_EQ(DebugString(Outcome::Ok()), "OK");
  EXPECT_EQ(DebugString(Outcome::Ok(3)), "OK 3");
  EXPECT_EQ(DebugString(Outcome::Ok(0x200000003000)), "0x200000003000");
  EXPECT_EQ(DebugString(Outcome::Ok(-4096)), "0xfffffffffffff000");
  EXPECT_EQ(DebugString(Outcome::Errno(EPERM)), "EPERM");
  EXPECT_EQ(DebugString(Outcome::Errno(4000)), "ERRNO 4000");
  EXPECT_EQ(DebugString(Outcome::Signal(60)), "SIGNAL 60");
}

}  // namespace
}  // namespace lockstep
