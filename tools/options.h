// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// Command line options as data: a command describes each of its options by one
// row, and parsing, errors and help come from the rows.

#ifndef LOCKSTEP_TOOLS_OPTIONS_H_
#define LOCKSTEP_TOOLS_OPTIONS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace lockstep {

struct Option {
  absl::string_view name;  // "--kernel"
  absl::string_view
      argument;  // what stands for it in the help; empty: a switch
  std::string help;
  // Takes the argument (empty for a switch). An error says what was expected;
  // the option and the value are put before it.
  std::function<absl::Status(absl::string_view value)> set;
};

// Sets the options that `args` hold ("--name=value", "--name value",
// "--switch") and returns what is left. Everything after "--" is left as it is.
absl::StatusOr<std::vector<std::string>> ParseOptions(
    absl::Span<const Option> options, absl::Span<const std::string> args);

// The rows as lines of a help text.
std::string FormatOptions(absl::Span<const Option> options);

// Rows whose setter stores into *target, which outlives them.
Option SwitchOption(absl::string_view name, std::string help, bool* target);
Option StringOption(absl::string_view name, absl::string_view argument,
                    std::string help, std::string* target);
Option CountOption(absl::string_view name, absl::string_view argument,
                   std::string help, uint64_t* target);

// "250", "10k", "10M", "2G": decimal thousands.
absl::StatusOr<uint64_t> ParseCount(absl::string_view text);
// "500ms", "60s", "5m", "1h"; more than nothing.
absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text);

}  // namespace lockstep

#endif  // LOCKSTEP_TOOLS_OPTIONS_H_
