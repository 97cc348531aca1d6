// SPDX-License-Identifier: Apache-2.0
//
// The methods of str that change the case of characters or ask what kind they are.
#include <unicode/uchar.h>

#include "nibble/base/utf8.h"
#include "nibble/text/jinja/interpreter.h"
#include "nibble/text/jinja/string_methods.h"

namespace nibble::jinja {
namespace {

template <Text (*map)(const Text&), size_t cost = kCaseMappingCost>
Value mapped(Interpreter& run, const Value& self, const Arguments& given) {
  const BoundArguments args("a case method", given, {});
  run.budget().spend_bytes(self.text()->size() * cost);
  return map(*self.text());
}

// Whether all code points pass; `empty` answers for the empty string.
template <bool (*test)(char32_t), bool empty = false>
Value all_of(Interpreter& run, const Value& self, const Arguments& given) {
  const BoundArguments args("a string test", given, {});
  run.budget().spend_bytes(self.text()->size() * kCaseMappingCost);
  const std::string& bytes = self.text()->bytes();
  for (size_t at = 0; at < bytes.size();) {
    if (!test(next_code_point(bytes, at))) return false;
  }
  return empty || !bytes.empty();
}

UChar32 code(char32_t c) { return static_cast<UChar32>(c); }
bool is_alpha(char32_t c) { return u_isalpha(code(c)); }
bool is_digit(char32_t c) {
  return u_getIntPropertyValue(code(c), UCHAR_NUMERIC_TYPE) == U_NT_DIGIT || u_isdigit(code(c));
}
bool is_decimal(char32_t c) { return u_isdigit(code(c)); }
bool is_number(char32_t c) {
  return u_getIntPropertyValue(code(c), UCHAR_NUMERIC_TYPE) != U_NT_NONE;
}
bool is_alnum(char32_t c) { return is_alpha(c) || is_number(c); }
bool is_ascii(char32_t c) { return c < 0x80; }

// islower and isupper: a cased code point is there, and none of the other case.
template <bool upper>
Value is_case(Interpreter& run, const Value& self, const Arguments& given) {
  const BoundArguments args("a string test", given, {});
  run.budget().spend_bytes(self.text()->size() * kCaseMappingCost);
  const std::string& bytes = self.text()->bytes();
  bool any = false;
  for (size_t at = 0; at < bytes.size();) {
    const char32_t c = next_code_point(bytes, at);
    const bool is_upper = u_isUUppercase(code(c)), is_lower = u_isULowercase(code(c));
    if ((upper ? is_lower : is_upper) || u_istitle(code(c))) return false;
    any |= upper ? is_upper : is_lower;
  }
  return any;
}

// A capital begins each word and nothing else is one.
Value is_title(Interpreter& run, const Value& self, const Arguments& given) {
  const BoundArguments args("istitle()", given, {});
  run.budget().spend_bytes(self.text()->size() * kCaseMappingCost);
  const std::string& bytes = self.text()->bytes();
  bool any = false, inside = false;
  for (size_t at = 0; at < bytes.size();) {
    const char32_t c = next_code_point(bytes, at);
    const bool capital = u_isUUppercase(code(c)) || u_istitle(code(c));
    const bool cased = capital || u_isULowercase(code(c));
    if (cased && capital == inside) return false;
    inside = cased;
    any |= cased;
  }
  return any;
}

Value is_identifier(Interpreter& run, const Value& self, const Arguments& given) {
  const BoundArguments args("isidentifier()", given, {});
  run.budget().spend_bytes(self.text()->size() * kCaseMappingCost);
  const std::string& bytes = self.text()->bytes();
  for (size_t at = 0; at < bytes.size();) {
    const UProperty wanted = at == 0 ? UCHAR_XID_START : UCHAR_XID_CONTINUE;
    const char32_t c = next_code_point(bytes, at);
    if (c != '_' && !u_hasBinaryProperty(code(c), wanted)) return false;
  }
  return !bytes.empty();
}

constexpr Method kCharacterMethods[] = {
    {"upper", mapped<to_upper>},
    {"lower", mapped<to_lower>},
    {"title", mapped<to_title, kTitleCost>},
    {"capitalize", mapped<to_capitalized>},
    {"swapcase", mapped<to_swapped_case, kTitleCost>},
    {"casefold", mapped<to_folded>},
    {"isalpha", all_of<is_alpha>},
    {"isdigit", all_of<is_digit>},
    {"isdecimal", all_of<is_decimal>},
    {"isnumeric", all_of<is_number>},
    {"isalnum", all_of<is_alnum>},
    {"isspace", all_of<is_python_space>},
    {"isascii", all_of<is_ascii, true>},
    {"isprintable", all_of<is_printable, true>},
    {"islower", is_case<false>},
    {"isupper", is_case<true>},
    {"istitle", is_title},
    {"isidentifier", is_identifier},
};

}  // namespace

std::span<const Method> character_methods() { return kCharacterMethods; }

}  // namespace nibble::jinja
