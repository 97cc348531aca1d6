// SPDX-License-Identifier: Apache-2.0
//
// Template source -> syntax tree, with Jinja2's grammar and operator precedence plus the tags
// break, continue and generation. Templates that load other templates are refused.
#pragma once

#include <string>
#include <string_view>

#include "nibble/text/jinja/ast.h"

namespace nibble::jinja {

// Throws Error that starts with "line N: ": broken syntax, unknown tags, filters and tests, nesting
// beyond kMaxSourceDepth.
ast::Body parse(std::string_view source);

// All text between tags and all string literals of a template, joined by zero bytes.
std::string literals(std::string_view source);

}  // namespace nibble::jinja
