// SPDX-License-Identifier: Apache-2.0
#include "nibble/format/int8_activations.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "nibble/base/random.h"

namespace nibble {
namespace {

TEST(Int8Activations, EachGroupHasAScaleOfItsOwn) {
  std::vector<float> x(130, 1.0f);  // two groups of 64 and one of 2
  x[0] = 127.0f, x[1] = 0.5f, x[2] = 1.5f, x[3] = -2.4f;
  x[64] = 1000.0f;
  std::vector<float> out(x.size());
  round_int8_activations(x, {}, out);
  EXPECT_EQ(out[0], 127.0f);
  EXPECT_EQ(out[1], 0.0f);  // halves go to the even code
  EXPECT_EQ(out[2], 2.0f);
  EXPECT_EQ(out[3], -2.0f);
  EXPECT_EQ(out[65], 0.0f);   // 1000 / 127 is a step
  EXPECT_EQ(out[128], 1.0f);  // the short group
}

TEST(Int8Activations, ErrorIsAtMostHalfAStep) {
  Random random(1);
  std::vector<float> x(64), out(64);
  for (float& value : x) value = random.normal();
  round_int8_group(x, out);
  float absmax = 0.0f;
  for (const float value : x) absmax = std::max(absmax, std::fabs(value));
  for (size_t i = 0; i < x.size(); ++i) {
    // An ulp beyond the half: the step and the product with it are rounded.
    EXPECT_LE(std::fabs(out[i] - x[i]), absmax / 127 * 0.5001f) << i;
  }
}

TEST(Int8Activations, GroupsAreOfStoredColumns) {
  std::vector<float> x(128, 1.0f);
  x[0] = 1000.0f;
  std::vector<int32_t> positions(128);  // columns in reverse order
  for (int32_t c = 0; c < 128; ++c) positions[static_cast<size_t>(c)] = 127 - c;
  std::vector<float> out(128);
  round_int8_activations(x, positions, out);
  EXPECT_EQ(out[1], 0.0f);
  EXPECT_EQ(out[63], 0.0f);
  EXPECT_EQ(out[64], 1.0f);
  x[0] = 1.0f, x[70] = 1000.0f;
  round_int8_activations(x, positions, out);
  EXPECT_EQ(out[63], 1.0f);
  EXPECT_EQ(out[64], 0.0f);
}

TEST(Int8Activations, ZerosStayAndWhatIsNotFiniteShows) {
  std::vector<float> x(64, 0.0f), out(64, 1.0f);
  round_int8_group(x, out);
  for (const float value : out) EXPECT_EQ(value, 0.0f);
  for (const float value : {std::numeric_limits<float>::infinity(), NAN}) {
    x[5] = value;
    round_int8_group(x, out);
    EXPECT_TRUE(std::isnan(out[0]) && std::isnan(out[5]));
  }
}

TEST(Int8Activations, ValuesKeepTheLargestAndBecomeSteps) {
  EXPECT_EQ(round_int8_value(1.0f, 1.0f), 127 * (1.0f / 127));
  EXPECT_EQ(round_int8_value(-0.3f, 1.0f), -38 * (1.0f / 127));
  EXPECT_EQ(round_int8_value(0.0f, 1.0f), 0.0f);
}

}  // namespace
}  // namespace nibble
