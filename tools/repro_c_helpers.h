// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// The pieces of C that reproducers are put together from. Each is there only if
// the program needs it, so that a reproducer reads as if written by hand and
// compiles without a warning about unused functions.

#ifndef LOCKSTEP_TOOLS_REPRO_C_HELPERS_H_
#define LOCKSTEP_TOOLS_REPRO_C_HELPERS_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace lockstep {

enum CHelper : uint32_t {
  kCBase = 1 << 0,        // exit statuses, arena, cannot_run()
  kCLocked = 1 << 1,      // locked(): VmLck
  kCResident = 1 << 2,    // residency(): pagemap
  kCTouch = 1 << 3,       // touch()
  kCLimit = 1 << 4,       // set_limit()
  kCCapability = 1 << 5,  // set_capability()
  kCHeap = 1 << 6,        // heap
  kCImage = 1 << 7,       // what mlockall locks besides the program's memory
  kCFiles = 1 << 8,       // file[]
  kCShm = 1 << 9,         // segment[]
  kCUser = 1 << 10,       // become_user()
  kCMlock2 = 1 << 11,     // SYS_mlock2
  kCTasks = 1 << 12,      // several processes in step
  kCCounter = 1 << 13,    // nr_mlock over many rounds
  kCDisturb = 1 << 14,    // isolate pages from outside
  kCStatus = 1 << 15,     // status_pages()
  kCBrk = 1 << 16,        // move_brk()
  kCMincore = 1 << 17,    // the vector
  kCFork = 1 << 18,       // fork_task()
  kCExec = 1 << 19,       // exec_task()
  kCAttach = 1 << 21,     // attach()
  kCControl = 1 << 22,    // control()
  kCImageSize = 1 << 23,  // image_pages()
  kCExpect = 1 << 24,     // expect()
  kCOneTask = 1 << 20,    // all steps in one process
  kCDontunmap = 1 << 25,  // mremap_dontunmap()
  kCMlocked = 1 << 26,    // mlocked(): kpageflags
};

struct CHelperText {
  uint32_t helper;             // a CHelper
  uint32_t needs;              // CHelpers that it calls
  absl::string_view includes;  // header names, separated by spaces
  absl::string_view code;
};
// In an order in which every piece stands after those it needs.
absl::Span<const CHelperText> AllCHelpers();

// The helpers together with everything they need.
uint32_t WithNeeds(uint32_t helpers);

}  // namespace lockstep

#endif  // LOCKSTEP_TOOLS_REPRO_C_HELPERS_H_
