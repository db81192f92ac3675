// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/linux/kernel_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace lockstep {
namespace {

// Offsets of the boot protocol's header.
constexpr size_t kBootFlag = 0x1fe;       // 0xaa55
constexpr size_t kHeaderMagic = 0x202;    // "HdrS"
constexpr size_t kKernelVersion = 0x20e;  // 16 bits: offset of it - 0x200
constexpr size_t kLoadflags = 0x211;      // bit 0: LOADED_HIGH, a bzImage
constexpr size_t kHeaderEnd = 0x214;
// kernel_version is at most 16 bits and a line behind it.
constexpr size_t kReadBytes = 0x200 + 0x10000 + 256;

bool IsVersion(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '.');
  if (parts.size() != 2) return false;
  for (absl::string_view part : parts) {
    if (part.empty()) return false;
    for (char c : part) {
      if (!absl::ascii_isdigit(c)) return false;
    }
  }
  return true;
}

const char* NonEmptyVariable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : nullptr;
}

absl::StatusOr<std::string> ReadBeginning(const std::string& path) {
  // O_NONBLOCK: a name of a FIFO must not hang us.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return absl::ErrnoToStatus(errno, path);
  struct stat status;
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(fd);
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": not a regular file; expected a bzImage"));
  }
  std::string bytes(kReadBytes, '\0');
  size_t size = 0;
  while (size < bytes.size()) {
    const ssize_t got =
        pread(fd, bytes.data() + size, bytes.size() - size, size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int error = errno;
      close(fd);
      return absl::ErrnoToStatus(error, path);
    }
    if (got == 0) break;
    size += got;
  }
  close(fd);
  bytes.resize(size);
  return bytes;
}

}  // namespace

absl::StatusOr<std::string> CacheDirectory() {
  if (const char* cache = NonEmptyVariable("LOCKSTEP_CACHE")) return cache;
  if (const char* xdg = NonEmptyVariable("XDG_CACHE_HOME")) {
    return absl::StrCat(xdg, "/lockstep");
  }
  if (const char* home = NonEmptyVariable("HOME")) {
    return absl::StrCat(home, "/.cache/lockstep");
  }
  return absl::NotFoundError(
      "no cache directory: none of LOCKSTEP_CACHE, XDG_CACHE_HOME and HOME is "
      "set");
}

absl::StatusOr<std::string> ReleaseOfBzImage(absl::string_view bytes,
                                             absl::string_view path) {
  const auto byte = [bytes](size_t at) {
    return static_cast<uint8_t>(bytes[at]);
  };
  if (bytes.size() < kHeaderEnd || byte(kBootFlag) != 0x55 ||
      byte(kBootFlag + 1) != 0xaa ||
      bytes.substr(kHeaderMagic, 4) != absl::string_view("HdrS") ||
      (byte(kLoadflags) & 1) == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": not a bzImage: no x86 boot header (\"HdrS\" at byte 0x202)"));
  }
  const size_t at =
      0x200 + (byte(kKernelVersion) | byte(kKernelVersion + 1) << 8);
  // "6.1.0-56-cloud-amd64 (builder) #1 SMP ...": the release ends at the space.
  const size_t end = at > 0x200 && at < bytes.size()
                         ? bytes.find_first_of(" \0", at, 2)
                         : absl::string_view::npos;
  if (end == absl::string_view::npos || end == at) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": a bzImage without a kernel version"));
  }
  return std::string(bytes.substr(at, end - at));
}

absl::StatusOr<KernelImage> FindKernelImage(absl::string_view which) {
  KernelImage image;
  const bool cached = IsVersion(which);
  if (cached) {
    absl::StatusOr<std::string> cache = CacheDirectory();
    if (!cache.ok()) return cache.status();
    image.path = absl::StrCat(*cache, "/kernels/", which, "/vmlinuz");
  } else {
    image.path = std::string(which);
  }
  absl::StatusOr<std::string> bytes = ReadBeginning(image.path);
  if (!bytes.ok()) {
    if (cached && absl::IsNotFound(bytes.status())) {
      return absl::UnavailableError(
          absl::StrCat("no kernel ", which, " at ", image.path,
                       "; ci/fetch-kernels.sh ", which, " fetches it"));
    }
    return bytes.status();
  }
  absl::StatusOr<std::string> release = ReleaseOfBzImage(*bytes, image.path);
  if (!release.ok()) return release.status();
  image.release = *std::move(release);
  return image;
}

}  // namespace lockstep
