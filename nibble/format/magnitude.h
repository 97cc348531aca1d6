// SPDX-License-Identifier: Apache-2.0
//
// The largest magnitude of a run of floats: the one reduction that all layouts quantize by.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <span>

#include "nibble/base/vectorize.h"

namespace nibble {

// 0 of nothing. Compares bit patterns: that orders magnitudes as their values do, puts infinity and
// NaN on top (so a finite result proves that all values are finite), and vectorizes, which a float
// maximum with its NaN rules does not.
NIBBLE_INLINE float max_magnitude(std::span<const float> values) {
  int32_t largest = 0;
  for (const float x : values) {
    largest = std::max(largest, std::bit_cast<int32_t>(x) & 0x7fffffff);
  }
  return std::bit_cast<float>(largest);
}

// A subnormal absmax would have an infinite or inexact reciprocal; the CUDA kernels of bitsandbytes
// take it for zero.
inline float flush_subnormal(float absmax) {
  return absmax < std::numeric_limits<float>::min() ? 0.0f : absmax;
}

}  // namespace nibble
