// SPDX-License-Identifier: Apache-2.0
//
// Text from a file made fit for a terminal: names of tensors, keys and paths may hold line breaks,
// escape sequences or a megabyte of anything.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace nibble {

// One line of valid UTF-8. Control characters, line and paragraph separators, marks that reorder
// text and bytes that are no UTF-8 are escaped as in Python: "\x1b", "\u202e". Beyond `most_bytes`
// of `text` the result is cut and ends in "...".
std::string printable(std::string_view text, size_t most_bytes = std::string_view::npos);

}  // namespace nibble
