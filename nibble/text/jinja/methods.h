// SPDX-License-Identifier: Apache-2.0
//
// The methods that Python's str, list, tuple and dict have and a template may call.
#pragma once

#include <optional>
#include <string_view>

#include "nibble/text/jinja/value.h"

namespace nibble::jinja {

// The method bound to its object; undefined, with a reason, for methods that the sandbox forbids
// (those that change a list or dict) or that nibble lacks; nothing when Python has no such method.
std::optional<Value> find_method(const Value& object, std::string_view name);

}  // namespace nibble::jinja
