// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/vma.h"

#include <cerrno>

#include "engine/reference/huge_memory.h"
#include "engine/reference/object.h"
#include "engine/reference/page_table.h"
#include "engine/reference/shm.h"
#include "engine/uapi.h"

namespace lockstep::reference {
namespace {

// is_mergeable_anon_vma. Memory of a process and what fork gave it stay apart.
bool AnonVmaFits(const Machine& machine, const Vma& middle,
                 const Vma& neighbour) {
  if (middle.anon_vma == neighbour.anon_vma) return true;
  if (middle.anon_vma == 0) return !neighbour.forked;
  return neighbour.anon_vma == 0 && !middle.forked &&
         machine.Has(Behaviour::kMergeIntoUntouched);
}

// Both neighbours fit, but do they fit each other?
bool NeighboursFit(uint32_t a, uint32_t b) {
  return a == 0 || b == 0 || a == b;
}

// can_vma_merge_before/after: could b continue a, flags, object and offset?
// No VMA with a close method merges, nor one that is special.
bool CanMerge(const Vma& a, const Vma& b) {
  return a.end == b.start && a.flags == b.flags && a.object == b.object &&
         a.pgoff + a.pages().n == b.pgoff &&
         !a.Is(kVmSpecial | kVmHugetlb | kVmShm);
}

void MoveStart(Machine& machine, int mm, Vma& vma, Vpn start) {
  vma.pgoff += start.n - vma.start.n;
  vma.start = start;
  SplitHugePmdAtEdge(machine, mm, start);
}

void MoveEnd(Machine& machine, int mm, Vma& vma, Vpn end) {
  vma.end = end;
  SplitHugePmdAtEdge(machine, mm, end);
}

}  // namespace

size_t Mm::FindOtherVma(Vpn page) const {
  size_t low = 0, high = vmas.size();
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (vmas[middle].end <= page) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  last_vma = low;
  return low;
}

uint32_t VmAccessOf(uint32_t prot) {
  uint32_t flags = 0;
  if ((prot & uapi::kProtRead) != 0) flags |= kVmRead;
  if ((prot & uapi::kProtWrite) != 0) flags |= kVmWrite;
  if ((prot & uapi::kProtExec) != 0) flags |= kVmExec;
  return flags;
}

uint32_t ExecuteOnlyOf(const Machine& machine, uint32_t prot) {
  return prot == uapi::kProtExec && machine.config.protection_keys &&
                 machine.Has(Behaviour::kExecuteOnlyPkey)
             ? kVmExecuteOnly
             : 0u;
}

size_t InsertVma(Machine& machine, int mm, const Vma& vma) {
  Mm& space = machine.mms[mm];
  machine.TouchMm(mm);
  if (vma.object != 0) GetObject(machine, vma.object);
  size_t at = space.FindVma(vma.start);
  space.vmas.insert(space.vmas.begin() + static_cast<ptrdiff_t>(at), vma);
  return at;
}

void RemoveVma(Machine& machine, int mm, size_t vma) {
  Mm& space = machine.mms[mm];
  machine.TouchMm(mm);
  ObjectId object = space.vmas[vma].object;
  space.vmas.erase(space.vmas.begin() + static_cast<ptrdiff_t>(vma));
  if (object == 0) return;
  PutObject(machine, object);
  ShmClose(machine, object);
}

int SplitVmaUnlimited(Machine& machine, int mm, size_t index, Vpn at) {
  Mm& space = machine.mms[mm];
  if (space.vmas[index].Is(kVmHugetlb) && at != TableStart(machine, at)) {
    return EINVAL;
  }
  SplitHugePmdAtEdge(machine, mm, at);
  Vma& vma = space.vmas[index];
  Vma upper = vma;
  upper.pgoff = vma.IndexOf(at);
  upper.start = at;
  vma.end = at;
  InsertVma(machine, mm, upper);
  return 0;
}

int SplitVma(Machine& machine, int mm, size_t vma, Vpn at) {
  if (machine.mms[mm].vmas.size() >= machine.config.max_map_count) {
    return ENOMEM;
  }
  return SplitVmaUnlimited(machine, mm, vma, at);
}

std::optional<size_t> MergeVma(Machine& machine, int mm, Vpn start, Vpn end,
                               const Vma& attributes) {
  if (attributes.Is(kVmSpecial)) return std::nullopt;
  Mm& space = machine.mms[mm];
  Vma middle = attributes;
  middle.start = start;
  middle.end = end;
  size_t area = space.FindVma(start);  // has the range, or is above the hole
  bool in_area = area < space.vmas.size() && space.vmas[area].start < end;
  // Who would be before and after the range once it is cut out.
  bool cut_head = in_area && space.vmas[area].start == start;
  bool cut_tail = in_area && space.vmas[area].end == end;
  size_t next = in_area && cut_tail ? area + 1 : area;
  bool has_prev = (!in_area || cut_head) && area > 0;
  bool has_next = (!in_area || cut_tail) && next < space.vmas.size();
  bool with_prev = has_prev && CanMerge(space.vmas[area - 1], middle) &&
                   AnonVmaFits(machine, middle, space.vmas[area - 1]);
  bool with_next = has_next && CanMerge(middle, space.vmas[next]) &&
                   AnonVmaFits(machine, middle, space.vmas[next]);
  if (with_prev && with_next &&
      !NeighboursFit(space.vmas[area - 1].anon_vma,
                     space.vmas[next].anon_vma)) {
    with_next = false;
  }
  if (!with_prev && !with_next) return std::nullopt;
  machine.TouchMm(mm);
  Vpn new_end = with_next ? space.vmas[next].end : end;
  uint32_t anon_vma = attributes.anon_vma;
  if (with_next && anon_vma == 0) anon_vma = space.vmas[next].anon_vma;
  // First what is left of the area, then the neighbours.
  if (in_area && cut_head && cut_tail) {
    RemoveVma(machine, mm, area);
    next = area;
  } else if (in_area && cut_head) {
    MoveStart(machine, mm, space.vmas[area], end);
  } else if (in_area) {
    MoveEnd(machine, mm, space.vmas[area], start);
    next = area + 1;
  }
  const bool maybe_guard =
      attributes.maybe_guard || (with_next && space.vmas[next].maybe_guard);
  if (with_prev) {
    Vma& prev = space.vmas[area - 1];
    if (prev.anon_vma == 0) prev.anon_vma = anon_vma;
    prev.maybe_guard |= maybe_guard;
    prev.end = new_end;
    if (with_next) RemoveVma(machine, mm, next);
    return area - 1;
  }
  Vma& after = space.vmas[next];
  if (after.anon_vma == 0) after.anon_vma = anon_vma;
  after.maybe_guard = maybe_guard;
  after.pgoff -= (after.start - start).n;
  after.start = start;
  return next;
}

int ModifyVma(Machine& machine, int mm, size_t* vma, Vpn start, Vpn end,
              uint32_t flags) {
  Mm& space = machine.mms[mm];
  Vma wanted = space.vmas[*vma];
  wanted.pgoff = wanted.IndexOf(start);
  wanted.flags = flags;
  if (auto merged = MergeVma(machine, mm, start, end, wanted)) {
    *vma = *merged;
    return 0;
  }
  if (start != space.vmas[*vma].start) {
    if (int error = SplitVma(machine, mm, *vma, start); error != 0)
      return error;
    ++*vma;
  }
  if (end != space.vmas[*vma].end) {
    if (int error = SplitVma(machine, mm, *vma, end); error != 0) return error;
  }
  machine.TouchMm(mm);
  return 0;
}

void AnonVmaPrepare(Machine& machine, int mm, size_t index) {
  Mm& space = machine.mms[mm];
  Vma& vma = space.vmas[index];
  if (vma.anon_vma != 0) return;
  // find_mergeable_anon_vma: a neighbour that could become one with this VMA by
  // an mprotect lends its own, unless that has parents (reusable_anon_vma).
  auto lend = [](const Vma& a, const Vma& b) {
    return a.end == b.start && !a.forked && !b.forked && a.object == b.object &&
           ((a.flags ^ b.flags) & ~uint32_t{kVmAccess}) == 0 &&
           a.pgoff + a.pages().n == b.pgoff;
  };
  if (index + 1 < space.vmas.size() && space.vmas[index + 1].anon_vma != 0 &&
      lend(vma, space.vmas[index + 1])) {
    vma.anon_vma = space.vmas[index + 1].anon_vma;
  } else if (index > 0 && space.vmas[index - 1].anon_vma != 0 &&
             lend(space.vmas[index - 1], vma)) {
    vma.anon_vma = space.vmas[index - 1].anon_vma;
  } else {
    vma.anon_vma = machine.next_anon_vma++;
  }
}

}  // namespace lockstep::reference
