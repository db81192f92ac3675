// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// A small random generator with the same stream on every compiler and library
// (std::uniform_int_distribution is not). Streams of neighbouring seeds are
// unrelated: the seed goes through a mixing function.

#ifndef LOCKSTEP_PROPS_RANDOM_H_
#define LOCKSTEP_PROPS_RANDOM_H_

#include <cstdint>

namespace lockstep {

// SplitMix64's finaliser.
constexpr uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

class Random {
 public:
  explicit constexpr Random(uint64_t seed) : state_(Mix(seed)) {}
  // The stream of item `index` of a hunt with this seed.
  constexpr Random(uint64_t seed, uint64_t index)
      : state_(Mix(Mix(seed) ^ Mix(index + 0x6a09e667f3bcc909))) {}

  constexpr uint64_t Next() { return Mix(state_++ * 0xd1342543de82ef95); }
  // Uniform in [0, n); n > 0.
  constexpr uint64_t Below(uint64_t n) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(Next()) * n) >>
                                 64);
  }
  // True once in n times on average.
  constexpr bool OneIn(uint64_t n) { return Below(n) == 0; }

 private:
  uint64_t state_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_PROPS_RANDOM_H_
