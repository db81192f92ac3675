// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/initramfs.h"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

struct Entry {
  std::string path, contents;
  uint32_t inode, mode, links, major, minor;
};

// Reads an archive as the kernel does (init/initramfs.c): 13 fields of 8
// hexadecimal digits behind the magic number.
std::vector<Entry> Unpack(absl::string_view archive) {
  std::vector<Entry> entries;
  constexpr size_t kHeader = 110;
  size_t at = 0;
  while (at + kHeader <= archive.size()) {
    EXPECT_EQ(archive.substr(at, 6), "070701") << "at byte " << at;
    uint32_t fields[13];
    for (int i = 0; i < 13; ++i) {
      const std::string digits(archive.substr(at + 6 + i * 8, 8));
      fields[i] =
          static_cast<uint32_t>(std::strtoul(digits.c_str(), nullptr, 16));
    }
    const uint32_t bytes = fields[6], name_bytes = fields[11];
    Entry entry;
    // With its NUL in the archive.
    entry.path = std::string(archive.substr(at + kHeader, name_bytes - 1));
    EXPECT_EQ(archive[at + kHeader + name_bytes - 1], '\0');
    at = (at + kHeader + name_bytes + 3) & ~size_t{3};
    if (entry.path == "TRAILER!!!") {
      EXPECT_EQ(at, archive.size());
      return entries;
    }
    entry.contents = std::string(archive.substr(at, bytes));
    at = (at + bytes + 3) & ~size_t{3};
    entry.inode = fields[0];
    entry.mode = fields[1];
    entry.links = fields[4];
    entry.major = fields[9];
    entry.minor = fields[10];
    entries.push_back(entry);
  }
  ADD_FAILURE() << "no trailer";
  return entries;
}

TEST(InitramfsTest, WritesTheFormatToTheByte) {
  InitramfsWriter writer;
  writer.AddFile("a", 0644, "xyz");
  // Magic, then ino, mode, uid, gid, nlink, mtime, filesize, maj, min, rmaj,
  // rmin, namesize, chksum; "a\0" ends at byte 112, a multiple of 4 already.
  EXPECT_EQ(writer.Finish(), std::string("070701"
                                         "00000001"
                                         "000081a4"
                                         "00000000"
                                         "00000000"
                                         "00000001"
                                         "00000000"
                                         "00000003"
                                         "00000000"
                                         "00000000"
                                         "00000000"
                                         "00000000"
                                         "00000002"
                                         "00000000"
                                         "a\0"
                                         "xyz\0"
                                         "070701"
                                         "00000000"
                                         "00000000"
                                         "00000000"
                                         "00000000"
                                         "00000001"
                                         "00000000"
                                         "00000000"
                                         "00000000"
                                         "00000000"
                                         "00000000"
                                         "00000000"
                                         "0000000b"
                                         "00000000"
                                         "TRAILER!!!\0\0\0\0",
                                         110 + 2 + 4 + 110 + 14));
}

TEST(InitramfsTest, HoldsWhatAGuestNeeds) {
  const std::vector<Entry> entries =
      Unpack(GuestInitramfs("\x7f"
                            "ELF!"));
  ASSERT_THAT(entries, SizeIs(7));
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(entries[i].mode, 040755u) << entries[i].path;
    EXPECT_EQ(entries[i].inode, static_cast<uint32_t>(i + 1));
  }
  EXPECT_THAT((std::vector<std::string>{entries[0].path, entries[1].path,
                                        entries[2].path}),
              ElementsAre("dev", "proc", "sys"));
  EXPECT_EQ(entries[5].path, "dev/console");
  EXPECT_EQ(entries[5].mode, 020600u);
  EXPECT_EQ(entries[5].major, 5u);
  EXPECT_EQ(entries[5].minor, 1u);
  EXPECT_EQ(entries[6].path, "init");
  EXPECT_EQ(entries[6].mode, 0100755u);
  EXPECT_EQ(entries[6].contents,
            "\x7f"
            "ELF!");
}

TEST(InitramfsTest, PadsContentsOfAnyLength) {
  for (size_t bytes = 0; bytes < 9; ++bytes) {
    InitramfsWriter writer;
    writer.AddFile("f", 0755, std::string(bytes, 'x'));
    writer.AddDirectory("behind");
    const std::vector<Entry> entries = Unpack(writer.Finish());
    ASSERT_THAT(entries, SizeIs(2));
    EXPECT_THAT(entries[0].contents, SizeIs(bytes));
    EXPECT_EQ(entries[1].path, "behind");
  }
}

TEST(InitramfsTest, BeginsAnewAfterFinish) {
  InitramfsWriter writer;
  writer.AddDirectory("d");
  const std::string first = writer.Finish();
  EXPECT_THAT(Unpack(writer.Finish()), IsEmpty());
  writer.AddDirectory("d");
  EXPECT_EQ(writer.Finish(), first);
}

}  // namespace
}  // namespace lockstep
