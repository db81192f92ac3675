// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/options.h"

#include <algorithm>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace lockstep {
namespace {

// The column in which the help of an option begins.
constexpr size_t kHelpColumn = 22;

std::string Usage(const Option& option) {
  if (option.argument.empty()) return std::string(option.name);
  return absl::StrCat(option.name, "=", option.argument);
}

const Option* Find(absl::Span<const Option> options, absl::string_view name) {
  for (const Option& option : options) {
    if (option.name == name) return &option;
  }
  return nullptr;
}

absl::Status UnknownOption(absl::Span<const Option> options,
                           absl::string_view name) {
  std::vector<absl::string_view> known;
  for (const Option& option : options) known.push_back(option.name);
  if (known.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": this command has no options"));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      name, ": unknown option, expected one of ", absl::StrJoin(known, ", ")));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseOptions(
    absl::Span<const Option> options, absl::Span<const std::string> args) {
  std::vector<std::string> rest;
  for (size_t i = 0; i < args.size(); ++i) {
    const absl::string_view arg = args[i];
    if (arg == "--") {
      rest.insert(rest.end(), args.begin() + i + 1, args.end());
      break;
    }
    if (arg.size() < 2 || arg[0] != '-') {
      rest.emplace_back(arg);
      continue;
    }
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(arg, absl::MaxSplits('=', 1));
    const bool has_value = absl::StrContains(arg, '=');
    const Option* option = Find(options, parts.first);
    if (option == nullptr) return UnknownOption(options, parts.first);
    absl::string_view value = parts.second;
    if (option->argument.empty() && has_value) {
      return absl::InvalidArgumentError(
          absl::StrCat(arg, ": expected ", option->name, " without a value"));
    }
    if (!option->argument.empty() && !has_value) {
      if (i + 1 == args.size()) {
        return absl::InvalidArgumentError(
            absl::StrCat(option->name, ": expected a value: ", Usage(*option)));
      }
      value = args[++i];
    }
    if (absl::Status status = option->set(value); !status.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(option->name, "=", value, ": ", status.message()));
    }
  }
  return rest;
}

std::string FormatOptions(absl::Span<const Option> options) {
  std::string text;
  for (const Option& option : options) {
    std::string line = absl::StrCat("  ", Usage(option));
    for (absl::string_view part : absl::StrSplit(option.help, '\n')) {
      if (line.size() + 2 > kHelpColumn && !line.empty()) {
        absl::StrAppend(&text, line, "\n");
        line.clear();
      }
      line.resize(kHelpColumn, ' ');
      absl::StrAppend(&text, line, part, "\n");
      line.clear();
    }
  }
  return text;
}

Option SwitchOption(absl::string_view name, std::string help, bool* target) {
  return {name, "", std::move(help), [target](absl::string_view) {
            *target = true;
            return absl::OkStatus();
          }};
}

Option StringOption(absl::string_view name, absl::string_view argument,
                    std::string help, std::string* target) {
  return {name, argument, std::move(help), [target](absl::string_view value) {
            if (value.empty()) {
              return absl::InvalidArgumentError("expected a value");
            }
            *target = std::string(value);
            return absl::OkStatus();
          }};
}

Option CountOption(absl::string_view name, absl::string_view argument,
                   std::string help, uint64_t* target) {
  return {name, argument, std::move(help), [target](absl::string_view value) {
            absl::StatusOr<uint64_t> count = ParseCount(value);
            if (count.ok()) *target = *count;
            return count.status();
          }};
}

absl::StatusOr<uint64_t> ParseCount(absl::string_view text) {
  const absl::Status malformed = absl::InvalidArgumentError(
      "expected a whole number such as 250, 10k or 10M");
  uint64_t unit = 1;
  absl::string_view digits = text;
  if (absl::ConsumeSuffix(&digits, "k")) {
    unit = 1'000;
  } else if (absl::ConsumeSuffix(&digits, "M")) {
    unit = 1'000'000;
  } else if (absl::ConsumeSuffix(&digits, "G")) {
    unit = 1'000'000'000;
  }
  uint64_t number = 0;
  // SimpleAtoi takes signs and spaces, which are no part of a count.
  if (digits.empty() ||
      !std::all_of(digits.begin(), digits.end(),
                   [](char c) { return c >= '0' && c <= '9'; }) ||
      !absl::SimpleAtoi(digits, &number)) {
    return malformed;
  }
  if (number > std::numeric_limits<uint64_t>::max() / unit) {
    return absl::InvalidArgumentError("expected a number below 2^64");
  }
  return number * unit;
}

absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text) {
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration) ||
      duration <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        "expected a time such as 500ms, 60s, 5m or 1h");
  }
  return duration;
}

}  // namespace lockstep
