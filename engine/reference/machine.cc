// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/machine.h"

#include "engine/reference/fork.h"
#include "engine/reference/object.h"

namespace lockstep::reference {

void Machine::Reset(const Config& new_config) {
  config = new_config;
  profile = config.profile;
  defects = config.defects;
  order = static_cast<int>(config.hpage_pmd_order);
  huge_pages = 1u << order;
  stack_guard_gap = config.stack_guard_gap.value_or(profile->stack_guard_gap);

  // Frames, tables and rmap nodes are set up as they are taken into use again.
  frame_end = 1;
  free_frames = config.memory_pages;
  free_small.clear();
  free_huge.clear();
  free_tables.clear();
  table_end = 0;
  pte_entries = 0;
  rmap_end = 1;
  free_rmap = 0;
  if (pages.empty()) pages.resize(1024);
  pages[0] = Page();

  lruvecs = {};
  nr_mlock = {};
  events = VmEvents();
  for (Pagevec& batch : lru_add) batch.count = 0;
  cpu = 0;
  allocation_zone = 0;
  isolated.clear();
  fail_allocation = 0;
  hugetlb_free = config.nr_hugepages;
  hugetlb_reserved = 0;

  if (objects.empty()) objects.resize(1);
  for (uint32_t i = 1; i < object_end; ++i) {
    objects[i].kind = Object::Kind::kFree;
  }
  object_end = 1;
  for (ObjectId& file : files) {
    file = NewObject(*this, Object::Kind::kFile, config.file_size);
  }
  secrets = {};
  shm = {};
  locked_shm = {};
  locked_secrets = {};
  next_anon_vma = 1;

  for (Mm& mm : mms) {
    mm.vmas.clear();
    mm.tables.clear();
    mm.last_table = kNoTable;
    mm.users = 0;
    mm.held = MmapLock::kNone;
    mm.held_by_other = false;
  }
  tasks = {};
  InitMm(*this, 0);
  tasks[0] = {.exists = true,
              .cap_ipc_lock = config.cap_ipc_lock,
              .fatal_signal = false,
              .uid = config.uid,
              .mm = 0,
              .memlock_limit = config.memlock_limit};

  step = nullptr;
  current = 0;
  during_pending = 0;
  mmap_lock_held = false;
  locked_page = 0;
  step_events = StepEvents();
  ++epoch;
  touched_pages.clear();
  evictions.clear();
  touched_mms = touched_tables = touched_tasks = (1u << kTaskSlots) - 1;
}

void Machine::TouchFirst(Pfn pfn) {
  pages[pfn].touched = epoch;
  touched_pages.push_back(pfn);
}

}  // namespace lockstep::reference
