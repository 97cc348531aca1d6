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

TEST(Error, IsOnePrintableLineWhateverIsInIt) {
  EXPECT_STREQ(Error("key 'a\nb' is bad").file("x\r.gguf").hint("not '\x1b]0;title\x07'").what(),
               "x\\x0d.gguf: key 'a\\x0ab' is bad; not '\\x1b]0;title\\x07'");
  EXPECT_LT(std::string(Error(std::string(100000, 'y')).what()).size(), 1100u);
  EXPECT_LT(std::string(Error("x").hint(std::string(100000, 'y')).what()).size(), 1100u);
}

}  // namespace
}  // namespace nibble
