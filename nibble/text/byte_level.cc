// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/byte_level.h"

#include <array>

#include "nibble/base/utf8.h"

namespace nibble {
namespace {

constexpr char32_t kAlphabetEnd = 0x144;  // U+0100 and the 68 bytes that are not printable

constexpr bool stands_for_itself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr auto kByteToChar = [] {
  std::array<char32_t, 256> table{};
  char32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    table[byte] = stands_for_itself(byte) ? static_cast<char32_t>(byte) : next++;
  }
  return table;
}();

constexpr auto kCharToByte = [] {
  std::array<int16_t, kAlphabetEnd> table{};  // -1: not of the alphabet
  table.fill(-1);
  for (int byte = 0; byte < 256; ++byte) table[kByteToChar[byte]] = static_cast<int16_t>(byte);
  return table;
}();

}  // namespace

char32_t byte_to_char(uint8_t byte) { return kByteToChar[byte]; }

void append_byte_level(std::string& out, std::string_view text) {
  for (char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte >= '!' && byte <= '~') {
      out += c;
    } else {
      append_utf8(out, kByteToChar[byte]);
    }
  }
}

void append_byte_level_decoded(std::string& out, std::string_view token) {
  const size_t before = out.size();
  for (size_t at = 0; at < token.size();) {
    const char32_t c = next_code_point(token, at);
    if (c >= kAlphabetEnd || kCharToByte[c] < 0) {
      out.resize(before);
      out += token;
      return;
    }
    out += static_cast<char>(static_cast<uint8_t>(kCharToByte[c]));
  }
}

}  // namespace nibble
