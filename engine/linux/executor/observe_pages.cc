// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Pages, by /proc/self/pagemap and /proc/kpageflags.

#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "engine/linux/executor/observe.h"
#include "engine/linux/executor/process.h"
#include "engine/linux/executor/raw_syscall.h"
#include "engine/linux/executor/syscalls.h"
#include "engine/linux/wire.h"
#include "engine/uapi.h"
#include "engine/units.h"

namespace lockstep::executor {
namespace {

// Documentation/admin-guide/mm/pagemap.rst.
constexpr uint64_t kPagemapPresent = uint64_t{1} << 63;
constexpr uint64_t kPagemapFile = uint64_t{1} << 61;
constexpr uint64_t kPagemapGuard = uint64_t{1} << 58;
constexpr uint64_t kPagemapPfn = (uint64_t{1} << 55) - 1;
constexpr uint64_t kFlagZeroPage = uint64_t{1} << 24;
constexpr uint64_t kFlagMlocked = uint64_t{1} << 33;  // for kernel hackers

uint64_t pagemap[wire::kMaxArenaPages];

void SetBit(uint64_t* words, uint64_t bit) {
  words[bit / 64] |= uint64_t{1} << bit % 64;
}

struct Bitmaps {
  uint64_t *present, *mlocked, *file_or_shared, *zero, *guard;
};

// KPF_MLOCKED and KPF_ZERO_PAGE of the present pages among the first `pages`. A
// read each: frames of neighbouring pages are seldom neighbours.
void ReadFlags(uint64_t pages, const Bitmaps& bitmaps) {
  for (uint64_t page = 0; page < pages; ++page) {
    uint64_t pfn = pagemap[page] & kPagemapPfn;
    if ((pagemap[page] & kPagemapPresent) == 0 || pfn == 0) continue;
    uint64_t flags = 0;
    int64_t got =
        Pread(kKpageflagsFd, &flags, sizeof(flags), pfn * sizeof(flags));
    if (got != sizeof(flags)) Fatal(got < 0 ? static_cast<int>(-got) : EIO);
    if ((flags & kFlagMlocked) != 0) SetBit(bitmaps.mlocked, page);
    if ((flags & kFlagZeroPage) != 0) SetBit(bitmaps.zero, page);
  }
}

// pagemap of [first, end) of the model's pages, into its place from `start`.
void ReadPagemap(uint64_t start, uint64_t first, uint64_t end) {
  uint64_t real = PageOf(ToReal(process.layout, first << kPageShift)).n;
  uint64_t bytes = (end - first) * sizeof(uint64_t);
  int64_t got = Pread(kPagemapFd, pagemap + (first - start), bytes,
                      real * sizeof(uint64_t));
  if (got != static_cast<int64_t>(bytes)) Fatal(got < 0 ? -got : EIO);
}

}  // namespace

bool GuardsAreShown() {
  const int64_t place =
      RawSyscall(SYS_mmap, 0, kPageSize, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (place < 0) Fatal(static_cast<int>(-place));
  const auto address = static_cast<uint64_t>(place);
  uint64_t entry = 0;
  bool shown = RawSyscall(SYS_madvise, address, kPageSize,
                          uapi::kMadvGuardInstall) == 0 &&
               Pread(kPagemapFd, &entry, sizeof entry,
                     PageOf(address).n * sizeof entry) == sizeof entry &&
               (entry & kPagemapGuard) != 0;
  RawSyscall(SYS_munmap, address, kPageSize);
  return shown;
}

void ObservePages(uint64_t start, uint64_t pages, const RangeList& list,
                  Writer* writer) {
  uint64_t words = wire::BitmapWords(pages);
  auto* bits = static_cast<uint64_t*>(
      writer->AppendBytes(wire::kBitmaps * words * sizeof(uint64_t)));
  Bitmaps bitmaps{bits, bits + words, bits + 2 * words, bits + 3 * words,
                  bits + 4 * words};
  // From the first mapped page to the last one.
  uint64_t first = start + pages, end = start;
  for (int i = 0; i < list.count; ++i) {
    const wire::RangeRecord& range = list.ranges[i];
    if (range.end <= start || range.start >= start + pages) continue;
    first = std::min(first, std::max(range.start, start));
    end = std::max(end, std::min(range.end, start + pages));
  }
  if (first >= end) return;
  ReadPagemap(start, first, end);
  uint64_t count = end - first;
  // Pages before `first` are not mapped: no entry of an earlier look counts.
  for (uint64_t page = 0; page < first - start; ++page) pagemap[page] = 0;
  for (uint64_t page = first - start; page < first - start + count; ++page) {
    if ((pagemap[page] & kPagemapGuard) != 0 && process.shows_guards) {
      SetBit(bitmaps.guard, page);
    }
    if ((pagemap[page] & kPagemapPresent) == 0) continue;
    SetBit(bitmaps.present, page);
    if ((pagemap[page] & kPagemapFile) != 0) {
      SetBit(bitmaps.file_or_shared, page);
    }
  }
  if (process.has_kpageflags) ReadFlags(end - start, bitmaps);
}

}  // namespace lockstep::executor
