// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/initramfs.h"

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace lockstep {
namespace {

constexpr absl::string_view kTrailer = "TRAILER!!!";

// Header with name, and contents, each begin at a multiple of 4 bytes.
void Pad(std::string* archive) { archive->resize((archive->size() + 3) & ~3); }

}  // namespace

void InitramfsWriter::AddHeader(absl::string_view path, uint32_t mode,
                                uint32_t links, uint32_t bytes, uint32_t major,
                                uint32_t minor) {
  // c_magic, ino, mode, uid, gid, nlink, mtime, filesize, maj, min, rmaj,
  // rmin, namesize with its NUL, chksum (0 in this format).
  absl::StrAppendFormat(&archive_,
                        "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x"
                        "%08x%08x",
                        inode_, mode, 0, 0, links, 0, bytes, 0, 0, major, minor,
                        path.size() + 1, 0);
  archive_.append(path.data(), path.size());
  archive_.push_back('\0');
  Pad(&archive_);
}

void InitramfsWriter::AddDirectory(absl::string_view path) {
  ++inode_;
  AddHeader(path, S_IFDIR | 0755, 2, 0, 0, 0);
}

void InitramfsWriter::AddFile(absl::string_view path, uint32_t permissions,
                              absl::string_view contents) {
  ++inode_;
  AddHeader(path, S_IFREG | permissions, 1,
            static_cast<uint32_t>(contents.size()), 0, 0);
  archive_.append(contents.data(), contents.size());
  Pad(&archive_);
}

void InitramfsWriter::AddCharacterDevice(absl::string_view path,
                                         uint32_t permissions, uint32_t major,
                                         uint32_t minor) {
  ++inode_;
  AddHeader(path, S_IFCHR | permissions, 1, 0, major, minor);
}

std::string InitramfsWriter::Finish() {
  inode_ = 0;
  AddHeader(kTrailer, 0, 1, 0, 0, 0);
  std::string archive;
  std::swap(archive, archive_);
  return archive;
}

std::string GuestInitramfs(absl::string_view executor) {
  InitramfsWriter writer;
  for (absl::string_view directory : {"dev", "proc", "sys", "cgroup", "tmp"}) {
    writer.AddDirectory(directory);
  }
  // The kernel opens it before there is a devtmpfs.
  writer.AddCharacterDevice("dev/console", 0600, 5, 1);
  writer.AddFile("init", 0755, executor);
  return writer.Finish();
}

}  // namespace lockstep
