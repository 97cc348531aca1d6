// SPDX-License-Identifier: Apache-2.0
//
// HellaSwag's texts as they are asked: half of them come from WikiHow, whose markup is taken out.
#pragma once

#include <string>
#include <string_view>

namespace nibble {

// Strips space from both ends, makes " [title]" a full stop, leaves out whatever else stands in
// brackets, and makes one space of two, once over the text: of three two stay.
std::string hellaswag_text(std::string_view text);

// The first character in upper case, all others in lower case, as Python's str.capitalize().
std::string hellaswag_capitalized(std::string_view text);

}  // namespace nibble
