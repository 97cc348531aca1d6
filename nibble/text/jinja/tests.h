// SPDX-License-Identifier: Apache-2.0
//
// The tests of Jinja2: what may stand behind `is`.
#pragma once

#include <string_view>

#include "nibble/text/jinja/value.h"

namespace nibble::jinja {

using TestFunction = bool (*)(Interpreter&, const Value& subject, const Arguments&);

// Null for a name that is no test.
TestFunction find_test(std::string_view name);

}  // namespace nibble::jinja
