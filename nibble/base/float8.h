// SPDX-License-Identifier: Apache-2.0
//
// The 8-bit float formats of checkpoints as plain bit patterns, with exact conversions to float.
// Read only: nothing here rounds to 8 bits.
//
// Sources: OCP "8-bit Floating Point Specification" (E4M3 without infinities, E5M2), OCP
// "Microscaling Formats" (E8M0), arXiv:2206.02915 (the FNUZ forms: no infinities, no negative
// zero).
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "nibble/base/half.h"

namespace nibble {

struct fp8_e4m3 {
  uint8_t bits = 0;
};

struct fp8_e5m2 {
  uint8_t bits = 0;
};

struct fp8_e4m3fnuz {
  uint8_t bits = 0;
};

struct fp8_e5m2fnuz {
  uint8_t bits = 0;
};

struct fp8_e8m0 {
  uint8_t bits = 0;
};

namespace detail {

// Sign, exponent and mantissa without special values. Every result is exact in float.
inline float decode_fp8(uint8_t bits, int mantissa_bits, int bias) {
  const int exponent = (bits & 0x7f) >> mantissa_bits;
  const int fraction = bits & ((1 << mantissa_bits) - 1);
  const bool subnormal = exponent == 0;
  const int significand = subnormal ? fraction : fraction | (1 << mantissa_bits);
  const float magnitude = std::ldexp(static_cast<float>(significand),
                                     (subnormal ? 1 : exponent) - bias - mantissa_bits);
  return (bits & 0x80) != 0 ? -magnitude : magnitude;
}

}  // namespace detail

inline float to_float(fp8_e4m3 x) {
  if ((x.bits & 0x7f) == 0x7f) return std::numeric_limits<float>::quiet_NaN();
  return detail::decode_fp8(x.bits, 3, 7);
}

// The upper half of a float16.
inline float to_float(fp8_e5m2 x) {
  return to_float(fp16{static_cast<uint16_t>(uint32_t{x.bits} << 8)});
}

inline float to_float(fp8_e4m3fnuz x) {
  if (x.bits == 0x80) return std::numeric_limits<float>::quiet_NaN();
  return detail::decode_fp8(x.bits, 3, 8);
}

inline float to_float(fp8_e5m2fnuz x) {
  if (x.bits == 0x80) return std::numeric_limits<float>::quiet_NaN();
  return detail::decode_fp8(x.bits, 2, 16);
}

// 2^(bits - 127).
inline float to_float(fp8_e8m0 x) {
  if (x.bits == 0xff) return std::numeric_limits<float>::quiet_NaN();
  return std::ldexp(1.0f, x.bits - 127);
}

}  // namespace nibble
