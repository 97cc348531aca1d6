// SPDX-License-Identifier: Apache-2.0
#include "nibble/base/utf8.h"

#include <simdjson.h>
#include <unicode/uchar.h>

namespace nibble {
namespace {

struct Range {
  uint8_t low, high;
};

// Allowed second bytes for a lead byte (Unicode 15, table 3-7); low > high when it is no lead.
Range second_byte_range(uint8_t lead) {
  if (lead < 0xC2 || lead > 0xF4) return {1, 0};
  if (lead == 0xE0) return {0xA0, 0xBF};
  if (lead == 0xED) return {0x80, 0x9F};  // no surrogates
  if (lead == 0xF0) return {0x90, 0xBF};
  if (lead == 0xF4) return {0x80, 0x8F};  // up to U+10FFFF
  return {0x80, 0xBF};
}

bool has_category(char32_t c, uint32_t mask) {
  return (U_GET_GC_MASK(static_cast<UChar32>(c)) & mask) != 0;
}

}  // namespace

Utf8Unit examine_utf8(std::string_view bytes) {
  using Kind = Utf8Unit::Kind;
  const auto lead = static_cast<uint8_t>(bytes[0]);
  if (lead < 0x80) return {Kind::kCharacter, 1};
  Range range = second_byte_range(lead);
  if (range.low > range.high) return {Kind::kInvalid, 1};
  const size_t length = utf8_length(bytes[0]);
  for (size_t i = 1; i < length; ++i) {
    if (i == bytes.size()) return {Kind::kIncomplete, i};
    const auto byte = static_cast<uint8_t>(bytes[i]);
    if (byte < range.low || byte > range.high) return {Kind::kInvalid, i};
    range = {0x80, 0xBF};
  }
  return {Kind::kCharacter, length};
}

bool is_valid_utf8(std::string_view text) {
  return simdjson::validate_utf8(text.data(), text.size());
}

std::string repair_utf8(std::string_view text) {
  if (is_valid_utf8(text)) return std::string(text);
  std::string out;
  out.reserve(text.size() + kReplacementCharacter.size());
  while (!text.empty()) {
    const Utf8Unit unit = examine_utf8(text);
    out += unit.kind == Utf8Unit::Kind::kCharacter ? text.substr(0, unit.length)
                                                   : kReplacementCharacter;
    text.remove_prefix(unit.length);
  }
  return out;
}

void append_utf8(std::string& out, char32_t code_point) {
  const auto put = [&](char32_t byte) { out += static_cast<char>(static_cast<uint8_t>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | (code_point >> 6));
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | (code_point >> 12));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | (code_point >> 18));
    put(0x80 | ((code_point >> 12) & 0x3F));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

bool is_whitespace(char32_t c) { return u_isUWhiteSpace(static_cast<UChar32>(c)) != 0; }

bool is_numeric(char32_t c) { return has_category(c, U_GC_N_MASK); }

bool is_punctuation(char32_t c) {
  if (c < 0x80) {
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
  }
  return has_category(c, U_GC_P_MASK);
}

bool is_word(char32_t c) {
  const auto code = static_cast<UChar32>(c);
  return u_isUAlphabetic(code) || has_category(c, U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK) ||
         u_hasBinaryProperty(code, UCHAR_JOIN_CONTROL);
}

}  // namespace nibble
