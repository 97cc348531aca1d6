// SPDX-License-Identifier: Apache-2.0
//
// The hot half of word_cache.h; included by it alone.
#pragma once

#include <bit>
#include <cstring>

#include "nibble/text/hash_bytes.h"

namespace nibble {

inline WordCache::Key WordCache::key(std::string_view text, size_t at, size_t bytes) {
  Key key{0, 0};
  if (at + sizeof(key) <= text.size()) {
    std::memcpy(&key, text.data() + at, sizeof(key));  // of a fixed size: two loads
    if constexpr (std::endian::native == std::endian::big) {
      key = {__builtin_bswap64(key.low), __builtin_bswap64(key.high)};
    }
    const size_t unused = 8 * (sizeof(key) - bytes);  // bits at the end, at least 8
    if (unused >= 64) {
      key.low = unused == 128 ? 0 : key.low << (unused - 64) >> (unused - 64);
      key.high = 0;
    } else {
      key.high = key.high << unused >> unused;
    }
  } else {
    for (size_t i = 0; i < bytes; ++i) {
      const uint64_t byte = static_cast<uint8_t>(text[at + i]);
      (i < 8 ? key.low : key.high) |= byte << (8 * (i % 8));
    }
  }
  key.high |= static_cast<uint64_t>(bytes) << 56;
  return key;
}

inline size_t WordCache::place(const Key& key) const {
  return mix_bits(key.low, key.high) & (short_places_ - 1);
}

inline std::optional<std::span<const int32_t>> WordCache::find(const Key& key, size_t place) const {
  Short* entries = &short_[place * kWays];
  for (size_t way = 0; way < kWays; ++way) {
    Short& entry = entries[way];
    const uint32_t state = std::atomic_ref(entry.state).load(std::memory_order_acquire);
    if (state < kReady) return std::nullopt;
    if (entry.key == key) return std::span(entry.ids).first(state - kReady);
  }
  return std::nullopt;
}

}  // namespace nibble
