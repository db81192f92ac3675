// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// mmap and munmap. mmap checks much more than locking; where several arguments
// are wrong at once any of their errnos is allowed, except for the order that
// the locking rules fix: EINVAL for a length of 0 first, EPERM before EAGAIN.

#include <cerrno>

#include "absl/strings/str_format.h"
#include "props/contract_support.h"
#include "props/contracts.h"

namespace lockstep::contracts {
namespace {

using uapi::kMapAnonymous;
using uapi::kMapFixed;

// What a call asks for, in whole pages.
struct Mapping {
  uint32_t flags, type, prot;
  MmapSource source;  // of a mapping that is not anonymous
  bool anonymous, hugetlb;
  bool noreplace;    // MAP_FIXED_NOREPLACE, where the kernel knows it
  uint64_t address;  // as given
  uint64_t bytes;    // rounded up; 0 if it overflows
  Pages pages() const { return PagesOf(bytes); }
  bool Is(uint32_t flag) const { return (flags & flag) != 0; }
  bool fixed() const { return Is(kMapFixed) || noreplace; }
  bool secret() const { return !anonymous && source == MmapSource::kSecret; }
  bool droppable() const {
    return anonymous && !hugetlb && type == uapi::kMapDroppable;
  }
  // With a file behind it, if only one of hugetlbfs.
  bool file() const { return !anonymous || hugetlb; }
  bool shared() const {
    return type == uapi::kMapShared || type == uapi::kMapSharedValidate;
  }
  Vpn start() const { return PageOf(address); }
};

Mapping MappingOf(const StepContext& context) {
  const Step& step = context.step;
  Mapping mapping{.flags = step.flags,
                  .type = step.flags & uapi::kMapType,
                  .prot = step.prot,
                  .source = static_cast<MmapSource>(step.value),
                  .anonymous = (step.flags & kMapAnonymous) != 0,
                  .hugetlb = false,
                  .noreplace = false,
                  .address = step.addr.Resolve(),
                  .bytes = PageAlign(step.length)};
  mapping.noreplace =
      mapping.Is(uapi::kMapFixedNoreplace) &&
      context.config.profile->Has(Behaviour::kMapFixedNoreplace);
  mapping.hugetlb = mapping.anonymous && mapping.Is(uapi::kMapHugetlb);
  if (mapping.hugetlb) {
    const uint64_t huge = kPageSize << context.config.hpage_pmd_order;
    mapping.bytes = (step.length + huge - 1) & ~(huge - 1);
  }
  return mapping;
}

// Numbers of sources that programs do not have: nothing is said about them.
bool KnownSource(const Mapping& mapping) {
  return mapping.anonymous || mapping.source <= MmapSource::kSecret;
}

// VM_LOCKED is asked for, by the call or by def_flags.
bool AsksForLock(const StepContext& context, const Mapping& mapping) {
  return mapping.Is(uapi::kMapLocked) || context.task_before().future_locked;
}

// 0 or the errno of the arguments that has to come whatever else is wrong.
int FirstErrno(const StepContext& context, const Mapping& mapping) {
  if (mapping.secret() &&
      !context.config.profile->Has(Behaviour::kMemfdSecret)) {
    return EBADF;  // so the slot is empty
  }
  if (context.step.length == 0 && !mapping.secret()) return EINVAL;
  return 0;
}

// What is wrong with the map type.
Allowed WrongType(const StepContext& context, const Mapping& mapping) {
  const Profile& profile = *context.config.profile;
  const bool grows = mapping.Is(uapi::kMapGrowsdown);
  Allowed wrong;
  switch (mapping.type) {
    case uapi::kMapPrivate:
      if (grows && mapping.file()) wrong.Or(EINVAL);
      break;
    case uapi::kMapShared:
      if (grows) wrong.Or(EINVAL);
      break;
    case uapi::kMapSharedValidate:
      if (!profile.Has(Behaviour::kMapSharedValidate) || !mapping.file() ||
          grows) {
        wrong.Or(EINVAL);
      }
      if (profile.Has(Behaviour::kMapSharedValidate) && mapping.file() &&
          (mapping.flags & ~uapi::kMapLegacyMask) != 0) {
        wrong.Or(EOPNOTSUPP);
      }
      break;
    case uapi::kMapDroppable:
      // What may go at any time cannot be locked.
      if (!profile.Has(Behaviour::kMapDroppable) || !mapping.droppable() ||
          grows || mapping.Is(uapi::kMapLocked)) {
        wrong.Or(EINVAL);
      }
      break;
    default:
      wrong.Or(EINVAL);
  }
  return wrong;
}

// What memfd_secret's mmap refuses: private mappings, execution, and memory
// beyond the limit where it is locked from the start.
void AddWrongSecret(const StepContext& context, const Mapping& mapping,
                    Allowed* wrong) {
  const TaskState& task = context.task_before();
  if ((mapping.prot & uapi::kProtExec) != 0) wrong->Or(EPERM);
  if (!mapping.shared()) wrong->Or(EINVAL);
  if (context.step.length == 0) wrong->Or(EINVAL);
  if (context.config.profile->Has(Behaviour::kSecretmemPerUser)) return;
  Pages locked = task.locked_vm;
  if (mapping.Is(kMapFixed) &&
      !context.config.profile->Has(Behaviour::kMmapUnmapsLast)) {
    locked -=
        LockedPages(task, mapping.start(), mapping.start() + mapping.pages());
  }
  if (!task.cap_ipc_lock && locked + mapping.pages() > LimitPages(task)) {
    wrong->Or(EAGAIN);
  }
}

// The errnos that the arguments and the state ask for.
Allowed Wrong(const StepContext& context, const Mapping& mapping) {
  const TaskState& task = context.task_before();
  const bool fixed = mapping.fixed();
  Allowed wrong = WrongType(context, mapping);
  if (mapping.Is(uapi::kMapHugetlb) && !mapping.anonymous) wrong.Or(EINVAL);
  if (mapping.noreplace &&
      MappedPages(task, mapping.start(), mapping.start() + mapping.pages()).n !=
          0) {
    wrong.Or(EEXIST);
  }
  if (mapping.secret()) AddWrongSecret(context, mapping, &wrong);
  if (mapping.bytes == 0 || mapping.bytes > kTaskSize) {
    wrong.Or(ENOMEM);
  } else if (fixed && mapping.address > kTaskSize - mapping.bytes) {
    wrong.Or(ENOMEM);
  }
  const uint64_t alignment =
      mapping.hugetlb ? kPageSize << context.config.hpage_pmd_order : kPageSize;
  if (fixed && (mapping.address & (alignment - 1)) != 0) wrong.Or(EINVAL);
  if (mapping.Is(uapi::kMapLocked) && !CanDoMlock(task)) {
    // EPERM comes before the limit: EAGAIN would be wrong.
    wrong.Or(EPERM);
  } else if (AsksForLock(context, mapping) &&
             !MayLockMore(task, mapping.pages())) {
    wrong.Or(EAGAIN);
  }
  return wrong;
}

// Errnos that may come although nothing above is wrong.
void AddPossible(const StepContext& context, const Mapping& mapping,
                 Allowed* allowed) {
  constexpr uint64_t kFarOffset = uint64_t{1} << 50;
  const uint64_t pages = mapping.pages().n;
  // No VMA, no room, overcommit refused, an empty pool of huge pages.
  if (context.events.allocation_failed || NearMapCount(context, 2) ||
      NearFull(context.task_before(), mapping.pages()) || mapping.hugetlb) {
    allowed->Or(ENOMEM);
  }
  // The offset in bytes, or its end, does not fit; where files end differs.
  if (context.step.length2 >= kFarOffset - pages % kFarOffset ||
      context.step.length2 + pages < pages) {
    allowed->Or(EOVERFLOW).Or(EINVAL);
  }
  // mmap_min_addr.
  if (mapping.fixed() && mapping.address < kMmapMinAddr) allowed->Or(EPERM);
  // Whether there is a secret in the slot cannot be seen.
  if (mapping.secret()) allowed->Or(EBADF);
  // MAP_FIXED through the middle of a huge page: the split says EINVAL, which
  // mmap_region made ENOMEM up to 6.11.
  if (mapping.Is(kMapFixed) &&
      TouchesHugetlb(context.task_before(), mapping.start(),
                     mapping.start() + mapping.pages())) {
    allowed->Or(context.config.profile->Has(Behaviour::kMmapUnmapsLast)
                    ? EINVAL
                    : ENOMEM);
  }
  if (context.events.fatal_signal) allowed->Or(EINTR);
}

// A fixed address in the last page is taken for an errno: a quirk of all
// kernels. Nothing else may be wrong before.
bool AddressIsErrno(const Mapping& mapping) {
  return mapping.fixed() && uapi::IsErrValue(mapping.address) &&
         mapping.bytes != 0 && mapping.bytes <= kTaskSize &&
         !mapping.Is(uapi::kMapHugetlb);
}

bool MmapErrno(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran()) return true;
  const Mapping mapping = MappingOf(context);
  if (!KnownSource(mapping)) return true;
  if (AddressIsErrno(mapping)) {
    const int error = static_cast<int>(-mapping.address);
    Allowed earlier;
    AddPossible(context, mapping, &earlier);
    return context.outcome.Is(error) || earlier.Has(context.outcome) ||
           Fail(mismatch, OutcomeName(Outcome::Errno(error)),
                OutcomeName(context.outcome));
  }
  const int first = FirstErrno(context, mapping);
  if (first != 0) return Check(context, Allowed::Only(first), mismatch);
  Allowed allowed = Wrong(context, mapping);
  if (allowed.empty()) allowed.OrSuccess();
  if (allowed.Has(context.outcome)) return true;
  AddPossible(context, mapping, &allowed);
  return Check(context, allowed, mismatch);
}

// The bits of the new range; what else it is depends on the source.
Want NewRange(const StepContext& context, const Mapping& mapping) {
  const TaskState& task = context.task_before();
  uint32_t bits = kMapped;
  if ((mapping.prot & uapi::kProtRead) != 0) bits |= kRangeRead;
  if ((mapping.prot & uapi::kProtWrite) != 0) bits |= kRangeWrite;
  if ((mapping.prot & uapi::kProtExec) != 0) bits |= kRangeExec;
  if (mapping.shared()) bits |= kRangeShared;
  if (mapping.droppable()) bits |= kRangeDroppable;
  if (mapping.secret()) {
    bits |= kRangeSecret;
    if (!context.config.profile->Has(Behaviour::kSecretmemPerUser)) {
      bits |= kRangeLocked;
    }
  }
  if (mapping.Is(uapi::kMapGrowsdown)) bits |= kRangeGrowsdown;
  if (mapping.hugetlb) bits |= kRangeHugetlb;
  if (!mapping.anonymous && mapping.source == MmapSource::kDevicePfnmap) {
    bits |= kRangeIo | kRangeSpecial;
  }
  if (!mapping.anonymous && mapping.source == MmapSource::kDeviceMixedmap) {
    bits |= kRangeSpecial;
  }
  if (AsksForLock(context, mapping) && (Lockable(bits) || mapping.secret())) {
    bits |= kRangeLocked;
    if (task.future_onfault) bits |= kRangeLockOnFault;
  }
  uint32_t care = kMapped | kAccessBits | kRangeShared | kRangeGrowsdown |
                  kRangeHugetlb | kRangeIo | kRangeSecret | kRangeDroppable |
                  kLockBits;
  // Whether huge pages count as special depends on who looks (VM_DONTEXPAND).
  if (!mapping.hugetlb) care |= kRangeSpecial;
  return {bits, care};
}

// Where the mapping may be: MAP_FIXED there and nowhere else; otherwise where
// nothing was, and at the hint if that is free.
bool CheckPlace(const StepContext& context, const Mapping& mapping,
                Mismatch* mismatch) {
  const TaskState& task = context.task_before();
  const uint64_t address = static_cast<uint64_t>(context.outcome.value);
  const auto fail = [&](absl::string_view expected) {
    return Fail(mismatch, expected, absl::StrFormat("0x%x", address));
  };
  if (mapping.fixed()) {
    return address == mapping.address ||
           fail(absl::StrFormat("0x%x", mapping.address));
  }
  if (OffsetInPage(address) != 0) return fail("a page-aligned address");
  if (address > kTaskSize - mapping.bytes) return fail("a user address");
  const Vpn page = PageOf(address);
  if (MappedPages(task, page, page + mapping.pages()).n != 0) {
    return fail("an address where nothing was mapped");
  }
  const uint64_t hint = mapping.address & kPageMask;
  if (address == hint || hint < 65536 || mapping.hugetlb ||
      hint > kTaskSize - mapping.bytes) {
    return true;
  }
  const Vpn end = PageOf(hint) + mapping.pages();
  const Range* next = FindRange(task, PageOf(hint));
  // Below a stack its guard gap is kept free too.
  const bool free =
      next == nullptr || (next->start >= end && !next->Has(kRangeGrowsdown));
  return !free || fail(absl::StrFormat("the hint 0x%x, which is free", hint));
}

bool MmapEffect(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran() || Disturbed(context)) return true;
  const Mapping mapping = MappingOf(context);
  if (!KnownSource(mapping)) return true;
  const TaskState& before = context.task_before();
  const TaskState& after = context.task_after();
  if (!context.outcome.ok()) {
    // MAP_FIXED has already unmapped what was there when a late check fails.
    if (mapping.Is(kMapFixed) && (context.outcome.Is(ENOMEM)) &&
        (context.events.allocation_failed || mapping.hugetlb)) {
      return true;
    }
    // What a secret replaces is gone when the secret itself is refused.
    if (mapping.Is(kMapFixed) && mapping.secret() &&
        (context.outcome.Is(EINVAL) || context.outcome.Is(EAGAIN))) {
      Mismatch ignored;
      if (CheckTask(before, after, WantTask::Unchanged(before), mismatch) &&
          RangesBecame(
              before, after, mapping.start(), mapping.start() + mapping.pages(),
              [](Vpn, Vpn, uint32_t) { return Want{0}; }, &ignored)) {
        return true;
      }
    }
    return NothingChanged(before, after, mismatch);
  }
  if (!CheckPlace(context, mapping, mismatch)) return false;
  const Vpn start = PageOf(static_cast<uint64_t>(context.outcome.value));
  const Want want = NewRange(context, mapping);
  return CheckTask(before, after, WantTask::Unchanged(before), mismatch) &&
         RangesBecame(
             before, after, start, start + mapping.pages(),
             [want](Vpn, Vpn, uint32_t) { return want; }, mismatch);
}

// Populate's failures are ignored, so this asks only for pages whose populate
// cannot fail.
bool MmapResidency(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ok() || !PagesUndisturbed(context)) return true;
  const Mapping mapping = MappingOf(context);
  if (!KnownSource(mapping)) return true;
  const bool populate =
      AsksForLock(context, mapping) ||
      (mapping.Is(uapi::kMapPopulate) && !mapping.Is(uapi::kMapNonblock));
  if (!populate) return true;
  const Vpn start = PageOf(static_cast<uint64_t>(context.outcome.value));
  return PopulatedPagesPresent(context, start, start + mapping.pages(),
                               /*hugetlb=*/false, mismatch);
}

// ---- munmap ----

// Whether munmap's arguments are refused.
bool BadUnmap(const Step& step) {
  const uint64_t address = step.addr.Resolve();
  return OffsetInPage(address) != 0 || address > kTaskSize ||
         step.length > kTaskSize - address || step.length == 0;
}

bool MunmapErrno(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran()) return true;
  Allowed allowed;
  if (BadUnmap(context.step)) {
    allowed.Or(EINVAL);
  } else {
    allowed.OrSuccess();
    const Vpn start = PageOf(context.step.addr.Resolve());
    const Vpn end = start + PagesOf(PageAlign(context.step.length));
    // A hole in the middle of a VMA needs one more of them.
    if (NearMapCount(context, 2) || context.events.allocation_failed) {
      allowed.Or(ENOMEM);
    }
    if (TouchesHugetlb(context.task_before(), start, end)) allowed.Or(EINVAL);
  }
  if (context.events.fatal_signal) allowed.Or(EINTR);
  return Check(context, allowed, mismatch);
}

bool MunmapEffect(const StepContext& context, Mismatch* mismatch) {
  if (!context.outcome.ran() || Disturbed(context)) return true;
  const TaskState& before = context.task_before();
  const TaskState& after = context.task_after();
  if (!context.outcome.ok()) return NothingChanged(before, after, mismatch);
  const Vpn start = PageOf(context.step.addr.Resolve());
  const Vpn end = start + PagesOf(PageAlign(context.step.length));
  return CheckTask(before, after, WantTask::Unchanged(before), mismatch) &&
         RangesBecame(
             before, after, start, end,
             [](Vpn, Vpn, uint32_t) { return Want{0}; }, mismatch);
}

constexpr Contract kContracts[] = {
    {.name = "mmap-errno",
     .statement = "mmap: EINVAL for length 0, EPERM for MAP_LOCKED at limit 0, "
                  "EAGAIN when locking the mapping would pass the limit",
     .source = "do_mmap, mlock_future_check; mmap(2)",
     .ops = OpBit(Op::kMmap),
     .holds = MmapErrno},
    {.name = "mmap-effect",
     .statement = "mmap maps what was asked, locked and charged only by "
                  "MAP_LOCKED or MCL_FUTURE, and uncharges what it replaces",
     .source = "mmap_region, arch_get_unmapped_area_topdown; TLPI T8",
     .ops = OpBit(Op::kMmap),
     .holds = MmapEffect},
    {.name = "mmap-residency",
     .statement = "pages of a mapping made locked or populated are resident "
                  "unless their populate can fail",
     .source = "vm_mmap_pgoff, mm_populate; mmap(2)",
     .ops = OpBit(Op::kMmap),
     .holds = MmapResidency},
    {.name = "munmap-errno",
     .statement = "munmap: EINVAL for bad arguments only; holes are no error",
     .source = "do_munmap",
     .ops = OpBit(Op::kMunmap),
     .holds = MunmapErrno},
    {.name = "munmap-effect",
     .statement =
         "munmap unmaps the range, gives back the charge of its locked "
         "pages, and nothing else",
     .source = "do_munmap, remove_vma_list; TLPI T7",
     .ops = OpBit(Op::kMunmap),
     .holds = MunmapEffect},
};

}  // namespace

absl::Span<const Contract> MmapContracts() { return kContracts; }

}  // namespace lockstep::contracts
