// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Mutations of what a program starts with.

#include <cstddef>
#include <iterator>
#include <vector>

#include "engine/defect.h"
#include "fuzzers/mutator_operations.h"

namespace lockstep::mutator_internal {
namespace {

Config DrawConfig(const MutationContext& context, const Config& now) {
  Config config = context.vocabulary.NextConfig(context.random);
  if (context.options.any_kernel) {
    config.profile = now.profile;
    config.defects = now.defects;
  }
  return config;
}

// What can be taken from another configuration by itself. The order of huge
// pages goes with the arena that holds some.
using TakeField = void (*)(const Config& from, Config* to);
constexpr TakeField kConfigFields[] = {
    [](const Config& from, Config* to) {
      to->memlock_limit = from.memlock_limit;
    },
    [](const Config& from, Config* to) {
      to->cap_ipc_lock = from.cap_ipc_lock;
    },
    [](const Config& from, Config* to) { to->uid = from.uid; },
    [](const Config& from, Config* to) { to->cpus = from.cpus; },
    [](const Config& from, Config* to) { to->zones = from.zones; },
    [](const Config& from, Config* to) {
      to->max_map_count = from.max_map_count;
    },
    [](const Config& from, Config* to) {
      to->protection_keys = from.protection_keys;
    },
    [](const Config& from, Config* to) { to->image_pages = from.image_pages; },
    [](const Config& from, Config* to) { to->file_size = from.file_size; },
    [](const Config& from, Config* to) {
      to->nr_hugepages = from.nr_hugepages;
    },
    [](const Config& from, Config* to) {
      to->stack_guard_gap = from.stack_guard_gap;
    },
    [](const Config& from, Config* to) {
      to->arena_pages = from.arena_pages;
      to->memory_pages = from.memory_pages;
      to->hpage_pmd_order = from.hpage_pmd_order;
      to->transparent_hugepage = from.transparent_hugepage;
    },
};

}  // namespace

bool RedrawConfig(const MutationContext& context, Program* program) {
  program->config = DrawConfig(context, program->config);
  return true;
}

bool RedrawConfigField(const MutationContext& context, Program* program) {
  const TakeField take = kConfigFields[context.Pick(std::size(kConfigFields))];
  // Half of all configurations are the default.
  for (int i = 0; i < 32; ++i) {
    Config changed = program->config;
    take(DrawConfig(context, program->config), &changed);
    if (changed == program->config) continue;
    program->config = changed;
    return true;
  }
  return false;
}

bool LimitAtBoundary(const MutationContext& context, Program* program) {
  if (!context.options.vocabulary.vary_config) return false;
  // The limit that the first few locks reach, or miss by a page.
  uint64_t bytes = 0;
  std::vector<uint64_t> sums;
  for (const Step& step : program->steps) {
    const bool locks = step.op == Op::kMlock || step.op == Op::kMlock2 ||
                       step.op == Op::kMmap || step.op == Op::kShmget;
    if (!locks || step.length > (uint64_t{1} << 44)) continue;
    sums.push_back(PageAlign(step.length));
    bytes += PageAlign(step.length);
    sums.push_back(bytes);
  }
  if (sums.empty()) return false;
  const uint64_t around[] = {0, kPageSize, -kPageSize, -uint64_t{1}};
  uint64_t limit = sums[context.Pick(sums.size())];
  limit += around[context.Pick(std::size(around))];
  program->config.memlock_limit = limit;
  return true;
}

bool ChangeKernel(const MutationContext& context, Program* program) {
  if (!context.options.any_kernel) return false;
  const Profile& profile = AllProfiles()[context.Pick(AllProfiles().size())];
  program->config.SetProfile(profile);
  return true;
}

bool FlipDefect(const MutationContext& context, Program* program) {
  if (!context.options.any_kernel) return false;
  Config& config = program->config;
  std::vector<Defect> applicable;
  for (const DefectInfo& info : AllDefects()) {
    if (config.profile->applicable.Has(info.defect)) {
      applicable.push_back(info.defect);
    }
  }
  if (applicable.empty()) return false;
  const Defect defect = applicable[context.Pick(applicable.size())];
  if (config.defects.Has(defect)) {
    config.defects.Remove(defect);
  } else {
    config.defects.Add(defect);
  }
  return true;
}

}  // namespace lockstep::mutator_internal
