// SPDX-License-Identifier: Apache-2.0
#include "nibble/base/utf8.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace nibble {
namespace {

TEST(Utf8, EveryCodePointSurvivesWritingAndReading) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    append_utf8(text, c);
    size_t at = 0;
    ASSERT_EQ(next_code_point(text, at), c);
    ASSERT_EQ(at, text.size());
    ASSERT_TRUE(is_valid_utf8(text));
  }
}

TEST(Utf8, RepairsEachMaximalInvalidPartOnce) {
  EXPECT_EQ(repair_utf8("plain \xC3\xA9"), "plain \xC3\xA9");
  EXPECT_EQ(repair_utf8("a\xFF\xFEz"), "a\xEF\xBF\xBD\xEF\xBF\xBDz");
  EXPECT_EQ(repair_utf8("\xE2\x82"), "\xEF\xBF\xBD");    // cut short
  EXPECT_EQ(repair_utf8("\xE2\x82x"), "\xEF\xBF\xBDx");  // cut by another character
  EXPECT_EQ(repair_utf8("\xF0\x9F\x98"), "\xEF\xBF\xBD");
  EXPECT_EQ(repair_utf8("\xC0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD");  // overlong
  // A lone surrogate is three invalid bytes, since ED may not be followed by A0.
  EXPECT_EQ(repair_utf8("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(repair_utf8("\xF4\x90\x80\x80"),
            "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");  // above U+10FFFF
}

TEST(Utf8, TellsAnUnfinishedCharacterFromABrokenOne) {
  EXPECT_EQ(examine_utf8("\xF0\x9F").kind, Utf8Unit::Kind::kIncomplete);
  EXPECT_EQ(examine_utf8("\xF0\x20").kind, Utf8Unit::Kind::kInvalid);
  EXPECT_EQ(examine_utf8("\x80").kind, Utf8Unit::Kind::kInvalid);
  EXPECT_EQ(examine_utf8("\xC3\xA9x").length, 2u);
}

TEST(Utf8, CharacterClasses) {
  EXPECT_TRUE(is_whitespace(0x85));
  EXPECT_TRUE(is_whitespace(0x3000));
  EXPECT_FALSE(is_whitespace(0x180E));  // white space in old Unicode only
  EXPECT_TRUE(is_numeric(0xBD));        // one half
  EXPECT_TRUE(is_punctuation('$'));
  EXPECT_TRUE(is_punctuation(0x3002));
  EXPECT_FALSE(is_punctuation(0x20AC));  // the euro sign is a symbol
  EXPECT_TRUE(is_word('_'));
  EXPECT_TRUE(is_word(0x301));
  EXPECT_FALSE(is_word('-'));
}

}  // namespace
}  // namespace nibble
