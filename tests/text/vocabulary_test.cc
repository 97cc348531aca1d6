// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/vocabulary.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

// Found by fuzzing: the hash of a view that points to nothing copied no bytes from a null pointer.
TEST(Vocabulary, AnEmptyTextIsATextLikeAnother) {
  Vocabulary vocabulary;
  EXPECT_EQ(vocabulary.find({}), -1);
  vocabulary.add({}, 3);
  vocabulary.add("a", 4);
  EXPECT_EQ(vocabulary.find({}), 3);
  EXPECT_EQ(vocabulary.find("a"), 4);
  EXPECT_EQ(vocabulary.find("b"), -1);
  EXPECT_EQ(vocabulary.token(3), "");
  EXPECT_EQ(vocabulary.size(), 2);
}

}  // namespace
}  // namespace nibble
