// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// What of a guest its tests turn that users do not.

#ifndef LOCKSTEP_ENGINE_LINUX_GUEST_KERNEL_H_
#define LOCKSTEP_ENGINE_LINUX_GUEST_KERNEL_H_

#include <cstdint>
#include <memory>
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

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_LINUX_GUEST_KERNEL_H_
