// SPDX-License-Identifier: Apache-2.0
//
// Codes of affine_group as bytes: a row is a little-endian stream of codes of 1 to 8 bits.
#if defined(NIBBLE_CPU_AFFINE_CODES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NIBBLE_CPU_AFFINE_CODES_INL_H_
#undef NIBBLE_CPU_AFFINE_CODES_INL_H_
#else
#define NIBBLE_CPU_AFFINE_CODES_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace nibble::cpu::HWY_NAMESPACE {

// The eight codes in the lowest 8 * bits bits of `word`, a byte each.
HWY_INLINE uint64_t spread_codes(uint64_t word, int64_t bits) {
  const uint64_t each = (uint64_t{1} << bits) - 1;
#if HWY_TARGET <= HWY_AVX2
  return _pdep_u64(word, each * 0x0101010101010101u);
#else
  uint64_t bytes = 0;
  for (int i = 0; i < 8; ++i) bytes |= (word >> (i * bits) & each) << (8 * i);
  return bytes;
#endif
}

// Codes [begin, begin + count) of a row of `row_bytes` bytes. `begin` is a multiple of 8, so that
// they begin with a byte; `out` has room for a multiple of 8.
HWY_INLINE void unpack_codes(const uint8_t* HWY_RESTRICT row, int64_t row_bytes, int64_t bits,
                             int64_t begin, int64_t count, uint8_t* HWY_RESTRICT out) {
  static_assert(std::endian::native == std::endian::little);
  int64_t at = begin / 8 * bits;
  for (int64_t i = 0; i < count; i += 8, at += bits) {
    uint64_t word = 0;
    if (at + 8 <= row_bytes) {
      std::memcpy(&word, row + at, 8);
    } else {
      std::memcpy(&word, row + at, static_cast<size_t>(std::min(bits, row_bytes - at)));
    }
    const uint64_t bytes = spread_codes(word, bits);
    std::memcpy(out + i, &bytes, 8);
  }
}

}  // namespace nibble::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
