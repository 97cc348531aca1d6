// SPDX-License-Identifier: Apache-2.0
#include "nibble/base/printable.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "nibble/base/utf8.h"

namespace nibble {
namespace {

// Left-to-right and right-to-left embeddings, overrides and isolates can make a name read as
// another one.
bool reorders(char32_t c) { return (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069); }

bool is_control(char32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029;
}

void append_printable(std::string_view unit, std::string& out) {
  size_t at = 0;
  const char32_t c = next_code_point(unit, at);
  if (!is_control(c) && !reorders(c)) {
    out += unit;
  } else if (c < 0x100) {
    fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<uint32_t>(c));
  } else {
    fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<uint32_t>(c));
  }
}

}  // namespace

std::string printable(std::string_view text, size_t most_bytes) {
  std::string out;
  size_t at = 0;
  while (at < text.size()) {
    const Utf8Unit unit = examine_utf8(text.substr(at));
    if (unit.length > most_bytes - std::min(at, most_bytes)) break;
    const std::string_view bytes = text.substr(at, unit.length);
    if (unit.kind == Utf8Unit::Kind::kCharacter) {
      append_printable(bytes, out);
    } else {
      for (const char byte : bytes) {
        fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<uint8_t>(byte));
      }
    }
    at += unit.length;
  }
  if (at < text.size()) out += "...";
  return out;
}

}  // namespace nibble
