// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The initramfs of a guest: a cpio archive in the "newc" format that the
// kernel unpacks into its root file system before it runs /init
// (Documentation/driver-api/early-userspace/buffer-format.rst).

#ifndef LOCKSTEP_ENGINE_LINUX_INITRAMFS_H_
#define LOCKSTEP_ENGINE_LINUX_INITRAMFS_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace lockstep {

// Writes a newc archive. Equal calls give equal bytes: inode numbers count up
// from 1, owners are root, times are 0.
class InitramfsWriter {
 public:
  // Paths are relative to the root and have no leading slash; a directory comes
  // before what is in it.
  // REQUIRES: contents.size() < 2^32, all that a newc header can say.
  void AddDirectory(absl::string_view path);
  void AddFile(absl::string_view path, uint32_t permissions,
               absl::string_view contents);
  void AddCharacterDevice(absl::string_view path, uint32_t permissions,
                          uint32_t major, uint32_t minor);
  // The archive with its trailer. The writer is empty then.
  std::string Finish();

 private:
  void AddHeader(absl::string_view path, uint32_t mode, uint32_t links,
                 uint32_t bytes, uint32_t major, uint32_t minor);

  std::string archive_;
  uint32_t inode_ = 0;
};

// What a guest needs: /init, which is the executor, the console that the kernel
// opens for it, and the directories that it mounts on.
std::string GuestInitramfs(absl::string_view executor);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_LINUX_INITRAMFS_H_
