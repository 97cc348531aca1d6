// SPDX-License-Identifier: Apache-2.0
//
// A 64-bit checksum whose parts may be summed in any order and cut anywhere, so that threads that
// write ranges of one tensor need not wait for each other. It finds what is missing, torn or
// misplaced after a crash; it does not withstand someone who wants to deceive it.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

namespace nibble {

static_assert(std::endian::native == std::endian::little, "checkpoints are little-endian");

// What bytes [offset, offset + bytes.size()) add to the checksum: the sum over 8-byte words of
// word * key(place of the word), modulo 2^64. Linear, so that parts of one word add up to the word.
inline uint64_t checksum_of(std::span<const std::byte> bytes, int64_t offset) {
  const auto key = [](uint64_t place) {
    const uint64_t x = (place + 1) * 0x9e3779b97f4a7c15u;  // 2^64 / golden ratio: spreads the bits
    return (x ^ (x >> 32)) | 1;                            // odd: no bit of the word is lost
  };
  auto place = static_cast<uint64_t>(offset) / 8;
  auto within = static_cast<size_t>(offset % 8);
  uint64_t sum = 0;
  while (!bytes.empty()) {
    uint64_t word = 0;
    const size_t size = std::min(8 - within, bytes.size());
    std::memcpy(reinterpret_cast<char*>(&word) + within, bytes.data(), size);
    sum += word * key(place++);
    bytes = bytes.subspan(size);
    within = 0;
    const size_t whole = bytes.size() / 8;  // the bulk, in a loop that stays in registers
    for (size_t i = 0; i < whole; ++i) {
      std::memcpy(&word, bytes.data() + 8 * i, 8);
      sum += word * key(place + i);
    }
    place += whole;
    bytes = bytes.subspan(8 * whole);
  }
  return sum;
}

}  // namespace nibble
