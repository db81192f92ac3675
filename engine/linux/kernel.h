// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Kernel: a real kernel that runs batches of programs, the one underneath or
// that of a guest.

#ifndef LOCKSTEP_ENGINE_LINUX_KERNEL_H_
#define LOCKSTEP_ENGINE_LINUX_KERNEL_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "engine/linux/trace.h"
#include "engine/linux/wire.h"
#include "engine/profile.h"
#include "engine/program.h"

namespace lockstep {

struct KernelOptions {
  wire::Look look = wire::Look::kPages;
  wire::Mode mode = wire::Mode::kChildPerBatch;
  absl::Duration step_limit = absl::Seconds(2);
};

class Kernel {
 public:
  Kernel() = default;
  virtual ~Kernel() = default;
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;

  virtual absl::string_view name() const = 0;     // "host", "guest:6.1"
  virtual absl::string_view release() const = 0;  // uname -r
  // What this one cannot do here, a line each: "no CAP_SYS_ADMIN: PG_mlocked
  // is not seen". Empty if everything can be done.
  virtual absl::Span<const std::string> limitations() const = 0;
  // A trace for every program, in order. A program that hangs, crashes or is
  // killed has a trace that says so and costs the others nothing.
  // Unavailable if the executor cannot be brought to run programs at all.
  virtual absl::StatusOr<std::vector<Trace>> Run(
      absl::Span<const Program> programs) = 0;
  // Times of the executor's processes in all batches so far.
  struct Times {
    absl::Duration user, system;
  };
  virtual Times times() const = 0;
};

// The kernel underneath (host_kernel.cc). Unavailable, with what is missing.
absl::StatusOr<std::unique_ptr<Kernel>> MakeHostKernel(
    const KernelOptions& options);

// A QEMU guest (guest_kernel.cc). `which` is what stands after "guest:": a
// version that the cache directory has ("6.1", "6.12") or the path of a
// bzImage. Unavailable: no QEMU, or no such kernel, and the command that
// fetches it.
absl::StatusOr<std::unique_ptr<Kernel>> MakeGuestKernel(
    absl::string_view which, const KernelOptions& options);

// "host" or "guest:...". InvalidArgument for other names.
absl::StatusOr<std::unique_ptr<Kernel>> MakeKernel(
    absl::string_view name, const KernelOptions& options);

// The profile that fits a release such as "6.18.44-fc" best: the newest that is
// not newer than it, else the oldest. `remark` is empty if the versions are
// the same, otherwise it says how they differ, for a person.
struct ProfileChoice {
  const Profile* profile;
  std::string remark;
};
ProfileChoice ProfileFor(absl::string_view release);

// The path of the executor program: beside this program, or, in the build
// tree, where it was built; LOCKSTEP_EXECUTOR in the environment goes first.
// NotFound names the places.
absl::StatusOr<std::string> FindExecutor();

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_LINUX_KERNEL_H_
