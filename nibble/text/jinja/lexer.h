// SPDX-License-Identifier: Apache-2.0
//
// Cuts a template into tokens as Jinja2's lexer does with trim_blocks and lstrip_blocks set: text
// between tags becomes kData, already stripped by the rules of `-`, `+` and the two settings;
// comments vanish; raw blocks become data. Brackets inside tags are checked to balance.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace nibble::jinja {

struct Token {
  enum class Kind {
    kData,           // text between tags
    kVariableBegin,  // {{
    kVariableEnd,
    kBlockBegin,  // {%
    kBlockEnd,
    kName,
    kString,   // text: the value, escapes resolved
    kInteger,  // text: digits with base prefix, without underscores
    kFloat,
    kOperator,  // text: the operator as written
    kEnd,       // end of the template
  };
  Kind kind = Kind::kEnd;
  std::string text;
  int line = 1;
};

// The last token is always kEnd. Throws Error that starts with "line N: ".
std::vector<Token> tokenize(std::string_view source);

}  // namespace nibble::jinja
