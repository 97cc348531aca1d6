// SPDX-License-Identifier: Apache-2.0
//
// The functions every template sees: range, dict, namespace, cycler, joiner, raise_exception and
// strftime_now.
#pragma once

#include <string_view>

#include "nibble/text/jinja/value.h"

namespace nibble::jinja {

// The function of this name as a callable value, or nothing.
std::optional<Value> find_function(std::string_view name);

}  // namespace nibble::jinja
