// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/json.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace lockstep {
namespace {

// The length of the UTF-8 character that `text` begins with, 0 if it begins
// with none.
size_t Utf8Length(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  size_t length;
  uint8_t low = 0x80, high = 0xbf;  // bounds of the second byte
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) {
    length = 2;
  } else if (first >= 0xe0 && first <= 0xef) {
    length = 3;
    if (first == 0xe0) low = 0xa0;
    if (first == 0xed) high = 0x9f;
  } else if (first >= 0xf0 && first <= 0xf4) {
    length = 4;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;
  } else {
    return 0;
  }
  if (text.size() < length || byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xbf) return 0;
  }
  return length;
}

template <typename T, typename Format>
std::string Array(absl::Span<const T> values, Format format) {
  std::string json = "[";
  for (const T& value : values) {
    absl::StrAppend(&json, json.size() == 1 ? "" : ",", format(value));
  }
  return absl::StrCat(json, "]");
}

}  // namespace

std::string JsonQuote(absl::string_view text) {
  std::string json = "\"";
  while (!text.empty()) {
    const char c = text[0];
    const size_t length = Utf8Length(text);
    if (length == 0) {
      absl::StrAppend(&json, "\\ufffd");
    } else if (c == '"' || c == '\\') {
      json += '\\';
      json += c;
    } else if (static_cast<uint8_t>(c) < 0x20) {
      absl::StrAppendFormat(&json, "\\u%04x", c);
    } else {
      json.append(text.data(), length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return json + "\"";
}

JsonObject& JsonObject::AddRaw(absl::string_view key, absl::string_view json) {
  absl::StrAppend(&fields_, fields_.empty() ? "" : ",", JsonQuote(key), ":",
                  json);
  return *this;
}

JsonObject& JsonObject::Add(absl::string_view key, absl::string_view value) {
  return AddRaw(key, JsonQuote(value));
}
JsonObject& JsonObject::Add(absl::string_view key, bool value) {
  return AddRaw(key, value ? "true" : "false");
}
JsonObject& JsonObject::Add(absl::string_view key, uint64_t value) {
  return AddRaw(key, absl::StrCat(value));
}
JsonObject& JsonObject::Add(absl::string_view key, double value) {
  // JSON has neither infinities nor NaN.
  return AddRaw(key,
                std::isfinite(value) ? absl::StrFormat("%.6g", value) : "null");
}
JsonObject& JsonObject::Add(absl::string_view key, const JsonObject& value) {
  return AddRaw(key, value.ToString());
}
JsonObject& JsonObject::Add(absl::string_view key,
                            absl::Span<const JsonObject> values) {
  return AddRaw(
      key, Array(values, [](const JsonObject& v) { return v.ToString(); }));
}
JsonObject& JsonObject::Add(absl::string_view key,
                            absl::Span<const std::string> values) {
  return AddRaw(
      key, Array(values, [](const std::string& v) { return JsonQuote(v); }));
}

std::string JsonObject::ToString() const {
  return absl::StrCat("{", fields_, "}");
}

}  // namespace lockstep
