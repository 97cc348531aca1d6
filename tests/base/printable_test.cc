// SPDX-License-Identifier: Apache-2.0
#include "nibble/base/printable.h"

#include <gtest/gtest.h>

#include "nibble/base/utf8.h"

namespace nibble {
namespace {

TEST(Printable, LeavesHonestTextAlone) {
  for (const char* text : {"", "model.layers.0.mlp.up_proj", "Größe 世界 😀", "a\\nb"}) {
    EXPECT_EQ(printable(text), text);
  }
}

TEST(Printable, EscapesWhatBreaksALineOrSteersATerminal) {
  EXPECT_EQ(printable("a\nb\r\t\x1b[31m\x7f"), "a\\x0ab\\x0d\\x09\\x1b[31m\\x7f");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(printable("\xc2\x9b"), "\\x9b");  // the one-character form of ESC [
  EXPECT_EQ(printable("\xe2\x80\xa8"), "\\u2028");
  EXPECT_EQ(printable("safe\xe2\x80\xaetxt.exe"), "safe\\u202etxt.exe");
}

TEST(Printable, EscapesBytesThatAreNoUtf8) {
  EXPECT_EQ(printable("a\xff\xe4\xb8z"), "a\\xff\\xe4\\xb8z");
  EXPECT_TRUE(is_valid_utf8(printable("\xed\xa0\x80\xf5")));
}

TEST(Printable, CutsBetweenCharacters) {
  EXPECT_EQ(printable("abcdef", 3), "abc...");
  EXPECT_EQ(printable("abc", 3), "abc");
  EXPECT_EQ(printable("aöö", 4), "aö...");
  EXPECT_EQ(printable("aöö", 5), "aöö");
  EXPECT_EQ(printable("ö", 0), "...");
}

}  // namespace
}  // namespace nibble
