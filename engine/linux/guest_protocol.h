// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// What guest_kernel.cc and the guest's init agree on besides wire.h.

#ifndef LOCKSTEP_ENGINE_LINUX_GUEST_PROTOCOL_H_
#define LOCKSTEP_ENGINE_LINUX_GUEST_PROTOCOL_H_

#include <cstdint>

namespace lockstep {

// The drives, in the order in which QEMU gets them; the serial number of the
// i-th is kGuestDriveSerial followed by the digit i.
enum class GuestDrive : int { kBatch, kResult, kSwap };
inline constexpr int kGuestDrives = 3;
inline constexpr char kGuestDriveSerial[] = "lockstep";

// Their sizes in bytes. A batch or a result that is larger does not fit and is
// sent in parts.
inline constexpr uint64_t kGuestBatchBytes = 2 << 20;
inline constexpr uint64_t kGuestResultBytes = 16 << 20;
inline constexpr uint64_t kGuestSwapBytes = 256 << 20;

// The most that is kept of what a program says that runs by itself.
inline constexpr uint64_t kGuestOutputBytes = 64 << 10;

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_LINUX_GUEST_PROTOCOL_H_
