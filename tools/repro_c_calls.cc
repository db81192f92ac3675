// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/repro_c_calls.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/types/span.h"
#include "engine/uapi.h"
#include "tools/repro_c_helpers.h"

namespace lockstep {
namespace {

struct NamedBit {
  uint32_t bit;
  absl::string_view name;
};

constexpr NamedBit kProtNames[] = {
    {uapi::kProtRead, "PROT_READ"},
    {uapi::kProtWrite, "PROT_WRITE"},
    {uapi::kProtExec, "PROT_EXEC"},
};
constexpr NamedBit kMapNames[] = {
    {uapi::kMapShared, "MAP_SHARED"},
    {uapi::kMapPrivate, "MAP_PRIVATE"},
    {uapi::kMapFixed, "MAP_FIXED"},
    {uapi::kMapAnonymous, "MAP_ANONYMOUS"},
    {uapi::kMapGrowsdown, "MAP_GROWSDOWN"},
    {uapi::kMapLocked, "MAP_LOCKED"},
    {0x4000, "MAP_NORESERVE"},
    {uapi::kMapPopulate, "MAP_POPULATE"},
    {uapi::kMapNonblock, "MAP_NONBLOCK"},
    {0x20000, "MAP_STACK"},
};
constexpr NamedBit kMremapNames[] = {
    {uapi::kMremapMaymove, "MREMAP_MAYMOVE"},
    {uapi::kMremapFixed, "MREMAP_FIXED"},
    {uapi::kMremapDontunmap, "4 /* MREMAP_DONTUNMAP */"},
};
constexpr NamedBit kMsyncNames[] = {
    {uapi::kMsAsync, "MS_ASYNC"},
    {uapi::kMsInvalidate, "MS_INVALIDATE"},
    {uapi::kMsSync, "MS_SYNC"},
};
constexpr NamedBit kShmatNames[] = {
    {uapi::kShmRdonly, "SHM_RDONLY"},
    {uapi::kShmRemap, "SHM_REMAP"},
};
// A number with its name beside it: glibc has these only in newer versions.
constexpr NamedBit kMlockallNames[] = {
    {uapi::kMclCurrent, "MCL_CURRENT"},
    {uapi::kMclFuture, "MCL_FUTURE"},
    {uapi::kMclOnfault, "4 /* MCL_ONFAULT */"},
};
constexpr NamedBit kMlock2Names[] = {
    {uapi::kMlockOnfault, "1 /* MLOCK_ONFAULT */"},
};
// Whole numbers, not bits.
constexpr NamedBit kAdviceNames[] = {
    {uapi::kMadvNormal, "MADV_NORMAL"},
    {uapi::kMadvRandom, "MADV_RANDOM"},
    {uapi::kMadvSequential, "MADV_SEQUENTIAL"},
    {uapi::kMadvWillneed, "MADV_WILLNEED"},
    {uapi::kMadvDontneed, "MADV_DONTNEED"},
    {uapi::kMadvFree, "8 /* MADV_FREE */"},
    {uapi::kMadvDontfork, "MADV_DONTFORK"},
    {uapi::kMadvDofork, "MADV_DOFORK"},
    {uapi::kMadvDontdump, "16 /* MADV_DONTDUMP */"},
    {uapi::kMadvDodump, "17 /* MADV_DODUMP */"},
};
constexpr NamedBit kShmctlNames[] = {
    {uapi::kIpcRmid, "IPC_RMID"},
    {uapi::kShmLock, "SHM_LOCK"},
    {uapi::kShmUnlock, "SHM_UNLOCK"},
};

// "MAP_PRIVATE | MAP_FIXED | 0x80"; `none` for 0.
std::string Bits(absl::Span<const NamedBit> names, uint32_t value,
                 absl::string_view none) {
  std::string text;
  for (const NamedBit& name : names) {
    if ((value & name.bit) == 0) continue;
    absl::StrAppend(&text, text.empty() ? "" : " | ", name.name);
    value &= ~name.bit;
  }
  if (value != 0) {
    absl::StrAppend(&text, text.empty() ? "" : " | ", "0x", absl::Hex(value));
  }
  return text.empty() ? std::string(none) : text;
}

std::string Number(absl::Span<const NamedBit> names, uint32_t value) {
  for (const NamedBit& name : names) {
    if (name.bit == value) return std::string(name.name);
  }
  return absl::StrCat(value);
}

std::string AddressIn(absl::string_view base, uint64_t value) {
  const uint64_t offset = OffsetInPage(value);
  return absl::StrCat(base, "(", value >> kPageShift, ")",
                      offset != 0 ? absl::StrCat(" + ", offset) : "");
}

std::string MmapCode(const Step& step) {
  const bool anonymous = (step.flags & uapi::kMapAnonymous) != 0;
  uint32_t flags = step.flags;
  // Huge sparse ranges must not fail for want of swap.
  if (step.length >= uint64_t{1} << 24) flags |= 0x4000;
  return absl::StrCat(
      "call(SYS_mmap, ", CAddress(step.addr), ", ", CNumber(step.length), ", ",
      Bits(kProtNames, step.prot, "PROT_NONE"), ", ",
      Bits(kMapNames, flags, "0"), ", ",
      anonymous ? std::string("-1")
                : absl::StrCat("file[", step.slot % kFileSlots, "]"),
      ", ", step.length2, " * PAGE)");
}

// call(SYS_name, start, length...).
std::string RangeCode(absl::string_view name, const Step& step,
                      absl::string_view more = "") {
  return absl::StrCat("call(SYS_", name, ", ", CAddress(step.addr), ", ",
                      CNumber(step.length), more.empty() ? "" : ", ", more,
                      ")");
}

}  // namespace

std::string CNumber(uint64_t number) {
  if (number < uint64_t{1} << 32) return absl::StrCat(number, "UL");
  return absl::StrCat("0x", absl::Hex(number), "UL");
}

std::string CAddress(const Address& address) {
  const bool small = address.value < uint64_t{1} << 44;
  switch (address.base) {
    case Address::Base::kArena:
      if (small) return AddressIn("arena", address.value);
      break;
    case Address::Base::kHeap:
      if (small) return AddressIn("heap", address.value);
      break;
    case Address::Base::kRaw:
      break;
  }
  return CNumber(address.Resolve());
}

std::string CAddress(uint64_t address) {
  return address >= kArenaBase && address < kTaskSize
             ? CAddress(Address{address - kArenaBase, Address::Base::kArena})
             : CNumber(address);
}

std::string COutcome(const Outcome& outcome) {
  if (outcome.ok()) return "OK";
  const absl::string_view name = OutcomeName(outcome);
  const bool named = OutcomeFromName(name).has_value();
  return absl::StrCat(outcome.kind == Outcome::Kind::kSignal ? "-" : "",
                      named ? name : absl::StrCat(outcome.value));
}

std::string CString(absl::string_view text) {
  return absl::StrCat("\"", absl::CHexEscape(text), "\"");
}

std::string CComment(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"*/", "* /"}, {"/*", "/ *"}});
}

CCall CCallOf(const Step& step) {
  uint32_t helpers = kCBase;
  if (step.addr.base == Address::Base::kHeap ||
      step.new_addr.base == Address::Base::kHeap) {
    helpers |= kCHeap;
  }
  switch (step.op) {
    case Op::kMmap:
      if ((step.flags & uapi::kMapAnonymous) == 0) helpers |= kCFiles;
      return {MmapCode(step), helpers};
    case Op::kMunmap:
      return {RangeCode("munmap", step), helpers};
    case Op::kMprotect:
      return {
          RangeCode("mprotect", step, Bits(kProtNames, step.prot, "PROT_NONE")),
          helpers};
    case Op::kMremap: {
      const bool dontunmap = (step.flags & uapi::kMremapDontunmap) != 0;
      return {
          absl::StrCat(dontunmap ? "mremap_dontunmap(" : "call(SYS_mremap, ",
                       CAddress(step.addr), ", ", CNumber(step.length), ", ",
                       CNumber(step.length2), ", ",
                       Bits(kMremapNames, step.flags, "0"), ", ",
                       CAddress(step.new_addr), ")"),
          helpers | (dontunmap ? kCDontunmap : uint32_t{0})};
    }
    case Op::kBrk:
      return {absl::StrCat("move_brk(", CAddress(step.addr), ")"),
              helpers | kCBrk};
    case Op::kMadvise:
      return {RangeCode("madvise", step, Number(kAdviceNames, step.flags)),
              helpers};
    case Op::kMsync:
      return {RangeCode("msync", step, Bits(kMsyncNames, step.flags, "0")),
              helpers};
    case Op::kMincore:
      return {RangeCode("mincore", step, "core"), helpers | kCMincore};
    case Op::kMlock:
      return {RangeCode("mlock", step), helpers};
    case Op::kMlock2:
      return {absl::StrCat("mlock2_call(", CAddress(step.addr), ", ",
                           CNumber(step.length), ", ",
                           Bits(kMlock2Names, step.flags, "0"), ")"),
              helpers | kCMlock2};
    case Op::kMunlock:
      return {RangeCode("munlock", step), helpers};
    case Op::kMlockall:
      return {absl::StrCat("call(SYS_mlockall, ",
                           Bits(kMlockallNames, step.flags, "0"), ")"),
              helpers};
    case Op::kMunlockall:
      return {"call(SYS_munlockall)", helpers};
    case Op::kShmget:
      return {absl::StrCat("make_segment(", step.slot % kShmSlots, ", ",
                           CNumber(step.length), ")"),
              helpers | kCShm};
    case Op::kShmat:
      return {absl::StrCat("attach(", step.slot % kShmSlots, ", ",
                           CAddress(step.addr), ", ",
                           Bits(kShmatNames, step.flags, "0"), ")"),
              helpers | kCShm | kCAttach};
    case Op::kShmdt:
      return {absl::StrCat("call(SYS_shmdt, ", CAddress(step.addr), ")"),
              helpers};
    case Op::kShmctl:
      return {absl::StrCat("control(", step.slot % kShmSlots, ", ",
                           Number(kShmctlNames, step.flags), ")"),
              helpers | kCShm | kCControl};
    case Op::kFtruncate:
      return {absl::StrCat("call(SYS_ftruncate, file[", step.slot % kFileSlots,
                           "], ", CNumber(step.length), ")"),
              helpers | kCFiles};
    case Op::kTouch:
      return {absl::StrCat("touch(", CAddress(step.addr), ", ",
                           step.value != 0 ? 1 : 0, ")"),
              helpers | kCTouch};
    default:
      return {"OK", helpers};
  }
}

}  // namespace lockstep
