// SPDX-License-Identifier: Apache-2.0
//
// Python's json.dumps() for template values.
#pragma once

#include <optional>
#include <string>

#include "nibble/text/jinja/limits.h"
#include "nibble/text/jinja/value.h"

namespace nibble::jinja {

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<Text> indent;  // one level of indentation; none: everything on one line
  Text item_separator{std::string(", ")};
  Text key_separator{std::string(": ")};
};

// User text inside strings stays marked. Throws for values that JSON can not hold.
Text to_json(const Value& value, const JsonStyle& style, Budget& budget);

}  // namespace nibble::jinja
