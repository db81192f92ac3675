// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The machine in words, for reports.

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/reference/machine.h"
#include "engine/reference/page_table.h"
#include "engine/reference/reference_engine.h"

namespace lockstep::reference {
namespace {

struct FlagName {
  uint32_t flag;
  const char* name;
};
constexpr FlagName kVmFlagNames[] = {
    {kVmShared, "shared"},
    {kVmGrowsdown, "growsdown"},
    {kVmLocked, "LOCKED"},
    {kVmLockonfault, "LOCKONFAULT"},
    {kVmIo, "io"},
    {kVmPfnmap, "pfnmap"},
    {kVmMixedmap, "mixedmap"},
    {kVmDontexpand, "dontexpand"},
    {kVmHugetlb, "hugetlb"},
    {kVmDontcopy, "dontcopy"},
    {kVmHugepage, "hugepage"},
    {kVmNohugepage, "nohugepage"},
    {kVmShm, "shm"},
    {kVmWipeonfork, "wipeonfork"},
    {kVmDroppable, "droppable"},
    {kVmSecret, "secret"},
};
constexpr FlagName kPageFlagNames[] = {
    {kPageLru, "lru"},
    {kPageActive, "active"},
    {kPageUnevictable, "unevictable"},
    {kPageMlocked, "MLOCKED"},
    {kPageHead, "head"},
    {kPageTail, "tail"},
    {kPageAnon, "anon"},
    {kPageDoubleMap, "doublemap"},
    {kPageHugetlb, "hugetlb"},
    {kPageIsolated, "isolated"},
    {kPageInBatch, "lru-add batch"},
};
constexpr const char* kLruNames[] = {"inactive anon", "active anon",
                                     "inactive file", "active file",
                                     "unevictable",   "no list"};

template <size_t N>
std::string Flags(uint32_t flags, const FlagName (&names)[N]) {
  std::string text;
  for (const FlagName& name : names) {
    if ((flags & name.flag) != 0) absl::StrAppend(&text, " ", name.name);
  }
  return text;
}

// An address as programs write it.
std::string Where(Vpn page) {
  if (page >= PageOf(kArenaBase) &&
      page < PageOf(kArenaBase) + Pages{uint64_t{1} << 32}) {
    return absl::StrCat("arena ", (page - PageOf(kArenaBase)).n);
  }
  if (page >= PageOf(kHeapBase) &&
      page < PageOf(kHeapBase) + Pages{uint64_t{1} << 32}) {
    return absl::StrCat("heap ", (page - PageOf(kHeapBase)).n);
  }
  return absl::StrFormat("%#x", AddressOf(page));
}

void AppendPages(const Machine& machine, int mm, const Vma& vma,
                 std::string* text) {
  int shown = 0;
  for (Vpn at = vma.start; auto entry = NextEntry(machine, mm, at, vma.end);) {
    at = entry->page + (entry->huge ? TableSpan(machine) : Pages{1});
    if (++shown > 64) {
      absl::StrAppend(text, "      ...\n");
      return;
    }
    absl::StrAppend(text, "      ", Where(entry->page), ": ");
    if ((entry->raw & kPtePresent) == 0) {
      absl::StrAppend(
          text, (entry->raw & kPteGuard) != 0 ? "a guard\n" : "swapped out\n");
      continue;
    }
    Pfn pfn = PfnOf(entry->raw);
    if (pfn == 0) {
      absl::StrAppend(text, "the zero page\n");
      continue;
    }
    const Page& page = machine.page(pfn);
    const Page& head = machine.page(page.head);
    absl::StrAppend(text, entry->huge ? "huge page " : "page ", pfn, " on ",
                    kLruNames[head.lru], ", zone ", int{head.zone}, ", mapped ",
                    machine.MapcountOf(pfn), "x, references ", head.refcount,
                    ",", Flags(head.flags, kPageFlagNames),
                    (entry->raw & kPteWrite) != 0 ? " (writable)" : "", "\n");
  }
}

}  // namespace

std::string ReferenceEngine::DebugString() const {
  const Machine& machine = *machine_;
  std::string text;
  for (int slot = 0; slot < kTaskSlots; ++slot) {
    const Task& task = machine.tasks[slot];
    if (!task.exists) continue;
    const Mm& mm = machine.mms[task.mm];
    absl::StrAppend(
        &text, "task ", slot, ": uid ", int{task.uid}, ", ",
        task.cap_ipc_lock ? "CAP_IPC_LOCK" : "no CAP_IPC_LOCK",
        ", RLIMIT_MEMLOCK ",
        task.memlock_limit == kRlimInfinity
            ? "infinite"
            : absl::StrCat(task.memlock_limit, " bytes"),
        ", locked_vm ", mm.locked_vm.n, ", total_vm ", mm.total_vm.n,
        (mm.def_flags & kVmLocked) != 0 ? ", MCL_FUTURE" : "",
        (mm.def_flags & kVmLockonfault) != 0 ? "|MCL_ONFAULT" : "", "\n");
    for (const Vma& vma : mm.vmas) {
      absl::StrAppend(
          &text, "  ", Where(vma.start), " to ", Where(vma.end - Pages{1}),
          ": ", vma.Is(kVmRead) ? "r" : "-", vma.Is(kVmWrite) ? "w" : "-",
          vma.Is(kVmExec) ? "x" : "-", Flags(vma.flags, kVmFlagNames), "\n");
      AppendPages(machine, task.mm, vma, &text);
    }
  }
  for (uint32_t zone = 0; zone < machine.config.zones; ++zone) {
    absl::StrAppend(&text, "zone ", zone, ": nr_mlock ", machine.nr_mlock[zone],
                    "\n");
  }
  const VmEvents& events = machine.events;
  absl::StrAppend(&text, "unevictable_pgs: culled ", events.culled,
                  ", scanned ", events.scanned, ", rescued ", events.rescued,
                  ", mlocked ", events.mlocked, ", munlocked ",
                  events.munlocked, ", cleared ", events.cleared, ", stranded ",
                  events.stranded, "\n");
  return text;
}

}  // namespace lockstep::reference
