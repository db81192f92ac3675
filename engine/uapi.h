// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The numbers of the system call interface that programs use, as on x86-64.
// Own names, so that headers of any age will do.

#ifndef LOCKSTEP_ENGINE_UAPI_H_
#define LOCKSTEP_ENGINE_UAPI_H_

#include <cstdint>

namespace lockstep::uapi {

// IS_ERR_VALUE: what a call returns as an errno, of which there are 4095.
constexpr bool IsErrValue(uint64_t value) { return value >= -uint64_t{4095}; }

inline constexpr uint32_t kProtRead = 1;
inline constexpr uint32_t kProtWrite = 2;
inline constexpr uint32_t kProtExec = 4;

inline constexpr uint32_t kMapShared = 0x01;
inline constexpr uint32_t kMapPrivate = 0x02;
inline constexpr uint32_t kMapSharedValidate = 0x03;
inline constexpr uint32_t kMapDroppable = 0x08;
inline constexpr uint32_t kMapType = 0x0f;
inline constexpr uint32_t kMapFixed = 0x10;
inline constexpr uint32_t kMapAnonymous = 0x20;
inline constexpr uint32_t kMapGrowsdown = 0x100;
inline constexpr uint32_t kMapLocked = 0x2000;
inline constexpr uint32_t kMapNoreserve = 0x4000;
inline constexpr uint32_t kMapPopulate = 0x8000;
inline constexpr uint32_t kMapNonblock = 0x10000;
inline constexpr uint32_t kMapStack = 0x20000;
inline constexpr uint32_t kMapHugetlb = 0x40000;
inline constexpr uint32_t kMapFixedNoreplace = 0x100000;
// LEGACY_MAP_MASK: what MAP_SHARED_VALIDATE takes on any file. The
// bits from 26 on are sizes of huge pages.
inline constexpr uint32_t kMapLegacyMask =
    kMapShared | kMapPrivate | kMapFixed | kMapAnonymous | 0x40 | 0x80 |
    kMapGrowsdown | 0x800 | 0x1000 | kMapLocked | 0x4000 | kMapPopulate |
    kMapNonblock | kMapStack | kMapHugetlb | (21u << 26) | (30u << 26);

inline constexpr uint32_t kMremapMaymove = 1;
inline constexpr uint32_t kMremapFixed = 2;
inline constexpr uint32_t kMremapDontunmap = 4;

inline constexpr uint32_t kMsAsync = 1;
inline constexpr uint32_t kMsInvalidate = 2;
inline constexpr uint32_t kMsSync = 4;

inline constexpr uint32_t kMlockOnfault = 1;
inline constexpr uint32_t kMclCurrent = 1;
inline constexpr uint32_t kMclFuture = 2;
inline constexpr uint32_t kMclOnfault = 4;

inline constexpr uint32_t kMadvNormal = 0;
inline constexpr uint32_t kMadvRandom = 1;
inline constexpr uint32_t kMadvSequential = 2;
inline constexpr uint32_t kMadvWillneed = 3;
inline constexpr uint32_t kMadvDontneed = 4;
inline constexpr uint32_t kMadvFree = 8;
inline constexpr uint32_t kMadvRemove = 9;
inline constexpr uint32_t kMadvDontfork = 10;
inline constexpr uint32_t kMadvDofork = 11;
inline constexpr uint32_t kMadvMergeable = 12;
inline constexpr uint32_t kMadvUnmergeable = 13;
inline constexpr uint32_t kMadvHugepage = 14;
inline constexpr uint32_t kMadvNohugepage = 15;
inline constexpr uint32_t kMadvDontdump = 16;
inline constexpr uint32_t kMadvDodump = 17;
inline constexpr uint32_t kMadvWipeonfork = 18;
inline constexpr uint32_t kMadvKeeponfork = 19;
inline constexpr uint32_t kMadvCold = 20;
inline constexpr uint32_t kMadvPageout = 21;
inline constexpr uint32_t kMadvPopulateRead = 22;
inline constexpr uint32_t kMadvPopulateWrite = 23;
inline constexpr uint32_t kMadvDontneedLocked = 24;
inline constexpr uint32_t kMadvCollapse = 25;
inline constexpr uint32_t kMadvGuardInstall = 102;
inline constexpr uint32_t kMadvGuardRemove = 103;

inline constexpr uint32_t kShmRdonly = 010000;
inline constexpr uint32_t kShmRemap = 040000;
inline constexpr uint32_t kIpcRmid = 0;
inline constexpr uint32_t kShmLock = 11;
inline constexpr uint32_t kShmUnlock = 12;

}  // namespace lockstep::uapi

#endif  // LOCKSTEP_ENGINE_UAPI_H_
