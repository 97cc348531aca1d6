// SPDX-License-Identifier: Apache-2.0
//
// The table of Python's str methods, and the pieces of them that filters share.
#pragma once

#include <span>
#include <string_view>

#include "nibble/text/jinja/limits.h"
#include "nibble/text/jinja/value.h"

namespace nibble::jinja {

using Function = Value (*)(Interpreter&, const Value& self, const Arguments&);

struct Method {
  std::string_view name;
  Function function;  // null: exists in Python, but not for templates
};

std::span<const Method> string_methods();

// str.replace; a negative count replaces all.
Text replace_text(const Text& text, const Text& from, const Text& to, int64_t count,
                  Budget& budget);

// str.splitlines.
std::vector<Text> split_lines(const Text& text, bool keep_ends, Budget& budget);

Text join_texts(const Text& separator, const std::vector<Text>& parts, Budget& budget);

}  // namespace nibble::jinja
