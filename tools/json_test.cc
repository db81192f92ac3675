// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/json.h"

#include <limits>
#include <vector>

#include "gtest/gtest.h"

namespace lockstep {
namespace {

TEST(Json, QuotesWhatNeedsIt) {
  EXPECT_EQ(JsonQuote("a\"b\\c\n\x01"), "\"a\\\"b\\\\c\\u000a\\u0001\"");
}

TEST(Json, KeepsUtf8AndReplacesOtherBytes) {
  EXPECT_EQ(JsonQuote("\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\x92"),
            "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\x92\"");
  // A lone byte, an overlong form, a surrogate, a character cut short.
  EXPECT_EQ(JsonQuote("\xff"), "\"\\ufffd\"");
  EXPECT_EQ(JsonQuote("\xc0\xaf"), "\"\\ufffd\\ufffd\"");
  EXPECT_EQ(JsonQuote("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\"");
  EXPECT_EQ(JsonQuote("x\xe2\x82"), "\"x\\ufffd\\ufffd\"");
}

TEST(Json, WritesObjectsInOrder) {
  JsonObject inner;
  inner.Add("n", ~uint64_t{0});
  JsonObject outer;
  outer.Add("text", "x")
      .Add("flag", true)
      .Add("rate", 1.5)
      .Add("none", std::numeric_limits<double>::infinity())
      .Add("inner", inner)
      .Add("list", std::vector<JsonObject>{inner, inner})
      .Add("words", std::vector<std::string>{"a", "b"});
  EXPECT_EQ(outer.ToString(),
            "{\"text\":\"x\",\"flag\":true,\"rate\":1.5,\"none\":null,"
            "\"inner\":{\"n\":18446744073709551615},"
            "\"list\":[{\"n\":18446744073709551615},"
            "{\"n\":18446744073709551615}],\"words\":[\"a\",\"b\"]}");
}

}  // namespace
}  // namespace lockstep
