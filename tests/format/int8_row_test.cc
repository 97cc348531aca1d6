// SPDX-License-Identifier: Apache-2.0
#include "nibble/format/int8_row.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/base/random.h"

namespace nibble {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

TEST(Int8Row, EncodesByTheTable) {
  struct Row {
    const char* what;
    std::vector<float> values;
    float threshold;
    float absmax;
    std::vector<int8_t> codes;
  };
  const Row rows[] = {
      {"whole numbers", {127, -127, 64, 0}, 0, 127, {127, -127, 64, 0}},
      {"halves go to even", {127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f}, 0, 127, {127, 0, 2, 2, 0, -2}},
      {"no values", {}, 0, 0, {}},
      {"zero row", {0, -0.0f, 0}, 0, 0, {0, 0, 0}},
      {"subnormal row: 127 / absmax overflows", {1e-44f, 0, -1e-44f}, 0, 1e-44f, {127, 0, -127}},
      {"outliers count for nothing", {6, -8, 1, 0.5f}, 6, 1, {0, 0, 127, 64}},
      {"just below the threshold", {5.9999995f, 6}, 6, 5.9999995f, {127, 0}},
      {"all outliers", {7, -7}, 6, 0, {0, 0}},
      {"infinite outlier", {kInfinity, 2}, 6, 2, {0, 127}},
  };
  for (const Row& row : rows) {
    std::vector<int8_t> codes(row.values.size(), 99);
    EXPECT_EQ(encode_int8_row(row.values, codes, row.threshold), row.absmax) << row.what;
    EXPECT_EQ(codes, row.codes) << row.what;
  }
}

TEST(Int8Row, RoundsAsNearbyint) {
  Random random(11);
  std::vector<float> values(4001);
  for (float& x : values) x = random.normal();
  std::vector<int8_t> codes(values.size());
  const float absmax = encode_int8_row(values, codes);
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(static_cast<float>(codes[i]), std::nearbyint(values[i] * (127.0f * (1.0f / absmax))));
  }
}

TEST(Int8Row, ValuesThatAreNotFiniteShowInTheAbsmax) {
  for (const float threshold : {0.0f, 6.0f}) {
    std::vector<int8_t> codes(3);
    EXPECT_TRUE(std::isnan(encode_int8_row(std::vector<float>{1, kNaN, 2}, codes, threshold)));
    EXPECT_EQ(codes, (std::vector<int8_t>{0, 0, 0})) << threshold;
  }
  std::vector<int8_t> codes(2);
  EXPECT_EQ(encode_int8_row(std::vector<float>{1, -kInfinity}, codes), kInfinity);
  EXPECT_EQ(codes, (std::vector<int8_t>{0, 0}));
}

TEST(Int8Row, DecodesByTheQuotient) {
  const std::vector<int8_t> codes = {-128, -127, -1, 0, 1, 127};
  std::vector<float> out(codes.size());
  decode_int8_row(codes, 0.3f, out);
  const float scale = 0.3f / 127.0f;
  for (size_t i = 0; i < codes.size(); ++i) EXPECT_EQ(out[i], static_cast<float>(codes[i]) * scale);
}

TEST(Int8Row, RefusesSpansOfDifferentSizes) {
  std::vector<int8_t> codes(2);
  std::vector<float> row(3);
  EXPECT_THROW(encode_int8_row(row, codes), Error);
  EXPECT_THROW(decode_int8_row(codes, 1.0f, row), Error);
}

}  // namespace
}  // namespace nibble
