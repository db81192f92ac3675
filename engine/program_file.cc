// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Programs in files.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/program.h"
#include "engine/program_proto.h"

namespace lockstep {
namespace {

constexpr absl::string_view kBinarySuffix = ".binpb";
constexpr absl::string_view kTextSuffix = ".txtpb";

absl::Status FileError(const std::string& path, absl::string_view doing) {
  return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot ", doing));
}

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() { Close(); }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;

  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }
  // False with errno if the file did not take all that was written.
  bool Close() {
    const int fd = fd_;
    fd_ = -1;
    return fd < 0 || close(fd) == 0;
  }

 private:
  int fd_;
};

// At most one byte more than a program may have: enough to see that it is too
// large, whatever the file is.
absl::StatusOr<std::string> ReadFile(const std::string& path) {
  FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return FileError(path, "open");
  struct stat info;
  if (fstat(file.get(), &info) == 0 && S_ISDIR(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": is a directory, expected a program"));
  }
  std::string contents;
  char buffer[1 << 16];
  while (contents.size() <= kMaxProgramBytes) {
    const ssize_t n = read(file.get(), buffer, sizeof(buffer));
    if (n == 0) break;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FileError(path, "read");
    contents.append(buffer, static_cast<size_t>(n));
  }
  return contents;
}

// UTF-8 without control characters other than white space. A saved binary
// program has some: the sizes of its configuration and of the kernel's name.
bool LooksLikeText(absl::string_view contents) {
  for (const char c : contents) {
    const unsigned char byte = static_cast<unsigned char>(c);
    if (byte < 0x20 && !absl::StrContains("\t\n\v\f\r", c)) return false;
  }
  return FindNonUtf8(contents) == absl::string_view::npos;
}

bool WriteAll(int fd, absl::string_view contents) {
  while (!contents.empty()) {
    const ssize_t n = write(fd, contents.data(), contents.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    contents.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

// A name beside `path` that no other thread or process has.
std::string NameBeside(const std::string& path) {
  static std::atomic<unsigned> count{0};
  return absl::StrCat(path, ".tmp-", getpid(), "-", count++);
}

}  // namespace

absl::StatusOr<Program> LoadProgram(const std::string& path) {
  absl::StatusOr<std::string> contents = ReadFile(path);
  if (!contents.ok()) return contents.status();
  if (contents->empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": is empty, expected a program"));
  }
  const bool text =
      absl::EndsWith(path, kTextSuffix) ||
      (!absl::EndsWith(path, kBinarySuffix) && LooksLikeText(*contents));
  return text ? ParseProgramText(*contents, path)
              : ParseProgramBinary(*contents, path);
}

absl::StatusOr<Program> ParseProgram(absl::string_view contents,
                                     absl::string_view name) {
  return absl::StartsWith(contents, "#") ? ParseProgramText(contents, name)
                                         : ParseProgramBinary(contents, name);
}

absl::Status SaveProgram(const Program& program, const std::string& path) {
  return WriteFileAtomically(path, absl::EndsWith(path, kBinarySuffix)
                                       ? FormatProgramBinary(program)
                                       : FormatProgramText(program));
}

absl::Status WriteFileAtomically(const std::string& path,
                                 absl::string_view contents) {
  const std::string beside = NameBeside(path);
  FileDescriptor file(
      open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!file.ok()) return FileError(path, "create");
  const auto fail = [&beside, &path](absl::string_view doing) {
    const absl::Status status = FileError(path, doing);
    unlink(beside.c_str());
    return status;
  };
  if (!WriteAll(file.get(), contents)) return fail("write");
  if (fsync(file.get()) != 0 || !file.Close()) return fail("write");
  if (rename(beside.c_str(), path.c_str()) != 0) return fail("replace");
  return absl::OkStatus();
}

}  // namespace lockstep
