// SPDX-License-Identifier: Apache-2.0
//
// A part of a text, by its bytes.
#pragma once

#include <cstddef>
#include <string_view>

namespace nibble {

struct TextSpan {
  size_t begin, end;

  std::string_view of(std::string_view text) const { return text.substr(begin, end - begin); }
};

}  // namespace nibble
