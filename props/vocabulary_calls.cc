// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The fields of each call and environment action.

#include <algorithm>

#include "engine/uapi.h"
#include "props/vocabulary_composer.h"

namespace lockstep::vocabulary_internal {

void Composer::Compose(size_t index, Step* step) {
  *step = Step();
  step->op = DrawOp(random_, theme_, index);
  step->task = DrawTask();
  DrawFields(step);
  DrawInterleavings(step);
}

void Composer::Recompose(Step* step) {
  const Op op = step->op;
  const uint8_t task = step->task;
  *step = Step();
  step->op = op;
  step->task = task;
  DrawFields(step);
  DrawInterleavings(step);
}

uint32_t Composer::DrawProtection() {
  const uint64_t kind = Below(32);
  if (kind < 22) return uapi::kProtRead | uapi::kProtWrite;
  if (kind < 27) return uapi::kProtRead;
  if (kind < 29) return 0;
  if (kind == 29) return uapi::kProtWrite;
  if (kind == 30) return uapi::kProtExec;
  return uapi::kProtRead | uapi::kProtExec;
}

void Composer::KeepPopulateCheap(Step* step) {
  if (!IsDearToPopulate(step->length)) return;
  const bool writable = (step->prot & uapi::kProtWrite) != 0;
  if (!writable || !memory_is_small()) step->prot = 0;
}

bool Composer::IsDearToPopulate(uint64_t length) {
  constexpr uint64_t kPages = 4096;
  // Longer than the address space: refused.
  if (length <= kPages * kPageSize || length > kTaskSize) return false;
  return !OneIn(64) || length > 16 * kPages * kPageSize;
}

void Composer::DrawMmap(Step* step) {
  PageRange range = DrawRange(/*fresh_one_in=*/2);
  step->prot = DrawProtection();
  // One draw, a few bits for each flag.
  const uint64_t bits = random_.Next();
  const auto eighths = [bits](int index) { return bits >> (index * 3) & 7; };
  const bool sharing = theme_ == Theme::kSharing;
  const bool shared = eighths(0) < (sharing ? 5u : 1u);
  uint32_t flags = uapi::kMapFixed | uapi::kMapAnonymous;
  flags |= shared ? uapi::kMapShared : uapi::kMapPrivate;
  if (eighths(1) < (sharing ? 2u : 1u)) {
    flags &= ~uapi::kMapAnonymous;
    step->slot = static_cast<uint8_t>(OneIn(4) ? Below(kFileSlots) : 0);
    step->length2 = OneIn(3) ? Below(4) : 0;
    if (OneIn(8)) step->value = static_cast<uint32_t>(Below(4));  // source
  }
  if (eighths(2) < (theme_ == Theme::kStacks ? 3u : 1u)) {
    flags |= uapi::kMapLocked;
  }
  if (eighths(3) < (theme_ == Theme::kPages ? 3u : 1u)) {
    flags |= uapi::kMapPopulate;
    if (eighths(4) == 0) flags |= uapi::kMapNonblock;
  }
  if (eighths(5) == 0 && eighths(6) < 4) flags &= ~uapi::kMapFixed;
  const bool stack =
      theme_ == Theme::kStacks ? eighths(7) < 5 : eighths(7) + eighths(8) == 0;
  if (stack) {
    // Room to grow, and likely a neighbour to grow into.
    flags |= uapi::kMapGrowsdown;
    range.count = 1 + (range.count & 1);
    range.page =
        (range.page / 8 * 8 + 4 + eighths(9) * 8) %
        std::max<uint64_t>(std::min<uint64_t>(config_.arena_pages, 64), 8);
    if (eighths(10) < 5) flags |= uapi::kMapLocked;
    step->prot = uapi::kProtRead | uapi::kProtWrite;
  }
  if (hugetlb() ? eighths(11) < 3 : eighths(11) + eighths(12) == 0) {
    flags |= uapi::kMapHugetlb;
    if (eighths(12) == 1) flags |= uapi::kMapNoreserve;
    range.page &= ~(huge_pages() - 1);
    range.count = huge_pages() * (1 + (range.count & 1));
  }
  if (eighths(13) + eighths(14) == 0) flags |= uapi::kMapFixedNoreplace;
  if (eighths(15) + eighths(16) == 0) {
    // No map type, both, or one of later kernels.
    flags = (flags & ~uapi::kMapType) | static_cast<uint32_t>(Below(16));
  }
  step->flags = flags;
  SetRange(range, /*odd_one_in=*/32, step);
  DrawMapType(step);
  KeepPopulateCheap(step);
}

void Composer::DrawMapType(Step* step) {
  if (has(Behaviour::kMemfdSecret) && memory_.knows_secrets() && OneIn(4)) {
    step->flags &= ~(uapi::kMapAnonymous | uapi::kMapHugetlb | uapi::kMapType |
                     uapi::kMapGrowsdown);
    step->flags |= OneIn(12) ? uapi::kMapPrivate : uapi::kMapShared;
    step->value = static_cast<uint32_t>(MmapSource::kSecret);
    step->slot = static_cast<uint8_t>(OneIn(4) ? Below(kFileSlots) : 0);
    step->length2 = OneIn(3) ? Below(4) : 0;
    return;
  }
  const bool anonymous = (step->flags & uapi::kMapAnonymous) != 0;
  if (anonymous && has(Behaviour::kMapDroppable) && OneIn(10)) {
    step->flags = (step->flags & ~uapi::kMapType) | uapi::kMapDroppable;
    if (!OneIn(6)) step->flags &= ~(uapi::kMapLocked | uapi::kMapGrowsdown);
  }
  if (!anonymous && has(Behaviour::kMapSharedValidate) && OneIn(6)) {
    step->flags |= uapi::kMapSharedValidate;
  }
  if (has(Behaviour::kMapFixedNoreplace) && OneIn(24)) {
    step->flags |= uapi::kMapFixedNoreplace;
  }
}

void Composer::DrawMremap(Step* step) {
  const PageRange range = DrawRange(/*fresh_one_in=*/16);
  SetRange(range, /*odd_one_in=*/24, step);
  switch (Below(8)) {
    case 0:
      step->length2 = step->length;
      break;
    case 1:
      step->length2 = kPageSize;
      break;
    case 2:
      step->length2 = step->length - kPageSize;
      break;
    case 3:
      step->length2 = step->length * 2;
      break;
    case 4:
      step->length2 = DrawCount() * kPageSize;
      if (OneIn(4)) step->length2 += 1;
      break;
    case 5:
      if (OneIn(4)) step->length = 0;
      step->length2 = step->length + kPageSize;
      break;
    case 6:
      step->length2 = OneIn(2) ? 0 : DrawStrangeLength();
      break;
    default:
      step->length2 = step->length + (1 + Below(4)) * kPageSize;
      break;
  }
  if (!memory_is_small() && IsDearToPopulate(step->length2)) {
    step->length2 = kPageSize;
  }
  static constexpr uint32_t kFlags[] = {
      0,
      uapi::kMremapMaymove,
      uapi::kMremapMaymove,
      uapi::kMremapMaymove | uapi::kMremapFixed,
      uapi::kMremapMaymove | uapi::kMremapFixed,
      uapi::kMremapMaymove | uapi::kMremapFixed,
      uapi::kMremapFixed,
      uapi::kMremapMaymove | uapi::kMremapDontunmap,
  };
  step->flags = OneOf(kFlags);
  if ((step->flags & uapi::kMremapDontunmap) != 0 &&
      has(Behaviour::kMremapDontunmap)) {
    if (OneIn(2)) step->flags |= uapi::kMremapFixed;
    if (!OneIn(8)) step->length2 = step->length;
  }
  if (step->flags == (uapi::kMremapMaymove | uapi::kMremapFixed) &&
      has(Behaviour::kMremapMovesSeveral) && OneIn(3)) {
    step->length2 = step->length;
  }
  if (step->flags & (uapi::kMremapFixed | uapi::kMremapDontunmap)) {
    const PageRange target = DrawRange(/*fresh_one_in=*/2);
    step->new_addr = Address::Arena({target.page});
    if (OneIn(32)) step->new_addr.value += 1;
  }
  if (hugetlb() && OneIn(2)) {
    // Pages of the pool move whole, to where one can be.
    step->length2 = step->length;
    step->flags = uapi::kMremapMaymove | uapi::kMremapFixed;
    step->new_addr = Address::Arena({Below(8) * huge_pages()});
  }
}

void Composer::DrawMadvise(Step* step) {
  SetRange(DrawRange(/*fresh_one_in=*/16), /*odd_one_in=*/24, step);
  static constexpr uint32_t kAdvice[] = {
      uapi::kMadvDontneed,  uapi::kMadvDontneed,    uapi::kMadvDontneed,
      uapi::kMadvDontneed,  uapi::kMadvHugepage,    uapi::kMadvHugepage,
      uapi::kMadvFree,      uapi::kMadvFree,        uapi::kMadvRemove,
      uapi::kMadvRemove,    uapi::kMadvDontfork,    uapi::kMadvDofork,
      uapi::kMadvMergeable, uapi::kMadvUnmergeable, uapi::kMadvNohugepage,
      uapi::kMadvWillneed,
  };
  if (config_.transparent_hugepage == TransparentHugepage::kMadvise &&
      OneIn(2)) {
    step->flags = uapi::kMadvHugepage;
  } else if (has(Behaviour::kMadvCold) && OneIn(2)) {
    step->flags = DrawNewAdvice();
  } else if (OneIn(12)) {
    // Now and then any number, those of later kernels included.
    const uint32_t any = static_cast<uint32_t>(Below(30));
    step->flags = any < 28 ? any : uapi::kMadvGuardInstall + (any - 28);
  } else {
    step->flags = OneOf(kAdvice);
  }
}

uint32_t Composer::DrawNewAdvice() {
  static constexpr struct {
    uint32_t advice;
    Behaviour behaviour;
  } kAdvice[] = {
      {uapi::kMadvWipeonfork, Behaviour::kMadvWipeonfork},
      {uapi::kMadvKeeponfork, Behaviour::kMadvWipeonfork},
      {uapi::kMadvCold, Behaviour::kMadvCold},
      {uapi::kMadvPageout, Behaviour::kMadvCold},
      {uapi::kMadvPageout, Behaviour::kMadvCold},
      {uapi::kMadvPopulateRead, Behaviour::kMadvPopulate},
      {uapi::kMadvPopulateWrite, Behaviour::kMadvPopulate},
      {uapi::kMadvDontneedLocked, Behaviour::kMadvDontneedLocked},
      {uapi::kMadvDontneedLocked, Behaviour::kMadvDontneedLocked},
      {uapi::kMadvCollapse, Behaviour::kMadvCollapse},
      {uapi::kMadvGuardInstall, Behaviour::kMadvGuard},
      {uapi::kMadvGuardInstall, Behaviour::kMadvGuard},
      {uapi::kMadvGuardInstall, Behaviour::kMadvGuard},
      {uapi::kMadvGuardRemove, Behaviour::kMadvGuard},
  };
  const auto& drawn = OneOf(kAdvice);
  // What the kernel does not have it is asked for less often.
  return has(drawn.behaviour) || OneIn(8) ? drawn.advice : uapi::kMadvDontneed;
}

void Composer::DrawTouch(Step* step) {
  step->value = Below(3) != 0;
  if (memory_.knows_stacks() && Below(8) < (theme_ == Theme::kStacks ? 6 : 2)) {
    step->addr = DrawBelowStack();
    return;
  }
  step->addr = DrawPage();
  if (OneIn(64)) step->addr = DrawStrangeAddress();
}

// The page below a stack: touching it makes the stack grow.
// REQUIRES: memory_.knows_stacks().
Address Composer::DrawBelowStack() {
  const PageRange stack = memory_.Stack(random_);
  const uint64_t down = Below(4);
  return Address::Arena({stack.page - std::min(stack.page, down)});
}

void Composer::DrawShm(Step* step) {
  step->slot = static_cast<uint8_t>(OneIn(4) ? Below(kShmSlots) : 0);
  switch (step->op) {
    case Op::kShmget:
      step->length = (1 + Below(4)) * kPageSize;
      if (OneIn(8)) step->length -= Below(kPageSize);
      if (OneIn(24)) step->length = DrawStrangeLength();
      if (!memory_is_small() && IsDearToPopulate(step->length)) {
        step->length = kPageSize;
      }
      step->value = OneIn(12);
      break;
    case Op::kShmat: {
      const PageRange range = DrawRange(/*fresh_one_in=*/2);
      step->addr = Address::Arena({range.page});
      static constexpr uint32_t kFlags[] = {0,
                                            0,
                                            0,
                                            uapi::kShmRemap,
                                            uapi::kShmRemap,
                                            uapi::kShmRdonly,
                                            uapi::kShmRdonly | uapi::kShmRemap};
      step->flags = OneOf(kFlags);
      if (OneIn(32)) step->addr.value += 1;
      break;
    }
    default: {
      static constexpr uint32_t kCommands[] = {
          uapi::kShmLock,   uapi::kShmLock,   uapi::kShmLock,
          uapi::kShmUnlock, uapi::kShmUnlock, uapi::kIpcRmid};
      step->flags = OneOf(kCommands);
      if (OneIn(64)) step->flags = static_cast<uint32_t>(Below(16));
      break;
    }
  }
}

void Composer::DrawMlockall(Step* step) {
  static constexpr uint32_t kFlags[] = {
      uapi::kMclCurrent,
      uapi::kMclCurrent,
      uapi::kMclCurrent,
      uapi::kMclCurrent | uapi::kMclFuture,
      uapi::kMclCurrent | uapi::kMclFuture,
      uapi::kMclCurrent | uapi::kMclFuture,
      uapi::kMclFuture,
      uapi::kMclFuture,
      uapi::kMclOnfault,
      uapi::kMclOnfault | uapi::kMclCurrent,
      uapi::kMclOnfault | uapi::kMclCurrent,
      uapi::kMclOnfault | uapi::kMclFuture,
      uapi::kMclOnfault | uapi::kMclCurrent | uapi::kMclFuture,
      uapi::kMclOnfault | uapi::kMclCurrent | uapi::kMclFuture,
      0,
      8 | uapi::kMclCurrent,
  };
  step->flags = OneOf(kFlags);
  // Bytes of a huge mapping are not to be populated one by one.
  if (huge_arena() && !OneIn(4)) step->flags |= uapi::kMclOnfault;
}

void Composer::DrawFields(Step* step) {
  switch (step->op) {
    case Op::kMmap:
      DrawMmap(step);
      return;
    case Op::kMunmap:
      SetRange(DrawRange(/*fresh_one_in=*/16), /*odd_one_in=*/24, step);
      return;
    case Op::kMprotect:
      SetRange(DrawRange(/*fresh_one_in=*/16), /*odd_one_in=*/24, step);
      step->prot = DrawProtection();
      KeepPopulateCheap(step);
      return;
    case Op::kMremap:
      DrawMremap(step);
      return;
    case Op::kBrk:
      step->addr = Address::Heap({Below(8)});
      if (OneIn(16)) step->addr.value += Below(kPageSize);
      if (OneIn(32)) step->addr = DrawStrangeAddress();
      return;
    case Op::kMadvise:
      DrawMadvise(step);
      return;
    case Op::kMsync: {
      SetRange(DrawRange(/*fresh_one_in=*/16), /*odd_one_in=*/16, step);
      static constexpr uint32_t kFlags[] = {
          uapi::kMsAsync,
          uapi::kMsSync,
          uapi::kMsInvalidate,
          uapi::kMsInvalidate | uapi::kMsSync,
          uapi::kMsInvalidate | uapi::kMsAsync,
          uapi::kMsAsync | uapi::kMsSync,
          0,
          8};
      step->flags = OneOf(kFlags);
      return;
    }
    case Op::kMincore:
      SetRange(DrawRange(/*fresh_one_in=*/16), /*odd_one_in=*/16, step);
      return;
    case Op::kMlock:
    case Op::kMunlock:
      SetRange(DrawRange(/*fresh_one_in=*/16), /*odd_one_in=*/16, step);
      return;
    case Op::kMlock2:
      SetRange(DrawRange(/*fresh_one_in=*/16), /*odd_one_in=*/16, step);
      step->flags = OneIn(4) ? 0 : uapi::kMlockOnfault;
      if (OneIn(32)) step->flags = static_cast<uint32_t>(1 + Below(4));
      return;
    case Op::kMlockall:
      DrawMlockall(step);
      return;
    case Op::kFork:
      step->slot = static_cast<uint8_t>(1 + Below(OneIn(16) ? 7 : 2));
      step->value = theme_ == Theme::kStacks ? !OneIn(4) : OneIn(3);
      return;
    case Op::kExit:
      // A program whose only task is gone is over.
      if (step->task == 0 && !OneIn(8)) step->task = 1;
      return;
    case Op::kSetrlimit:
      step->length = DrawLimit();
      return;
    case Op::kSetcap:
      step->value = OneIn(2);
      return;
    case Op::kSetuid:
      step->slot = static_cast<uint8_t>(Below(OneIn(4) ? kUsers : 2));
      return;
    case Op::kShmget:
    case Op::kShmat:
    case Op::kShmctl:
      DrawShm(step);
      return;
    case Op::kShmdt:
    case Op::kReclaim:
    case Op::kIsolate:
    case Op::kPutback:
    case Op::kMigrate:
    case Op::kCollapse:
    case Op::kSplit:
      DrawPageAction(step);
      return;
    case Op::kMemfdSecret:
    case Op::kFtruncate:
      step->slot = static_cast<uint8_t>(OneIn(4) ? Below(kFileSlots) : 0);
      step->length = Below(8) * kPageSize;
      if (OneIn(4)) step->length += Below(kPageSize);
      return;
    case Op::kTouch:
      DrawTouch(step);
      return;
    case Op::kSetCpu:
      step->slot = static_cast<uint8_t>(Below(config_.cpus));
      return;
    case Op::kFailAllocation:
      step->value = static_cast<uint32_t>(Below(OneIn(8) ? 32 : 5));
      return;
    case Op::kSetAllocationZone:
      step->slot = static_cast<uint8_t>(Below(config_.zones));
      return;
    case Op::kFatalSignal:
      // As with exit.
      if (step->task == 0 && OneIn(2)) step->task = 1;
      return;
    case Op::kNone:
    case Op::kMunlockall:
    case Op::kExec:
    case Op::kDrain:
    case Op::kHoldMmapLock:
      return;
  }
}

void Composer::DrawPageAction(Step* step) {
  if (step->op == Op::kReclaim && OneIn(2)) return;  // the whole machine
  step->addr = DrawPage();
  if (step->op == Op::kReclaim) step->value = 1;
  if (step->op == Op::kSplit) step->value = OneIn(4);
}

}  // namespace lockstep::vocabulary_internal
