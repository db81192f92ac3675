// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/invariants_machine.h"

#include <array>
#include <string>
#include <utility>

#include "absl/base/attributes.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace lockstep {

using reference::Machine;
using reference::Page;

namespace {

// Failures are built apart, for SumsHold to be small.
ABSL_ATTRIBUTE_NOINLINE bool Fail(Mismatch* mismatch, std::string expected,
                                  std::string seen) {
  *mismatch = {std::move(expected), std::move(seen)};
  return false;
}

ABSL_ATTRIBUTE_NOINLINE bool FailMlocked(Mismatch* mismatch, int zone,
                                         int64_t counted, int64_t kept) {
  return Fail(mismatch, absl::StrCat("NR_MLOCK ", counted, " in zone ", zone),
              absl::StrCat("NR_MLOCK ", kept));
}

ABSL_ATTRIBUTE_NOINLINE bool FailEventLaw(Mismatch* mismatch, int64_t law,
                                          int64_t kept) {
  return Fail(mismatch, absl::StrCat("NR_MLOCK ", law, " by the events"),
              absl::StrCat("NR_MLOCK ", kept));
}

ABSL_ATTRIBUTE_NOINLINE bool FailLruSize(Mismatch* mismatch, int vec, int lru,
                                         uint32_t counted, uint32_t kept) {
  return Fail(mismatch,
              absl::StrCat(counted, " pages on list ", lru, " of lruvec ", vec),
              absl::StrCat(kept));
}

ABSL_ATTRIBUTE_NOINLINE bool FailReclaimed(Mismatch* mismatch, Vpn page) {
  return Fail(mismatch, "a page of a VM_LOCKED VMA stays",
              absl::StrFormat("reclaimed at %#x", AddressOf(page)));
}

ABSL_ATTRIBUTE_NOINLINE bool FailBadPage(Mismatch* mismatch, int64_t freed) {
  return Fail(mismatch, "no page freed with PG_mlocked",
              absl::StrCat(freed, " freed"));
}

ABSL_ATTRIBUTE_NOINLINE bool FailCharge(Mismatch* mismatch, int uid,
                                        uint64_t pages, uint64_t kept) {
  return Fail(mismatch,
              absl::StrCat("user ", uid, " charged ", pages, " pages"),
              absl::StrCat(static_cast<int64_t>(kept)));
}

ABSL_ATTRIBUTE_NOINLINE bool FailFrames(Mismatch* mismatch, uint64_t expected,
                                        uint64_t kept) {
  return Fail(mismatch, absl::StrCat(expected, " free frames"),
              absl::StrCat(kept));
}

ABSL_ATTRIBUTE_NOINLINE bool FailReserved(Mismatch* mismatch, uint64_t expected,
                                          uint64_t kept) {
  return Fail(mismatch, absl::StrCat(expected, " huge pages reserved"),
              absl::StrCat(static_cast<int64_t>(kept)));
}

ABSL_ATTRIBUTE_NOINLINE bool FailLeft(Mismatch* mismatch, Pfn pfn) {
  return Fail(mismatch, "no page left without a task",
              absl::StrCat("page ", pfn, " in use"));
}

// With no task left: a page may be in a cache, isolated or in a batch still
// (its last mapping was cleared into it), never mapped.
bool MayOutliveTasks(const Page& page) {
  return page.Is(reference::kPageFree | reference::kPageTail |
                 reference::kPageIsolated | reference::kPageInBatch) ||
         page.mapping != 0;
}

}  // namespace

bool NrMlockHolds(const InvariantContext& context, Mismatch* mismatch) {
  int zones = static_cast<int>(context.machine.config.zones);
  for (int zone = 0; zone < zones; ++zone) {
    int64_t counted = context.before.mlocked[zone];
    int64_t kept = context.machine.nr_mlock[zone];
    if (counted != kept) {
      return FailMlocked(mismatch, zone, counted, kept);
    }
  }
  return true;
}

bool EventLawHolds(const InvariantContext& context, Mismatch* mismatch) {
  const reference::VmEvents& events = context.machine.events;
  int64_t law = events.mlocked - events.munlocked - events.cleared -
                (events.stranded - events.stranded_when_cleared) -
                events.relocked;
  int64_t kept = 0;
  for (int64_t pages : context.machine.nr_mlock) kept += pages;
  if (law == kept) return true;
  return FailEventLaw(mismatch, law, kept);
}

bool LruSizeHolds(const InvariantContext& context, Mismatch* mismatch) {
  int vecs = static_cast<int>(context.machine.config.zones);
  for (int vec = 0; vec < vecs; ++vec) {
    for (int lru = 0; lru < reference::kLruLists; ++lru) {
      uint32_t counted = context.before.lru[vec][lru];
      uint32_t kept = context.machine.lruvecs[vec].lists[lru].size;
      if (counted != kept) {
        return FailLruSize(mismatch, vec, lru, counted, kept);
      }
    }
  }
  return true;
}

bool LockedNeverReclaimed(const InvariantContext& context, Mismatch* mismatch) {
  for (const reference::Eviction& eviction : context.machine.evictions) {
    if ((eviction.vm_flags & reference::kVmLocked) == 0) continue;
    return FailReclaimed(mismatch, eviction.page);
  }
  return true;
}

bool NoBadPageState(const InvariantContext& context, Mismatch* mismatch) {
  int64_t freed = context.machine.events.freed_mlocked;
  return freed == 0 || FailBadPage(mismatch, freed);
}

bool ShmChargeHolds(const InvariantContext& context, Mismatch* mismatch) {
  const Machine& machine = context.machine;
  std::array<uint64_t, kUsers> charge{};
  for (const reference::ShmSegment& segment : machine.shm) {
    if (segment.object == 0 || !segment.locked) continue;
    uint64_t size = machine.objects[segment.object].size;
    charge[segment.mlock_user] += PageAlign(size) >> kPageShift;
  }
  for (int uid = 0; uid < kUsers; ++uid) {
    if (charge[uid] == machine.locked_shm[uid]) continue;
    return FailCharge(mismatch, uid, charge[uid], machine.locked_shm[uid]);
  }
  return true;
}

bool FrameCountHolds(const InvariantContext& context, Mismatch* mismatch) {
  const Machine& machine = context.machine;
  if (context.before.used + machine.free_frames !=
      machine.config.memory_pages) {
    return FailFrames(mismatch,
                      machine.config.memory_pages - context.before.used,
                      machine.free_frames);
  }
  for (const reference::Task& task : machine.tasks) {
    if (task.exists) return true;
  }
  // Looked at only while pages are touched: later steps find nothing to do.
  for (Pfn pfn : machine.touched_pages) {
    if (MayOutliveTasks(machine.page(pfn))) continue;
    return FailLeft(mismatch, pfn);
  }
  return true;
}

bool HugetlbReserveHolds(const InvariantContext& context, Mismatch* mismatch) {
  const Machine& machine = context.machine;
  if (machine.config.nr_hugepages == 0) return true;
  uint64_t reserved = 0;
  for (const reference::Object& object : machine.objects) {
    if (object.kind == reference::Object::Kind::kHugetlb) {
      reserved += object.reserved.size();
    }
  }
  return reserved == machine.hugetlb_reserved ||
         FailReserved(mismatch, reserved, machine.hugetlb_reserved);
}

[[gnu::flatten]] bool SumsHold(const InvariantContext& context,
                               Mismatch* mismatch) {
  return NrMlockHolds(context, mismatch) && EventLawHolds(context, mismatch) &&
         LruSizeHolds(context, mismatch) &&
         LockedNeverReclaimed(context, mismatch) &&
         NoBadPageState(context, mismatch) &&
         ShmChargeHolds(context, mismatch) &&
         FrameCountHolds(context, mismatch) &&
         HugetlbReserveHolds(context, mismatch);
}

}  // namespace lockstep
