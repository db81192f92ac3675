// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The machines that random programs start on.

#include <algorithm>

#include "props/vocabulary.h"

namespace lockstep {
namespace {

uint64_t DrawMemlockLimit(Random& random) {
  switch (random.Below(8)) {
    case 0:
      return 0;
    case 1:
      return kRlimInfinity;
    case 2: {
      const uint64_t odd[] = {1, kPageSize - 1, kPageSize + 1,
                              3 * kPageSize - 1};
      return odd[random.Below(4)];
    }
    default:
      return (1 + random.Below(12)) * kPageSize;
  }
}

// Huge pages as small as two base pages are the same code at less cost; the
// real order needs an arena that holds a few of them.
void DrawHugePages(Random& random, Config* config) {
  config->transparent_hugepage = random.Below(4) != 0
                                     ? TransparentHugepage::kAlways
                                     : TransparentHugepage::kMadvise;
  if (random.OneIn(64)) {
    config->hpage_pmd_order = 9;
    config->arena_pages = 1024 * (1 + random.Below(2));
    config->memlock_limit = kRlimInfinity;
    return;
  }
  config->hpage_pmd_order = static_cast<uint32_t>(1 + random.Below(4));
  if (random.OneIn(2)) config->memlock_limit = kRlimInfinity;
}

// An arena in which counters of bytes and pages pass 2^31. The memory is small,
// so that populating what is mapped fails soon.
void DrawSparseArena(Random& random, Config* config) {
  const uint64_t order = 20 + random.Below(13);
  config->arena_pages = uint64_t{1} << order;
  config->memory_pages = uint64_t{64} << random.Below(3);
  const uint64_t base = uint64_t{1} << (31 + random.Below(2));
  switch (random.Below(6)) {
    case 0:
    case 1:
      config->memlock_limit = base;
      break;
    case 2:
    case 3:
      config->memlock_limit = base + random.Below(8) * kPageSize;
      break;
    case 4:
      config->memlock_limit = config->arena_pages * kPageSize;
      break;
    default:
      config->memlock_limit = kRlimInfinity;
      break;
  }
}

}  // namespace

Config Vocabulary::NextRealConfig(Random& random) const {
  Config config;
  config.profile = options_.profile;
  config.defects = options_.defects;
  if (random.OneIn(3)) return config;
  if (random.OneIn(3)) config.cap_ipc_lock = true;
  // Limits around what a program maps, and around what its process is itself.
  config.memlock_limit = random.OneIn(4) ? random.Below(2048) * kPageSize
                                         : DrawMemlockLimit(random);
  config.memlock_limit =
      std::min(config.memlock_limit, VocabularyOptions::kMostRealLimit);
  if (random.OneIn(8)) {
    config.uid = static_cast<uint8_t>(random.Below(kUsers));
  }
  if (random.OneIn(8)) {
    config.file_size = random.Below(6) * kPageSize;
    if (random.OneIn(2)) config.file_size += random.Below(kPageSize);
  }
  return config;
}

Config Vocabulary::NextConfig(Random& random) const {
  if (!options_.vary_config) return options_.config;
  if (options_.real_kernel) return NextRealConfig(random);
  Config config;
  config.profile = options_.profile;
  config.defects = options_.defects;
  if (random.OneIn(2)) return config;

  if (random.OneIn(2)) config.memlock_limit = DrawMemlockLimit(random);
  if (random.OneIn(4)) config.cap_ipc_lock = true;
  if (random.OneIn(4)) {
    config.uid = static_cast<uint8_t>(random.Below(kUsers));
  }
  if (random.OneIn(4)) {
    config.cpus = static_cast<uint32_t>(1 + random.Below(kMaxCpus));
  }
  if (random.OneIn(4)) {
    config.zones = static_cast<uint32_t>(1 + random.Below(2));
  }
  if (random.OneIn(8)) {
    config.max_map_count = static_cast<uint32_t>(3 + random.Below(10));
  }
  if (random.OneIn(8)) config.protection_keys = true;
  if (random.OneIn(8)) config.image_pages = random.Below(24);
  if (random.OneIn(8)) {
    config.file_size = random.Below(6) * kPageSize;
    if (random.OneIn(2)) config.file_size += random.Below(kPageSize);
  }
  if (random.OneIn(8)) {
    config.nr_hugepages = static_cast<uint32_t>(1 + random.Below(4));
  }
  if (random.OneIn(6)) {
    config.stack_guard_gap = static_cast<uint32_t>(random.Below(4));
  }
  // Too little memory for what the arena can hold.
  if (random.OneIn(16)) config.memory_pages = 8 + random.Below(56);
  const uint64_t kind = random.Below(16);
  if (kind < 6) {
    DrawHugePages(random, &config);
  } else if (kind < 8) {
    DrawSparseArena(random, &config);
  }
  return config;
}

}  // namespace lockstep
