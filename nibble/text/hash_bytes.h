// SPDX-License-Identifier: Apache-2.0
//
// The hash of the tokenizer's tables: fast on short strings, not meant to resist attacks (the
// tables bound how far they search instead). The same on every machine of one byte order.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace nibble {

inline uint64_t mix_bits(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a ^ 0x9E3779B97F4A7C15u) * (b ^ 0xD1B54A32D192ED03u);
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

inline uint64_t hash_bytes(std::string_view text) {
  uint64_t hash = text.size();
  const char* at = text.data();
  size_t left = text.size();
  for (; left >= 8; left -= 8, at += 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    hash = mix_bits(hash, word);
  }
  uint64_t tail = 0;
  if (left > 0) std::memcpy(&tail, at, left);  // a view of nothing may point to nothing
  return mix_bits(hash, tail);
}

}  // namespace nibble
