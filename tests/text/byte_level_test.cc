// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/byte_level.h"

#include <gtest/gtest.h>

#include <string>

#include "nibble/base/utf8.h"

namespace nibble {
namespace {

TEST(ByteLevel, EveryByteSurvivesTheAlphabet) {
  std::string bytes, text, back;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  append_byte_level(text, bytes);
  EXPECT_TRUE(is_valid_utf8(text));
  append_byte_level_decoded(back, text);
  EXPECT_EQ(back, bytes);
  std::string space;
  append_byte_level(space, " ");
  EXPECT_EQ(space, "\xC4\xA0");  // U+0120
}

TEST(ByteLevel, TokenOutsideTheAlphabetIsPlainText) {
  std::string out = "x";
  append_byte_level_decoded(out, "a\xE2\x82\xAC");  // the euro sign
  EXPECT_EQ(out, "xa\xE2\x82\xAC");
}

}  // namespace
}  // namespace nibble
