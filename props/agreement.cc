// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "props/agreement.h"

#include <algorithm>
#include <cstddef>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/linux/wire.h"
#include "engine/range.h"
#include "engine/uapi.h"
#include "props/contract_support.h"

namespace lockstep {

namespace {

bool Part(Mismatch* mismatch, std::string model, std::string real) {
  mismatch->expected = std::move(model);
  mismatch->seen = std::move(real);
  return false;
}

// ---- Outcomes ----

bool ReturnsAddress(Op op) {
  return op == Op::kMmap || op == Op::kMremap || op == Op::kShmat ||
         op == Op::kBrk;
}

// Where the arena or the heap is, addresses are the program's; elsewhere the
// kernel chose, and any place is as good.
bool IsProgramsAddress(const Config& config, int64_t value) {
  const auto address = static_cast<uint64_t>(value);
  return address - kArenaBase < config.arena_pages * kPageSize ||
         address - kHeapBase < kArenaBase - kHeapBase;
}

bool OutcomesAgree(const AgreementContext& context, Mismatch* mismatch) {
  const Outcome& model = context.model.outcome;
  const Outcome& real = context.real.outcome;
  // A guest reclaims a page by MADV_PAGEOUT, which drains the batch first: it
  // may find on a list what the model's reclaim does not.
  if (context.step.op == Op::kReclaim && real.ok() &&
      model.kind == Outcome::Kind::kSkipped) {
    return true;
  }
  bool same = model.kind == real.kind;
  if (same && model.kind != Outcome::Kind::kValue) {
    same = model.value == real.value;
  } else if (same && ReturnsAddress(context.step.op)) {
    same = model.value == real.value ||
           (!IsProgramsAddress(context.config, model.value) &&
            !IsProgramsAddress(context.config, real.value));
  }
  return same || Part(mismatch, DebugString(model), DebugString(real));
}

// ---- Tasks ----

// check(slot, model, real) for every task that lives on both.
template <typename Check>
bool ForTasks(const AgreementContext& context, const Check& check) {
  for (int slot = 0; slot < kTaskSlots; ++slot) {
    const TaskState& model = context.model.world.tasks[slot];
    const TaskState& real = context.real.world.tasks[slot];
    if (!model.exists || !real.exists) continue;
    if (!check(slot, model, real)) return false;
  }
  return true;
}

std::string OfTask(int slot, absl::string_view what) {
  return absl::StrCat("task ", slot, ": ", what);
}

bool PartNumber(Mismatch* mismatch, int slot, absl::string_view what,
                uint64_t model, uint64_t real) {
  return Part(mismatch, OfTask(slot, absl::StrCat(what, " ", model)),
              OfTask(slot, absl::StrCat(what, " ", real)));
}

bool TasksAgree(const AgreementContext& context, Mismatch* mismatch) {
  const auto& model = context.model.world.tasks;
  const auto& real = context.real.world.tasks;
  for (int slot = 0; slot < kTaskSlots; ++slot) {
    if (model[slot].exists != real[slot].exists) {
      return Part(mismatch, OfTask(slot, model[slot].exists ? "lives" : "gone"),
                  OfTask(slot, real[slot].exists ? "lives" : "gone"));
    }
  }
  for (int a = 0; a < kTaskSlots; ++a) {
    for (int b = a + 1; model[a].exists && b < kTaskSlots; ++b) {
      if (!model[b].exists) continue;
      const bool in_model = model[a].mm == model[b].mm;
      if (in_model == (real[a].mm == real[b].mm)) continue;
      const std::string pair = absl::StrCat("tasks ", a, " and ", b, ": ");
      return Part(mismatch, absl::StrCat(pair, in_model ? "one mm" : "two mms"),
                  absl::StrCat(pair, in_model ? "two mms" : "one mm"));
    }
  }
  return true;
}

bool CredentialsAgree(const AgreementContext& context, Mismatch* mismatch) {
  return ForTasks(context, [mismatch](int slot, const TaskState& model,
                                      const TaskState& real) {
    if (model.memlock_limit != real.memlock_limit) {
      return PartNumber(mismatch, slot, "RLIMIT_MEMLOCK", model.memlock_limit,
                        real.memlock_limit);
    }
    if (model.cap_ipc_lock != real.cap_ipc_lock) {
      return PartNumber(mismatch, slot, "CAP_IPC_LOCK", model.cap_ipc_lock,
                        real.cap_ipc_lock);
    }
    return model.uid == real.uid ||
           PartNumber(mismatch, slot, "uid slot", model.uid, real.uid);
  });
}

bool LockedVmAgrees(const AgreementContext& context, Mismatch* mismatch) {
  return ForTasks(context, [mismatch](int slot, const TaskState& model,
                                      const TaskState& real) {
    return model.locked_vm == real.locked_vm ||
           PartNumber(mismatch, slot, "locked_vm", model.locked_vm.n,
                      real.locked_vm.n);
  });
}

bool TotalVmAgrees(const AgreementContext& context, Mismatch* mismatch) {
  return ForTasks(context, [mismatch](int slot, const TaskState& model,
                                      const TaskState& real) {
    return model.total_vm == real.total_vm ||
           PartNumber(mismatch, slot, "total_vm", model.total_vm.n,
                      real.total_vm.n);
  });
}

bool BrkAgrees(const AgreementContext& context, Mismatch* mismatch) {
  return ForTasks(context, [mismatch](int slot, const TaskState& model,
                                      const TaskState& real) {
    return model.brk == real.brk ||
           PartNumber(mismatch, slot, "brk", model.brk - kHeapBase,
                      real.brk - kHeapBase);
  });
}

// ---- Pages ----

std::string OfPage(const AgreementContext& context, int slot, uint64_t index,
                   absl::string_view what) {
  const uint64_t arena = PageIndex(context.config).arena_pages;
  return absl::StrFormat("task %d, %s page %d: %s", slot,
                         index < arena ? "arena" : "heap",
                         index < arena ? index : index - arena, what);
}

// A property of single pages by one bit mask: what of `mask` is set must be the
// same where the page is mapped on both. words(bits) describes a side.
template <typename Words>
bool BitsAgree(const AgreementContext& context, uint32_t mask,
               const Words& words, Mismatch* mismatch) {
  return ForTasks(context, [&](int slot, const TaskState&, const TaskState&) {
    const std::vector<uint32_t>& model = context.model.pages[slot];
    const std::vector<uint32_t>& real = context.real.pages[slot];
    for (size_t i = 0; i < model.size(); ++i) {
      if (((model[i] ^ real[i]) & mask) == 0) continue;
      if (mask != Side::kPageMapped &&
          (model[i] & real[i] & Side::kPageMapped) == 0) {
        continue;
      }
      return Part(mismatch, OfPage(context, slot, i, words(model[i])),
                  OfPage(context, slot, i, words(real[i])));
    }
    return true;
  });
}

bool MappedAgrees(const AgreementContext& context, Mismatch* mismatch) {
  return BitsAgree(
      context, Side::kPageMapped,
      [](uint32_t bits) { return bits != 0 ? "mapped" : "unmapped"; },
      mismatch);
}

bool ProtectionAgrees(const AgreementContext& context, Mismatch* mismatch) {
  return BitsAgree(
      context, contracts::kAccessBits,
      [](uint32_t bits) {
        std::string text;
        text.push_back((bits & kRangeRead) != 0 ? 'r' : '-');
        text.push_back((bits & kRangeWrite) != 0 ? 'w' : '-');
        text.push_back((bits & kRangeExec) != 0 ? 'x' : '-');
        return text;
      },
      mismatch);
}

bool SharedAgrees(const AgreementContext& context, Mismatch* mismatch) {
  return BitsAgree(
      context, kRangeShared,
      [](uint32_t bits) {
        return (bits & kRangeShared) != 0 ? "shared" : "private";
      },
      mismatch);
}

bool LockedAgrees(const AgreementContext& context, Mismatch* mismatch) {
  return BitsAgree(
      context, kRangeLocked,
      [](uint32_t bits) {
        return (bits & kRangeLocked) != 0 ? "VM_LOCKED" : "not VM_LOCKED";
      },
      mismatch);
}

bool OnfaultAgrees(const AgreementContext& context, Mismatch* mismatch) {
  if ((context.sees & wire::kSeesOnfault) == 0) return true;
  return BitsAgree(
      context, kRangeLockOnFault,
      [](uint32_t bits) {
        return (bits & kRangeLockOnFault) != 0 ? "VM_LOCKONFAULT"
                                               : "not VM_LOCKONFAULT";
      },
      mismatch);
}

// check(slot, index, bits, model, real) for every page that is mapped on both
// and that is not of a kind whose pages no two engines have alike.
template <typename Check>
bool ForPages(const AgreementContext& context, const Check& check) {
  constexpr uint32_t kOtherPages = kRangeIo | kRangeHugetlb;
  const PageIndex index(context.config);
  return ForTasks(context, [&](int slot, const TaskState&, const TaskState&) {
    for (uint64_t i = 0; i < index.count(); ++i) {
      const uint32_t bits = context.model.pages[slot][i];
      if ((bits & context.real.pages[slot][i] & Side::kPageMapped) == 0) {
        continue;
      }
      if ((bits & kOtherPages) != 0) continue;
      const Vpn page = index.page(i);
      if (!check(slot, i, bits, context.model_engine.ObservePage(slot, page),
                 context.real_engine.ObservePage(slot, page))) {
        return false;
      }
    }
    return true;
  });
}

// A huge page comes or does not come by rules of khugepaged and of memory that
// is free in one piece.
bool ComparesResidency(const AgreementContext& context) {
  return context.config.transparent_hugepage == TransparentHugepage::kNever;
}

bool PresentAgrees(const AgreementContext& context, Mismatch* mismatch) {
  if (!ComparesResidency(context)) return true;
  return ForPages(context, [&](int slot, uint64_t i, uint32_t bits,
                               const PageState& model, const PageState& real) {
    if (model.present == real.present) return true;
    // Reclaim may take an unlocked page, fault-around may map what a file's
    // page cache has beside the page that was touched.
    if (model.present && (bits & kRangeLocked) == 0) return true;
    if (real.present && (bits & (kRangeFile | kRangeShared)) != 0) return true;
    if (context.reclaimed && (bits & kRangeLocked) == 0) return true;
    // What reclaim left (all of it, without swap) is there when the memory is
    // locked later without being populated.
    if (context.reclaimed && real.present) return true;
    return Part(
        mismatch,
        OfPage(context, slot, i, model.present ? "present" : "not present"),
        OfPage(context, slot, i, real.present ? "present" : "not present"));
  });
}

// The mechanisms behind PG_mlocked (the walk of the reverse mapping up to 5.17,
// mlock_count from 5.18) agree where a page has one mapping and always had: in
// private anonymous memory of a program that never had a second address space.
// Elsewhere mlock_count may undercount, and the specification allows it. A page
// that D26 has left Mlocked keeps the count of a locker that is gone.
bool MlockedAgrees(const AgreementContext& context, Mismatch* mismatch) {
  if ((context.sees & wire::kSeesPageFlags) == 0 || context.forked ||
      context.left_mlocked || !ComparesResidency(context)) {
    return true;
  }
  return ForPages(context, [&](int slot, uint64_t i, uint32_t bits,
                               const PageState& model, const PageState& real) {
    if ((bits & (kRangeFile | kRangeShared | kRangeSpecial)) != 0 ||
        !model.present || !real.present || model.mlocked == real.mlocked) {
      return true;
    }
    // The model's came back from swap, the real one never went there, or was
    // still in the swap cache: where swap-in forgets the mark (D28), it does so
    // only of what has left that.
    if (context.reclaimed && real.mlocked && (bits & kRangeLocked) != 0) {
      return true;
    }
    // The zero page, in place of one that reclaim has freed.
    if (context.reclaimed && real.zero_page) return true;
    return Part(
        mismatch,
        OfPage(context, slot, i, model.mlocked ? "Mlocked" : "not Mlocked"),
        OfPage(context, slot, i, real.mlocked ? "Mlocked" : "not Mlocked"));
  });
}

bool PageKindAgrees(const AgreementContext& context, Mismatch* mismatch) {
  if ((context.sees & wire::kSeesPageFlags) == 0 ||
      !ComparesResidency(context)) {
    return true;
  }
  const auto kind = [](const PageState& page) {
    return page.zero_page   ? "the zero page"
           : page.anonymous ? "anonymous"
                            : "of a file";
  };
  return ForPages(context, [&](int slot, uint64_t i, uint32_t,
                               const PageState& model, const PageState& real) {
    if (!model.present || !real.present) return true;
    if (model.zero_page == real.zero_page &&
        model.anonymous == real.anonymous) {
      return true;
    }
    // Reclaim frees what MADV_FREE gave up, even without swap; what is read
    // next is the zero page.
    if (context.reclaimed && model.anonymous && real.zero_page) return true;
    return Part(mismatch, OfPage(context, slot, i, kind(model)),
                OfPage(context, slot, i, kind(real)));
  });
}

// ---- Segments ----

std::string DescribeShm(int slot, const ShmState& segment) {
  if (!segment.exists) return absl::StrCat("segment ", slot, ": none");
  return absl::StrCat("segment ", slot, ": ", segment.size, " bytes, owner ",
                      segment.owner, segment.locked ? ", SHM_LOCKED" : "",
                      segment.removed ? ", removed" : "",
                      segment.hugetlb ? ", hugetlb" : "");
}

bool ShmAgrees(const AgreementContext& context, Mismatch* mismatch) {
  for (int slot = 0; slot < kShmSlots; ++slot) {
    const ShmState& model = context.model.world.shm[slot];
    const ShmState& real = context.real.world.shm[slot];
    const bool same =
        model.exists == real.exists &&
        (!model.exists ||
         (model.locked == real.locked && model.removed == real.removed &&
          model.hugetlb == real.hugetlb && model.owner == real.owner &&
          model.size == real.size));
    if (!same) {
      return Part(mismatch, DescribeShm(slot, model), DescribeShm(slot, real));
    }
  }
  return true;
}

// ---- Counters ----

// Pages that the real kernel alone has marked. After reclaim that is its
// affair, see MlockedAgrees.
int64_t MarkedByRealAlone(const AgreementContext& context) {
  int64_t pages = 0;
  if (!context.reclaimed) return pages;
  ForPages(context, [&pages](int, uint64_t, uint32_t bits,
                             const PageState& model, const PageState& real) {
    pages += (bits & kRangeLocked) != 0 && real.mlocked && !model.mlocked;
    return true;
  });
  return pages;
}

// NR_MLOCK is the sum of Mlocked pages, those of the executor's image included:
// a comparison has to wait until these are unlocked again. The events differ
// between the mechanisms in ways that no program can see.
bool NrMlockAgrees(const AgreementContext& context, Mismatch* mismatch) {
  if ((context.sees & wire::kSeesCounters) == 0 || context.forked ||
      context.left_mlocked || !ComparesResidency(context)) {
    return true;
  }
  // Any task: the one that has left an address space may have shared it.
  for (const TaskState& task : context.model.world.tasks) {
    for (const Range& range : task.ranges) {
      const bool private_memory =
          (range.bits & (kRangeFile | kRangeShared | kRangeSpecial)) == 0;
      const bool image =
          range.start >= PageOf(kImageBase) && range.end <= PageOf(kHeapBase);
      if (range.Has(kRangeLocked) && (image || !private_memory)) return true;
    }
  }
  int64_t model, real;
  if (!context.model_engine.Counter("nr_mlock", &model).ok() ||
      !context.real_engine.Counter("nr_mlock", &real).ok()) {
    return true;
  }
  model += MarkedByRealAlone(context);
  return model == real || Part(mismatch, absl::StrCat("NR_MLOCK ", model),
                               absl::StrCat("NR_MLOCK ", real));
}

constexpr Agreement kAgreements[] = {
    {"agree-outcome",
     "a step has the same result, errno or signal on both engines; an address "
     "that the kernel chose outside arena and heap may be any",
     "real-kernels.md 3: results and errnos are deterministic", OutcomesAgree},
    {"agree-tasks", "the same tasks live, and share address spaces alike",
     "fork, exit", TasksAgree},
    {"agree-credentials",
     "tasks have the same limit, capability and user on both engines",
     "getrlimit, capget, getuid", CredentialsAgree},
    {"agree-locked-vm", "locked_vm is the same, the process's image included",
     "/proc/PID/status VmLck: exact at once", LockedVmAgrees},
    {"agree-total-vm", "total_vm is the same, the process's image included",
     "/proc/PID/status VmSize", TotalVmAgrees},
    {"agree-brk", "the end of the heap is the same", "brk", BrkAgrees},
    {"agree-mapped", "the same pages of arena and heap are mapped",
     "/proc/PID/maps", MappedAgrees},
    {"agree-protection", "mapped pages have the same protection",
     "/proc/PID/maps", ProtectionAgrees},
    {"agree-shared", "mapped pages are shared or private alike",
     "/proc/PID/maps", SharedAgrees},
    {"agree-locked", "the same pages are in VM_LOCKED mappings",
     "smaps VmFlags lo: exact at once", LockedAgrees},
    {"agree-onfault",
     "the same pages are in VM_LOCKONFAULT mappings, where the kernel tells",
     "smaps VmFlags lf, named from 6.12 on", OnfaultAgrees},
    {"agree-present",
     "the same pages are resident; an unlocked page may be gone, one of a file "
     "may be there through fault-around",
     "pagemap bit 63: exact at once", PresentAgrees},
    {kAgreeMlocked,
     "the same private anonymous pages are Mlocked, while there is one address "
     "space",
     "kpageflags KPF_MLOCKED: exact at once", MlockedAgrees},
    {"agree-page-kind",
     "resident pages are anonymous, of a file or the zero page alike",
     "pagemap bit 61, kpageflags KPF_ZERO_PAGE", PageKindAgrees},
    {"agree-shm", "segments exist, are locked and removed alike",
     "shmctl(IPC_STAT)", ShmAgrees},
    {"agree-nr-mlock",
     "NR_MLOCK has moved alike, where the machine does nothing else",
     "/proc/vmstat after stat_refresh", NrMlockAgrees},
};

}  // namespace

absl::Span<const Agreement> AllAgreements() { return kAgreements; }

}  // namespace lockstep
