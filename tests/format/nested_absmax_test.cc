// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "nibble/base/random.h"
#include "nibble/format/code_block.h"

namespace nibble {
namespace {

TEST(NestedAbsmax, TheDynamicMapHasItsPublishedValues) {
  const auto& map = dynamic_map_signed();
  EXPECT_TRUE(std::is_sorted(map.begin(), map.end()));
  EXPECT_EQ(map[0], -0.99296874f);
  EXPECT_FLOAT_EQ(map[126], -5.5e-7f);
  EXPECT_EQ(map[127], 0.0f);
  EXPECT_FLOAT_EQ(map[128], 5.5e-7f);
  EXPECT_FLOAT_EQ(map[129], 3.25e-6f);
  EXPECT_EQ(map[254], 0.99296874f);
  EXPECT_EQ(map[255], 1.0f);
}

// Exhaustive search with ties to the even index, over all values, their midpoints and neighbours.
TEST(NestedAbsmax, TheCodeIsTheNearestValueAndTiesGoToTheEvenIndex) {
  const auto& map = dynamic_map_signed();
  std::vector<float> values = {-2.0f, 2.0f};
  for (size_t i = 0; i < 256; ++i) {
    values.push_back(map[i]);
    if (i == 255) break;
    const float midpoint = (map[i] + map[i + 1]) * 0.5f;
    EXPECT_EQ(encode_dynamic_signed(midpoint), i % 2 == 0 ? i : i + 1);
    EXPECT_EQ(encode_dynamic_signed(std::nextafter(midpoint, -2.0f)), i);
    EXPECT_EQ(encode_dynamic_signed(std::nextafter(midpoint, 2.0f)), i + 1);
  }
  Random random(3);
  for (int i = 0; i < 20000; ++i) values.push_back(2 * static_cast<float>(random.uniform()) - 1);
  for (const float v : values) {
    const double chosen = std::abs(double{map[encode_dynamic_signed(v)]} - v);
    double nearest = std::numeric_limits<double>::infinity();
    for (const float entry : map) nearest = std::min(nearest, std::abs(double{entry} - v));
    // The midpoint is rounded to float: half an ulp of it separates "nearest" from the rule.
    EXPECT_LE(chosen, nearest + 1.2e-7 * std::abs(v)) << v;
  }
  EXPECT_EQ(encode_dynamic_signed(std::numeric_limits<float>::quiet_NaN()), 0);
}

TEST(NestedAbsmax, DecodesToMapTimesAbsmaxPlusOffset) {
  Random random(5);
  std::vector<float> absmax(700);
  for (float& x : absmax) x = 0.1f + static_cast<float>(random.uniform());
  CodeBlock packed;
  packed.nested = encode_nested_absmax(absmax);
  const NestedAbsmax& nested = *packed.nested;
  EXPECT_EQ(nested.codes.shape(), Shape{700});
  EXPECT_EQ(nested.absmax.shape(), Shape{3});
  EXPECT_EQ(nested.offset, mean_absmax(absmax));
  std::vector<float> decoded(500);
  decode_absmax(packed, 150, decoded);
  for (size_t i = 0; i < decoded.size(); ++i) {
    const uint8_t code = nested.codes.data<uint8_t>()[150 + i];
    const float scale = nested.absmax.data<float>()[(150 + i) / 256];
    EXPECT_EQ(decoded[i], dynamic_map_signed()[code] * scale + nested.offset);
    EXPECT_NEAR(decoded[i], absmax[150 + i],
                0.008);  // half the map's widest step, 1 / 64, times 0.5
  }
}

TEST(NestedAbsmax, EqualValuesBecomeTheOffsetExactly) {
  CodeBlock packed;
  packed.nested = encode_nested_absmax(std::vector<float>(300, 0.37f));
  EXPECT_EQ(packed.nested->offset, 0.37f);
  EXPECT_EQ(packed.nested->absmax.data<float>()[1], 0.0f);
  std::vector<float> decoded(300);
  decode_absmax(packed, 0, decoded);
  EXPECT_EQ(decoded, std::vector<float>(300, 0.37f));
}

TEST(NestedAbsmax, TheMeanDoesNotOverflowOrLoseSmallValues) {
  EXPECT_EQ(mean_absmax({}), 0.0f);
  EXPECT_EQ(mean_absmax(std::vector<float>(8, 3e38f)), 3e38f);
  std::vector<float> values(1 << 20, 1e-8f);
  values[0] = 1.0f;
  EXPECT_FLOAT_EQ(mean_absmax(values),
                  static_cast<float>((1.0 + 1e-8 * ((1 << 20) - 1)) / (1 << 20)));
}

}  // namespace
}  // namespace nibble
