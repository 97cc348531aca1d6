// SPDX-License-Identifier: Apache-2.0
//
// The 8-bit float formats of checkpoints as plain bit patterns, with exact conversions to float,
// and for the two that weights are stored in, rounding to them.
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

namespace detail {

// Nearest code, ties to the even one, of what is no NaN. Without branches, so that loops vectorize:
// `overflow` is the code of all that is too large, NaN or infinity.
inline uint8_t encode_fp8(float x, int mantissa_bits, int bias, uint32_t overflow) {
  constexpr int kFloatMantissaBits = 23, kFloatBias = 127;
  constexpr float kShift = 0x1.8p23f;  // a sum with it has no bits below the integer
  const uint32_t bits = std::bit_cast<uint32_t>(x), magnitude = bits & 0x7fffffffu;
  const int dropped = kFloatMantissaBits - mantissa_bits;
  const uint32_t half = (1u << (dropped - 1)) - 1 + (magnitude >> dropped & 1);
  const auto offset = static_cast<uint32_t>(kFloatBias - bias) << mantissa_bits;
  const uint32_t normal = ((magnitude + half) >> dropped) - offset;
  const float steps = std::bit_cast<float>(
      static_cast<uint32_t>(kFloatBias + bias - 1 + mantissa_bits) << kFloatMantissaBits);
  // Of what is below the smallest normal number: a multiple of the smallest one.
  const auto smallest = static_cast<uint32_t>(kFloatBias - bias + 1) << kFloatMantissaBits;
  const float small_value = magnitude < smallest ? std::bit_cast<float>(magnitude) : 0.0f;
  const uint32_t small = std::bit_cast<uint32_t>(small_value * steps + kShift) & 0xffu;
  const uint32_t code = magnitude < smallest ? small : normal;
  return static_cast<uint8_t>((code < overflow ? code : overflow) | (bits >> 24 & 0x80u));
}

}  // namespace detail

// As torch 2.15 casts them: what is too large becomes the largest of E4M3, infinity of E5M2.
inline fp8_e4m3 to_fp8_e4m3(float x) {
  const uint8_t code = detail::encode_fp8(x, 3, 7, 0x7e);
  return {x == x ? code : static_cast<uint8_t>(code | 0x01)};
}
inline fp8_e5m2 to_fp8_e5m2(float x) {
  const uint8_t code = detail::encode_fp8(x, 2, 15, 0x7c);
  return {x == x ? code : static_cast<uint8_t>(code | 0x03)};
}

// 2^(bits - 127).
inline float to_float(fp8_e8m0 x) {
  if (x.bits == 0xff) return std::numeric_limits<float>::quiet_NaN();
  return std::ldexp(1.0f, x.bits - 127);
}

}  // namespace nibble
