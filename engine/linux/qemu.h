// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Qemu: a process of qemu-system-x86_64 that runs one guest. Everything between
// it and us goes through descriptors that it inherits, so there are no files to
// leave behind, and it dies with the thread that started it.

#ifndef LOCKSTEP_ENGINE_LINUX_QEMU_H_
#define LOCKSTEP_ENGINE_LINUX_QEMU_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace lockstep {

// The path of qemu-system-x86_64: $LOCKSTEP_QEMU, else from PATH. Unavailable,
// with what to install, if there is none.
absl::StatusOr<std::string> FindQemu();

struct QemuOptions {
  std::string program;        // FindQemu()
  std::string accelerator;    // "tcg", "kvm"
  std::string kernel;         // path of a bzImage
  std::string command_line;   // of the kernel
  uint64_t memory_mib = 512;  // of the guest, which has one CPU
  int initrd = -1;            // descriptor of a file
  // Descriptors of files that are the guest's NVMe drives; their sizes are
  // multiples of 512 bytes. The serial number of the i-th is drive_serial and
  // i: the order of /dev/nvme0n1, /dev/nvme1n1, ... is the guest's own affair.
  std::vector<int> drives;
  std::string drive_serial;
};

class Qemu {
 public:
  // Starts the process and does not wait for the guest. The descriptors may be
  // closed afterwards. Internal or ResourceExhausted if there can be no
  // process. The guest ends when the calling thread does (PR_SET_PDEATHSIG).
  static absl::StatusOr<std::unique_ptr<Qemu>> Start(
      const QemuOptions& options);
  ~Qemu();  // kills the guest and waits for its end
  Qemu(const Qemu&) = delete;
  Qemu& operator=(const Qemu&) = delete;

  // The next line, without its end, that the guest writes to its second serial
  // port (ttyS1).
  //   DeadlineExceeded: none until then.
  //   Unavailable: the guest is gone, and so is whatever it had not ended.
  absl::StatusOr<std::string> ReadLine(absl::Time deadline);
  // Sends a line to ttyS1. Unavailable: the guest is gone.
  absl::Status WriteLine(absl::string_view line);

  // False once the process has ended.
  bool IsRunning() const;

  // The last of what the guest's kernel wrote to its console (ttyS0), at most
  // 64 KiB, and what QEMU itself had to say.
  std::string Console() const;
  pid_t pid() const { return pid_; }

 private:
  Qemu(pid_t pid, int control, int console, int messages)
      : pid_(pid), control_(control), console_(console), messages_(messages) {}

  pid_t pid_;
  int control_;   // socket, the other end is ttyS1
  int console_;   // memory file that QEMU writes ttyS0 to
  int messages_;  // memory file that is QEMU's stderr
  std::string received_;
};

// A file in memory, without a name, of `size` bytes. -1 and errno on failure.
int MakeMemoryFile(const char* name, uint64_t size);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_LINUX_QEMU_H_
