// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The VMAs of this process as the kernel tells them: by the PROCMAP_QUERY ioctl
// (6.11), from /proc/self/maps before that, and from /proc/self/smaps, which
// alone knows every flag.

#ifndef LOCKSTEP_ENGINE_LINUX_EXECUTOR_VMAS_H_
#define LOCKSTEP_ENGINE_LINUX_EXECUTOR_VMAS_H_

#include <cstdint>

#include "engine/linux/executor/layout.h"

namespace lockstep::executor {

struct VmaInfo {
  // By the name that maps has.
  enum class Kind : uint8_t {
    kAnonymous,  // no file: memory, heap, stack, [vdso] and the like
    kShm,        // /SYSV00000000
    kSecret,     // /secretmem
    kZero,       // /dev/zero: shared anonymous memory
    kMemfd,      // a file slot's
    kFile,       // any other
  };
  Span span;
  uint64_t offset;  // bytes into the file
  uint64_t inode;
  uint32_t bits;  // RangeBit; the quick ways leave out what they cannot see
  Kind kind;
  uint8_t slot;  // of kMemfd
};
// The name of file slot 0's memfd, with the slot's digit in the end.
inline constexpr char kFileName[] = "lockstep-file-";

enum class Source { kQuick, kSmaps };

// What a walk does about the objects that are mapped: their names tell the
// kind, and PROCMAP_QUERY is asked once more for each.
enum class Names {
  kAsk,
  kNone,  // the kind does not matter: kAnonymous
};

// One pass over the VMAs that end after `from`, in order.
class VmaWalk {
 public:
  VmaWalk(Source source, uint64_t from, Names names = Names::kAsk);
  // False at the end.
  bool Next(VmaInfo* vma);

 private:
  bool Query(VmaInfo* vma);
  bool ReadEntry(VmaInfo* vma);

  Source source_;
  uint64_t from_;
  Names names_;
};

// PROCMAP_QUERY is there.
bool ProbeProcmapQuery();

// VmLck and VmSize of /proc/self/status in pages.
struct Accounting {
  uint64_t locked_vm, total_vm;
};
Accounting ReadAccounting();

// VmSize in pages by /proc/self/statm, at an eighth of what status costs.
uint64_t ReadTotalVm();

// Whether VmLck is `pages`, by two mmap calls that cannot succeed: without a
// map type they are refused (EINVAL), but only after the test of RLIMIT_MEMLOCK
// (EAGAIN). `limit`: its soft limit in bytes. kUnknown: with CAP_IPC_LOCK,
// which is never tested, or with a limit that leaves no room to ask.
enum class IsIt { kYes, kNo, kUnknown };
IsIt LockedVmIs(uint64_t pages, uint64_t limit);

// VM_LOCKED of the VMA at `address`, which is mapped: msync with MS_INVALIDATE
// is EBUSY there and has no effect (with MS_ASYNC). Of a longer range: any.
bool IsLocked(Span span);

}  // namespace lockstep::executor

#endif  // LOCKSTEP_ENGINE_LINUX_EXECUTOR_VMAS_H_
