// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/real_engine.h"

#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace lockstep {

bool IsRealEngine(absl::string_view engine) {
  return engine == "host" ||
         (absl::StartsWith(engine, "guest:") && engine != "guest:");
}

void RealEngine::Apply(Config* config) const {
  config->SetProfile(*profile);
  config->defects = defects;
}

std::string RealEngine::Label() const {
  return absl::StrCat(kernel->name(), " ", kernel->release());
}

absl::StatusOr<RealEngine> OpenRealEngine(absl::string_view command,
                                          absl::string_view engine,
                                          absl::string_view profile_name,
                                          absl::string_view defects,
                                          const KernelOptions& options) {
  RealEngine real;
  absl::StatusOr<std::unique_ptr<Kernel>> kernel = MakeKernel(engine, options);
  if (!kernel.ok()) {
    // Whatever keeps it away, here it cannot be had; a file that is no kernel
    // is the caller's mistake.
    return absl::IsInvalidArgument(kernel.status())
               ? kernel.status()
               : absl::UnavailableError(kernel.status().message());
  }
  real.kernel = *std::move(kernel);
  const auto say = [command](absl::string_view line) {
    std::fputs(absl::StrCat("lockstep ", command, ": ", line, "\n").c_str(),
               stderr);
  };
  for (const std::string& limitation : real.kernel->limitations()) {
    say(absl::StrCat(real.kernel->name(), ": ", limitation));
  }
  if (profile_name.empty() || profile_name == "host") {
    const ProfileChoice choice = ProfileFor(real.kernel->release());
    real.profile = choice.profile;
    if (!choice.remark.empty()) say(choice.remark);
  } else {
    absl::StatusOr<const Profile*> profile = FindProfile(profile_name);
    if (!profile.ok()) return profile.status();
    real.profile = *profile;
  }
  absl::StatusOr<DefectSet> set = ParseDefects(*real.profile, defects);
  if (!set.ok()) return set.status();
  real.defects = *set;
  return real;
}

std::string WhyRefused(const Program& program, const Trace& trace) {
  if (trace.end != wire::End::kRefused) return "";
  const Config& config = program.config;
  if (config.arena_pages > wire::kMaxArenaPages) {
    return absl::StrCat("its arena has ", config.arena_pages,
                        " pages, a real kernel is given at most ",
                        wire::kMaxArenaPages);
  }
  std::string why = absl::StrCat("its configuration cannot be had here: limit ",
                                 config.memlock_limit == kRlimInfinity
                                     ? std::string("RLIM_INFINITY")
                                     : absl::StrCat(config.memlock_limit),
                                 ", uid slot ", config.uid,
                                 config.cap_ipc_lock ? ", CAP_IPC_LOCK" : "");
  if (config.nr_hugepages != 0) {
    absl::StrAppend(&why, ", ", config.nr_hugepages, " huge pages");
  }
  if (trace.signal != 0) {
    absl::StrAppend(&why, " (", std::strerror(trace.signal), ")");
  }
  return why;
}

}  // namespace lockstep
