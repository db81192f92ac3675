// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/outcome.h"

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace lockstep {
namespace {

struct NamedNumber {
  int number;
  absl::string_view name;
};

// What the manual pages of the calls list, and what a real kernel under memory
// pressure, a seccomp filter or a security module may add.
constexpr NamedNumber kErrnos[] = {
    {EPERM, "EPERM"},
    {ENOENT, "ENOENT"},
    {ESRCH, "ESRCH"},
    {EINTR, "EINTR"},
    {EIO, "EIO"},
    {ENXIO, "ENXIO"},
    {E2BIG, "E2BIG"},
    {EBADF, "EBADF"},
    {ECHILD, "ECHILD"},
    {EAGAIN, "EAGAIN"},
    {ENOMEM, "ENOMEM"},
    {EACCES, "EACCES"},
    {EFAULT, "EFAULT"},
    {EBUSY, "EBUSY"},
    {EEXIST, "EEXIST"},
    {ENODEV, "ENODEV"},
    {ENOTDIR, "ENOTDIR"},
    {EISDIR, "EISDIR"},
    {EINVAL, "EINVAL"},
    {ENFILE, "ENFILE"},
    {EMFILE, "EMFILE"},
    {ENOTTY, "ENOTTY"},
    {ETXTBSY, "ETXTBSY"},
    {EFBIG, "EFBIG"},
    {ENOSPC, "ENOSPC"},
    {ESPIPE, "ESPIPE"},
    {EROFS, "EROFS"},
    {ERANGE, "ERANGE"},
    {EDEADLK, "EDEADLK"},
    {ENAMETOOLONG, "ENAMETOOLONG"},
    {ENOSYS, "ENOSYS"},
    {ELOOP, "ELOOP"},
    {EIDRM, "EIDRM"},
    {EOVERFLOW, "EOVERFLOW"},
    {EUSERS, "EUSERS"},
    {EOPNOTSUPP, "EOPNOTSUPP"},
    {ETIMEDOUT, "ETIMEDOUT"},
    {EDQUOT, "EDQUOT"},
    {ECANCELED, "ECANCELED"},
    {EHWPOISON, "EHWPOISON"},
};

constexpr NamedNumber kSignals[] = {
    {SIGILL, "SIGILL"},   {SIGABRT, "SIGABRT"}, {SIGBUS, "SIGBUS"},
    {SIGKILL, "SIGKILL"}, {SIGSEGV, "SIGSEGV"}, {SIGSYS, "SIGSYS"},
    {SIGTERM, "SIGTERM"}, {SIGALRM, "SIGALRM"}, {SIGXCPU, "SIGXCPU"},
};

// The name of the number; `otherwise` if it has none here.
template <size_t n>
absl::string_view NameOf(const NamedNumber (&table)[n], int64_t number,
                         absl::string_view otherwise) {
  for (const NamedNumber& row : table) {
    if (row.number == number) return row.name;
  }
  return otherwise;
}

template <size_t n>
std::optional<int> NumberOf(const NamedNumber (&table)[n],
                            absl::string_view name) {
  for (const NamedNumber& row : table) {
    if (row.name == name) return row.number;
  }
  return std::nullopt;
}

// Names of numbers outside the tables. OutcomeFromName does not know them: a
// program cannot ask for "some errno".
constexpr absl::string_view kSomeErrno = "ERRNO";
constexpr absl::string_view kSomeSignal = "SIGNAL";

// Values from here on are addresses, what mmap, mremap, brk and shmat return.
constexpr int64_t kFirstAddress = 0x10000;

}  // namespace

absl::string_view OutcomeName(const Outcome& outcome) {
  switch (outcome.kind) {
    case Outcome::Kind::kValue:
      return "OK";
    case Outcome::Kind::kErrno:
      return NameOf(kErrnos, outcome.value, kSomeErrno);
    case Outcome::Kind::kSignal:
      return NameOf(kSignals, outcome.value, kSomeSignal);
    case Outcome::Kind::kSkipped:
      return "SKIPPED";
    case Outcome::Kind::kUnsupported:
      break;
  }
  return "UNSUPPORTED";
}

std::string DebugString(const Outcome& outcome) {
  const absl::string_view name = OutcomeName(outcome);
  if (name == kSomeErrno || name == kSomeSignal) {
    return absl::StrCat(name, " ", outcome.value);
  }
  if (!outcome.ok() || outcome.value == 0) return std::string(name);
  if (outcome.value < 0 || outcome.value >= kFirstAddress) {
    return absl::StrFormat("%#x", static_cast<uint64_t>(outcome.value));
  }
  return absl::StrCat(name, " ", outcome.value);
}

std::optional<Outcome> OutcomeFromName(absl::string_view name) {
  if (name == "OK") return Outcome::Ok();
  if (name == "SKIPPED") return Outcome::Skipped();
  if (name == "UNSUPPORTED") return Outcome::Unsupported();
  if (std::optional<int> error = NumberOf(kErrnos, name)) {
    return Outcome::Errno(*error);
  }
  if (std::optional<int> signal = NumberOf(kSignals, name)) {
    return Outcome::Signal(*signal);
  }
  return std::nullopt;
}

}  // namespace lockstep
