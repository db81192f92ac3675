// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// ProfileFor: which profile speaks for a kernel release.

#include <compare>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/linux/kernel.h"
#include "engine/profile.h"

namespace lockstep {
namespace {

struct Version {
  uint32_t major = 0, minor = 0;
  auto operator<=>(const Version&) const = default;
};

// A number at the start of the text, which is cut off.
std::optional<uint32_t> CutNumber(absl::string_view* text) {
  size_t digits = 0;
  while (digits < text->size() && absl::ascii_isdigit((*text)[digits])) {
    ++digits;
  }
  uint32_t number;
  if (!absl::SimpleAtoi(text->substr(0, digits), &number)) return std::nullopt;
  text->remove_prefix(digits);
  return number;
}

// "6.18.44-fc": 6.18.
std::optional<Version> ParseVersion(absl::string_view text) {
  const std::optional<uint32_t> major = CutNumber(&text);
  if (!major || text.empty() || text.front() != '.') return std::nullopt;
  text.remove_prefix(1);
  const std::optional<uint32_t> minor = CutNumber(&text);
  if (!minor) return std::nullopt;
  return Version{*major, *minor};
}

// Profiles are named "v6.18".
Version VersionOf(const Profile& profile) {
  return ParseVersion(profile.name.substr(1)).value_or(Version());
}

}  // namespace

ProfileChoice ProfileFor(absl::string_view release) {
  const Profile* oldest = &AllProfiles().front();
  const Profile* newest = oldest;
  for (const Profile& profile : AllProfiles()) {
    if (VersionOf(profile) < VersionOf(*oldest)) oldest = &profile;
    if (VersionOf(profile) > VersionOf(*newest)) newest = &profile;
  }
  const std::optional<Version> version = ParseVersion(release);
  if (!version) {
    return {newest, absl::StrCat("kernel release \"", release,
                                 "\" has no version number; it is compared "
                                 "with the newest profile, ",
                                 newest->name)};
  }
  const Profile* fits = nullptr;
  for (const Profile& profile : AllProfiles()) {
    if (VersionOf(profile) > *version) continue;
    if (fits == nullptr || VersionOf(profile) > VersionOf(*fits)) {
      fits = &profile;
    }
  }
  if (fits == nullptr) {
    return {oldest, absl::StrCat("kernel ", release,
                                 " is older than every profile; it is "
                                 "compared with the oldest, ",
                                 oldest->name)};
  }
  if (VersionOf(*fits) == *version) return {fits, ""};
  return {fits, absl::StrCat("kernel ", release,
                             fits == newest ? " is newer than every profile"
                                            : " has no profile of its own",
                             "; it is compared with ", fits->name)};
}

}  // namespace lockstep
