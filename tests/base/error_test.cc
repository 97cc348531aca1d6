// SPDX-License-Identifier: Apache-2.0
#include "nibble/base/error.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

TEST(Error, ReadsAsOneLine) {
  const Error error = Error("wrong shape")
                          .file("a.safetensors")
                          .tensor("w")
                          .expected("[4, 8]")
                          .got("[8, 4]")
                          .at_byte(16)
                          .hint("convert it again");
  EXPECT_STREQ(error.what(),
               "a.safetensors: tensor 'w': wrong shape: expected [4, 8], got [8, 4] (at byte 16); "
               "convert it again");
}

TEST(Error, EscapesHostileNames) {
  const Error error = Error("unknown tensor").tensor("a\nb\x1b[31m");
  EXPECT_STREQ(error.what(), "tensor 'a\\x0ab\\x1b[31m': unknown tensor");
  EXPECT_LT(std::string(Error("x").got(std::string(100000, 'y')).what()).size(), 300u);
}

}  // namespace
}  // namespace nibble
