// SPDX-License-Identifier: Apache-2.0
//
// The end of a chain of decoders: joins what comes into one text.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "nibble/text/decoder.h"

namespace nibble {

class TextCollector : public TokenSink {
 public:
  void push(std::string_view part, bool) override { text_ += part; }
  void finish() override {}

  std::string take() { return std::exchange(text_, {}); }

 private:
  std::string text_;
};

}  // namespace nibble
