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
  std::optional<std::string> indent;  // one level of indentation; none: everything on one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

// User text inside strings stays marked. Throws for values that JSON can not hold.
Text to_json(const Value& value, const JsonStyle& style, Budget& budget);

}  // namespace nibble::jinja
