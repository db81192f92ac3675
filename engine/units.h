// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Pages, bytes and addresses are different things: three small types that do
// not convert into each other by themselves.

#ifndef LOCKSTEP_ENGINE_UNITS_H_
#define LOCKSTEP_ENGINE_UNITS_H_

#include <compare>
#include <cstdint>

namespace lockstep {

inline constexpr int kPageShift = 12;
inline constexpr uint64_t kPageSize = uint64_t{1} << kPageShift;
inline constexpr uint64_t kPageMask = ~(kPageSize - 1);
inline constexpr uint64_t kRlimInfinity = ~uint64_t{0};

// x86-64 with four-level page tables.
inline constexpr uint64_t kTaskSize = 0x7ffffffff000;
inline constexpr uint64_t kMmapMinAddr = 0x10000;  // vm.mmap_min_addr
// Where the arena, the heap and mappings without an address of their own are.
inline constexpr uint64_t kArenaBase = 0x200000000000;
inline constexpr uint64_t kHeapBase = 0x100000000000;
inline constexpr uint64_t kMmapBase = 0x7f0000000000;
// Where the process's own image is, all of it that lock calls lock.
inline constexpr uint64_t kImageBase = 0x400000;

// A number of pages.
struct Pages {
  uint64_t n = 0;
  auto operator<=>(const Pages&) const = default;
  constexpr Pages& operator+=(Pages other) { return n += other.n, *this; }
  constexpr Pages& operator-=(Pages other) { return n -= other.n, *this; }
};
constexpr Pages operator+(Pages a, Pages b) { return {a.n + b.n}; }
constexpr Pages operator-(Pages a, Pages b) { return {a.n - b.n}; }

// The number of a virtual page: address / page size.
struct Vpn {
  uint64_t n = 0;
  auto operator<=>(const Vpn&) const = default;
  constexpr Vpn& operator+=(Pages pages) { return n += pages.n, *this; }
  constexpr Vpn& operator++() { return ++n, *this; }
};
constexpr Vpn operator+(Vpn page, Pages pages) { return {page.n + pages.n}; }
constexpr Vpn operator-(Vpn page, Pages pages) { return {page.n - pages.n}; }
constexpr Pages operator-(Vpn a, Vpn b) { return {a.n - b.n}; }

constexpr Vpn PageOf(uint64_t address) { return {address >> kPageShift}; }
constexpr uint64_t AddressOf(Vpn page) { return page.n << kPageShift; }
// PAGE_ALIGN: modulo 2^64, as in the kernel.
constexpr uint64_t PageAlign(uint64_t bytes) {
  return (bytes + kPageSize - 1) & kPageMask;
}
constexpr uint64_t OffsetInPage(uint64_t address) {
  return address & ~kPageMask;
}
// Whole pages of a page-aligned number of bytes.
constexpr Pages PagesOf(uint64_t bytes) { return {bytes >> kPageShift}; }

// The number of a page frame; frame 0 is the zero page.
using Pfn = uint32_t;

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_UNITS_H_
