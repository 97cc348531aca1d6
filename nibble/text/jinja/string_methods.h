// SPDX-License-Identifier: Apache-2.0
//
// The tables of Python's str methods, and the pieces of them that filters share.
#pragma once

#include <span>
#include <string_view>

#include "nibble/text/jinja/limits.h"
#include "nibble/text/jinja/value.h"

namespace nibble::jinja {

using MethodFunction = Value (*)(Interpreter&, const Value& self, const Arguments&);

struct Method {
  std::string_view name;
  MethodFunction function;  // null: exists in Python, but not for templates
};

std::span<const Method> string_methods();
std::span<const Method> character_methods();

// str.replace; a negative count replaces all.
Text replace_text(const Text& text, const Text& from, const Text& to, int64_t count,
                  Budget& budget);

// str.split and str.rsplit at white space; at most `limit` cuts when it is not negative.
std::vector<Text> split_at_space(const Text& text, int64_t limit, bool from_right, Budget& budget);

// str.splitlines.
std::vector<Text> split_lines(const Text& text, bool keep_ends, Budget& budget);

Text join_texts(const Text& separator, const std::vector<Text>& parts, Budget& budget);

}  // namespace nibble::jinja
