// SPDX-License-Identifier: Apache-2.0
//
// Python's two ways to format strings: `text % values` and text.format(values).
#pragma once

#include "nibble/text/jinja/limits.h"
#include "nibble/text/jinja/value.h"

namespace nibble::jinja {

// Conversions s r a d i u f F e E g G x X o c %, with flags, width, precision and (key).
Text format_percent(const Text& format, const Value& arguments, Budget& budget);

// Fields {}, {0}, {name}, {0.attribute}, {0[key]}, !r and !s, and format specifications for
// strings and numbers. Attributes obey the sandbox.
Text format_braces(const Text& format, const Arguments& arguments, Budget& budget);

}  // namespace nibble::jinja
