// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// A machine to try things on: programs written as text, and short ways to look
// at what they did inside.

#ifndef LOCKSTEP_ENGINE_REFERENCE_REFERENCE_TESTING_H_
#define LOCKSTEP_ENGINE_REFERENCE_REFERENCE_TESTING_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/outcome.h"
#include "engine/program.h"
#include "engine/reference/machine.h"
#include "engine/reference/page_table.h"
#include "engine/reference/reference_engine.h"
#include "engine/units.h"

namespace lockstep::reference {

// "addr { page: 2 } length: 12288".
inline std::string Range(uint64_t page, uint64_t pages) {
  return absl::StrCat("addr { page: ", page, " } length: ", pages * kPageSize);
}
// The fields of an mmap at a fixed place, readable and writable.
inline std::string MmapFields(uint64_t page, uint64_t pages,
                              absl::string_view flags) {
  return absl::StrCat(Range(page, pages),
                      " prot: [READ, WRITE] flags: [FIXED, ", flags, "]");
}
inline std::string MmapAnonymous(uint64_t page, uint64_t pages,
                                 absl::string_view more_flags = "NO_FLAG") {
  return absl::StrCat(
      "mmap { ",
      MmapFields(page, pages, absl::StrCat("PRIVATE, ANONYMOUS, ", more_flags)),
      " }");
}
// File 0 from its start: mappings of it share their pages.
inline std::string MmapFile(uint64_t page, uint64_t pages,
                            absl::string_view more_flags = "NO_FLAG") {
  return absl::StrCat(
      "mmap { ", MmapFields(page, pages, absl::StrCat("SHARED, ", more_flags)),
      " }");
}
inline std::string Mlock(uint64_t page, uint64_t pages) {
  return absl::StrCat("mlock { ", Range(page, pages), " }");
}
inline std::string MlockOnfault(uint64_t page, uint64_t pages) {
  return absl::StrCat("mlock2 { ", Range(page, pages), " flags: ONFAULT }");
}
inline std::string Munlock(uint64_t page, uint64_t pages) {
  return absl::StrCat("munlock { ", Range(page, pages), " }");
}
inline std::string Munmap(uint64_t page, uint64_t pages) {
  return absl::StrCat("munmap { ", Range(page, pages), " }");
}
inline std::string Touch(uint64_t page) {
  return absl::StrCat("touch { addr { page: ", page, " } write: true }");
}
// An action of the environment on a page: "isolate { page { page: 3 } }".
inline std::string Act(absl::string_view action, uint64_t page) {
  return absl::StrCat(action, " { page { page: ", page, " } }");
}
// With an action inside the step.
inline std::string During(absl::string_view step, absl::string_view point,
                          absl::string_view action, uint32_t nth = 0) {
  return absl::StrCat(step, " during { point: \"", point, "\" nth: ", nth, " ",
                      action, " }");
}

class Scene {
 public:
  // The fields of a Config.
  explicit Scene(absl::string_view config)
      : config_(absl::StrCat("config { ", config, " }")) {
    if (!engine_.Reset(Parse(config_).config).ok()) std::abort();
  }

  // The name of the outcome: "OK", "ENOMEM".
  std::string Run(absl::string_view step) {
    // Slots are taken modulo what the configuration has.
    step_ = Parse(absl::StrCat(config_, " steps { ", step, " }")).steps.at(0);
    return std::string(OutcomeName(engine_.Run(step_)));
  }
  // How often the step passes the point.
  int Passages(absl::string_view step, absl::string_view point) {
    Run(During(step, point, "drain {}", std::numeric_limits<uint16_t>::max()));
    return machine().during_passed[0];
  }

  const Machine& machine() const { return engine_.machine(); }
  const VmEvents& events() const { return machine().events; }
  int64_t nr_mlock() const { return machine().nr_mlock[0]; }

  const Mm& mm(int task = 0) const {
    return machine().mms[machine().tasks[task].mm];
  }
  size_t map_count() const { return mm().vmas.size(); }
  const Vma* vma(uint64_t arena_page) const {
    return mm().VmaAt(At(arena_page));
  }
  bool VmLocked(uint64_t arena_page) const {
    return vma(arena_page) != nullptr && vma(arena_page)->Is(kVmLocked);
  }

  // The frame mapped there, 0 if there is none.
  Pfn pfn(uint64_t arena_page, int task = 0) const {
    return Lookup(machine(), machine().tasks[task].mm, At(arena_page)).pfn;
  }
  // The page that carries its flags.
  const Page& page(uint64_t arena_page, int task = 0) const {
    return machine().page(machine().HeadOf(pfn(arena_page, task)));
  }
  bool Resident(uint64_t arena_page) const { return pfn(arena_page) != 0; }
  bool Mlocked(uint64_t arena_page, int task = 0) const {
    return page(arena_page, task).Is(kPageMlocked);
  }
  uint32_t ListSize(Lru lru) const {
    return machine().lruvecs[0].lists[lru].size;
  }

  static Vpn At(uint64_t arena_page) {
    return PageOf(kArenaBase) + Pages{arena_page};
  }

 private:
  static Program Parse(const std::string& text) {
    auto program = ParseProgramText(text, "test");
    if (!program.ok()) {
      std::fprintf(stderr, "%s\n%s\n", program.status().ToString().c_str(),
                   text.c_str());
      std::abort();
    }
    return *std::move(program);
  }

  std::string config_;
  ReferenceEngine engine_;
  Step step_;  // the machine refers to the step it ran last
};

}  // namespace lockstep::reference

#endif  // LOCKSTEP_ENGINE_REFERENCE_REFERENCE_TESTING_H_
