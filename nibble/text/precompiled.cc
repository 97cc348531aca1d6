// SPDX-License-Identifier: Apache-2.0
#include "nibble/text/precompiled.h"

#include <utility>

#include "nibble/base/utf8.h"
#include "nibble/text/base64.h"
#include "nibble/text/grapheme.h"

namespace nibble {
namespace {

// A longer grapheme is taken character by character.
constexpr size_t kMaxGraphemeBytes = 5;

uint32_t little_endian(std::string_view bytes) {
  uint32_t out = 0;
  for (size_t i = 4; i-- > 0;) out = (out << 8) | static_cast<uint8_t>(bytes[i]);
  return out;
}

// The fields of a unit, in the layout of the darts-clone library.
bool has_leaf(uint32_t unit) { return ((unit >> 8) & 1) != 0; }
uint32_t leaf_value(uint32_t unit) { return unit & 0x7FFFFFFFu; }
uint32_t label_of(uint32_t unit) { return unit & (0x80000000u | 0xFF); }
uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & 0x200) >> 6); }

}  // namespace

Precompiled::Precompiled(const ComponentConfig& config) {
  const std::optional<std::string> blob = decode_base64(config.text("precompiled_charsmap"));
  if (!blob.has_value()) throw config.error("has a precompiled_charsmap that is no base64");
  const std::string_view bytes = *blob;
  const size_t units = bytes.size() < 4 ? 0 : little_endian(bytes) / 4;
  if (units == 0 || units > (bytes.size() - 4) / 4) {
    throw config.error("has a precompiled_charsmap whose trie does not fit into it");
  }
  units_.reserve(units);
  for (size_t i = 0; i < units; ++i) units_.push_back(little_endian(bytes.substr(4 + 4 * i)));
  replacements_ = bytes.substr(4 + 4 * units);
  if (!is_valid_utf8(replacements_)) {
    throw config.error("has a precompiled_charsmap with replacements that are no UTF-8");
  }
  for (size_t c = 0; c < changes_.size(); ++c) {
    const auto byte = static_cast<char>(c);
    changes_[c] = replacement({&byte, 1}).has_value();
  }
}

std::optional<std::string_view> Precompiled::replacement(std::string_view key) const {
  size_t at = offset_of(units_[0]);
  for (char c : key) {
    const auto byte = static_cast<uint8_t>(c);
    at ^= byte;
    if (byte == 0 || at >= units_.size() || label_of(units_[at]) != byte) return std::nullopt;
    const uint32_t unit = units_[at];
    at ^= offset_of(unit);
    if (!has_leaf(unit)) continue;
    if (at >= units_.size()) return std::nullopt;
    const size_t begin = leaf_value(units_[at]);
    if (begin >= replacements_.size() ||
        (static_cast<uint8_t>(replacements_[begin]) & 0xC0) == 0x80) {
      return std::nullopt;  // a broken trie
    }
    return std::string_view(replacements_).substr(begin, replacements_.find('\0', begin) - begin);
  }
  return std::nullopt;
}

bool Precompiled::normalize(std::string& text) const {
  const std::string_view in = text;
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  const auto is_ascii = [&](size_t at) { return static_cast<uint8_t>(in[at]) < 0x80; };
  for (size_t at = 0; at < in.size();) {
    // An ASCII character before another one is a grapheme, but for a line end of two.
    if (is_ascii(at) && (at + 1 == in.size() || is_ascii(at + 1)) && in[at] != '\r' &&
        !changes_[static_cast<uint8_t>(in[at])]) {
      out += in[at++];
      continue;
    }
    const size_t end = grapheme_end(in, at);
    if (end - at <= kMaxGraphemeBytes) {
      if (const auto whole = replacement(in.substr(at, end - at))) {
        out += *whole;
        at = end;
        continue;
      }
    }
    while (at < end) {
      const std::string_view character = in.substr(at, utf8_length(in[at]));
      out += replacement(character).value_or(character);
      at += character.size();
    }
  }
  text = std::move(out);
  return false;
}

}  // namespace nibble
