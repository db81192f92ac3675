// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// A bug in our own code, an impossible state, aborts loudly. Nothing that a
// program does may ever reach one of these.

#ifndef LOCKSTEP_ENGINE_CHECK_H_
#define LOCKSTEP_ENGINE_CHECK_H_

#include <cstdio>
#include <cstdlib>

#define LOCKSTEP_CHECK(condition)                                        \
  do {                                                                   \
    if (!(condition)) [[unlikely]] {                                     \
      std::fprintf(stderr, "%s:%d: bug in Lockstep: %s does not hold\n", \
                   __FILE__, __LINE__, #condition);                      \
      std::abort();                                                      \
    }                                                                    \
  } while (false)

#endif  // LOCKSTEP_ENGINE_CHECK_H_
