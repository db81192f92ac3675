// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

// A writer of JSON, as much as --json needs: one object a line.

#ifndef LOCKSTEP_TOOLS_JSON_H_
#define LOCKSTEP_TOOLS_JSON_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace lockstep {

// An object that grows key by key; keys come out in the order they were added.
class JsonObject {
 public:
  JsonObject& Add(absl::string_view key, absl::string_view value);
  JsonObject& Add(absl::string_view key, const char* value) {
    return Add(key, absl::string_view(value));
  }
  JsonObject& Add(absl::string_view key, bool value);
  JsonObject& Add(absl::string_view key, uint64_t value);
  JsonObject& Add(absl::string_view key, double value);
  JsonObject& Add(absl::string_view key, const JsonObject& value);
  JsonObject& Add(absl::string_view key, absl::Span<const JsonObject> values);
  JsonObject& Add(absl::string_view key, absl::Span<const std::string> values);

  // The object, without a line break.
  std::string ToString() const;

 private:
  JsonObject& AddRaw(absl::string_view key, absl::string_view json);
  std::string fields_;
};

// The string with its quotes. Bytes that are not UTF-8 become U+FFFD.
std::string JsonQuote(absl::string_view text);

}  // namespace lockstep

#endif  // LOCKSTEP_TOOLS_JSON_H_
