// SPDX-License-Identifier: Apache-2.0
//
// Reading and writing UTF-8, and the few Unicode character classes that tokenizers ask for. Broken
// input is repaired the way Rust and the web do it: every maximal invalid part becomes one U+FFFD.
// Character classes follow ICU's Unicode version.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace nibble {

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";  // U+FFFD

// What stands at the start of some bytes.
struct Utf8Unit {
  enum class Kind {
    kCharacter,   // a whole character of `length` bytes
    kInvalid,     // a maximal invalid part of `length` bytes
    kIncomplete,  // the input ends inside what may become a character; `length` is all of it
  };
  Kind kind;
  size_t length;
};

// `bytes` must not be empty.
Utf8Unit examine_utf8(std::string_view bytes);

bool is_valid_utf8(std::string_view text);

// The text with every maximal invalid part replaced by U+FFFD; valid text comes back unchanged.
std::string repair_utf8(std::string_view text);

void append_utf8(std::string& out, char32_t code_point);

// Bytes of the character that starts with `lead`, in valid UTF-8.
inline size_t utf8_length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

// The code point at `text[at]`, in valid UTF-8; `at` moves behind it.
inline char32_t next_code_point(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<char32_t>(static_cast<uint8_t>(text[i])); };
  const char32_t lead = byte(at);
  const size_t length = utf8_length(text[at]);
  char32_t code = length == 1 ? lead : lead & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) code = (code << 6) | (byte(at + i) & 0x3F);
  at += length;
  return code;
}

bool is_whitespace(char32_t c);   // Unicode White_Space
bool is_numeric(char32_t c);      // general categories Nd, Nl, No
bool is_punctuation(char32_t c);  // ASCII punctuation and symbols, and the general categories P*
bool is_word(char32_t c);         // Alphabetic, marks, Nd, Pc and joiners: \w of UTS #18

}  // namespace nibble
