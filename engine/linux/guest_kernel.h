// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// What of a guest its tests turn that users do not, and programs that run in a
// guest by themselves.

#ifndef LOCKSTEP_ENGINE_LINUX_GUEST_KERNEL_H_
#define LOCKSTEP_ENGINE_LINUX_GUEST_KERNEL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/linux/kernel.h"

namespace lockstep {

struct GuestOptions {
  // Transparent huge pages are off in a machine of less than 512 MiB
  // (hugepage_init()).
  uint64_t memory_mib = 640;
  std::string more_command_line;  // for the kernel, behind our own
  // From the start of QEMU until init is ready: seconds without KVM, more on a
  // loaded machine.
  absl::Duration boot_limit = absl::Minutes(3);
  // How long a guest may say nothing at all, and how much longer than the step
  // limit it may begin no further step, before it counts as hung.
  absl::Duration patience = absl::Seconds(30);
};

absl::StatusOr<std::unique_ptr<Kernel>> MakeGuestKernelWith(
    absl::string_view which, const KernelOptions& options,
    const GuestOptions& guest_options);

// How a program that ran by itself ended.
struct GuestRun {
  // As of wait(2). None: it has not ended within its limit, or the guest has
  // gone down.
  std::optional<int> wait_status;
  std::string output;  // the beginning of what it wrote
  // Not empty: the guest has gone down or hangs; why, and what its console
  // said.
  std::string console;
};

// Boots a guest for this program alone, a static executable, and runs it there
// as root with /proc, /sys, /dev, a /tmp, swap, and the limits of init.
// InvalidArgument for one that is too large; otherwise as MakeGuestKernel.
absl::StatusOr<GuestRun> RunInGuest(absl::string_view which,
                                    absl::string_view executable,
                                    absl::Duration limit,
                                    const GuestOptions& guest_options = {});

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_LINUX_GUEST_KERNEL_H_
