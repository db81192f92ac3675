// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Where guests' kernels are: ci/fetch-kernels.sh puts Debian's cloud kernels
// into a cache directory.

#ifndef LOCKSTEP_ENGINE_LINUX_KERNEL_CACHE_H_
#define LOCKSTEP_ENGINE_LINUX_KERNEL_CACHE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lockstep {

// $LOCKSTEP_CACHE, else $XDG_CACHE_HOME/lockstep, else $HOME/.cache/lockstep.
// NotFound if none of the three is set.
absl::StatusOr<std::string> CacheDirectory();

struct KernelImage {
  std::string path;     // of a bzImage
  std::string release;  // as uname -r will say: "6.1.0-56-cloud-amd64"
};

// The kernel that `which` names: a version with two numbers ("6.1") is looked
// for in the cache directory, as kernels/6.1/vmlinuz; anything else is the path
// of a bzImage.
//   Unavailable: not in the cache; says the command that fetches it.
//   NotFound: no file of that path.
//   InvalidArgument: the file is no bzImage for x86.
absl::StatusOr<KernelImage> FindKernelImage(absl::string_view which);

// The release in a bzImage's header (Documentation/arch/x86/boot.rst,
// kernel_version). `bytes`: the file's first 64 KiB or more; `path` is for
// errors.
absl::StatusOr<std::string> ReleaseOfBzImage(absl::string_view bytes,
                                             absl::string_view path);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_LINUX_KERNEL_CACHE_H_
