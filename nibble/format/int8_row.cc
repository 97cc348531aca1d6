// SPDX-License-Identifier: Apache-2.0
#include "nibble/format/int8_row.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

#include "nibble/base/error.h"
#include "nibble/base/vectorize.h"
#include "nibble/format/magnitude.h"

namespace nibble {
namespace {

// Round half to even without a library call: adding 1.5 * 2^23 leaves no bits below the integer.
// Exact for |v| <= 127 in the default rounding mode.
NIBBLE_INLINE int8_t rounded_code(float v) {
  constexpr float kShift = 0x1.8p23f;
  const float bounded = std::max(-kInt8Max, std::min(kInt8Max, v));
  const float number = v == v ? bounded : 0.0f;
  return static_cast<int8_t>(static_cast<int32_t>((number + kShift) - kShift));
}

// max_magnitude() of what is below the threshold.
NIBBLE_INLINE float max_inlier_magnitude(std::span<const float> row, float threshold) {
  int32_t largest = 0;
  for (const float x : row) {
    const int32_t magnitude = std::bit_cast<int32_t>(std::fabs(x));
    largest = std::max(largest, std::fabs(x) >= threshold ? 0 : magnitude);
  }
  return std::bit_cast<float>(largest);
}

void check_sizes(size_t expected, size_t got) {
  if (expected != got) {
    throw Error("row and codes differ in size")
        .expected(std::to_string(expected))
        .got(std::to_string(got));
  }
}

NIBBLE_VECTORIZED float encode_all(std::span<const float> row, std::span<int8_t> codes) {
  const float absmax = max_magnitude(row);
  const float scale = int8_scale(absmax);  // of a zero row: 0 * inf is NaN, code 0
  for (size_t i = 0; i < row.size(); ++i) codes[i] = rounded_code(row[i] * scale);
  return absmax;
}

NIBBLE_VECTORIZED float encode_inliers(std::span<const float> row, std::span<int8_t> codes,
                                       float threshold) {
  const float absmax = max_inlier_magnitude(row, threshold);
  const float scale = int8_scale(absmax);
  for (size_t i = 0; i < row.size(); ++i) {
    const int8_t code = rounded_code(row[i] * scale);
    codes[i] = std::fabs(row[i]) >= threshold ? int8_t{0} : code;
  }
  return absmax;
}

}  // namespace

float encode_int8_row(std::span<const float> row, std::span<int8_t> codes, float threshold) {
  check_sizes(row.size(), codes.size());
  return threshold > 0.0f ? encode_inliers(row, codes, threshold) : encode_all(row, codes);
}

void decode_int8_row(std::span<const int8_t> codes, float absmax, std::span<float> out) {
  check_sizes(codes.size(), out.size());
  const float scale = absmax / kInt8Max;
  for (size_t i = 0; i < codes.size(); ++i) out[i] = static_cast<float>(codes[i]) * scale;
}

}  // namespace nibble
