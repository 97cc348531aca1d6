// SPDX-License-Identifier: Apache-2.0
#include "nibble/base/half.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace nibble {
namespace {

// The correctly rounded neighbour is found by exhaustive search over the 2^16 patterns.
template <typename Half, typename Round>
void expect_nearest_even(float value, Round round) {
  const Half got = round(value);
  const double error = std::abs(double{to_float(got)} - value);
  for (const int step : {-1, 1}) {
    const Half other{static_cast<uint16_t>(got.bits + step)};
    if (std::isnan(to_float(other)) || std::isinf(to_float(other))) continue;
    const double other_error = std::abs(double{to_float(other)} - value);
    EXPECT_LE(error, other_error) << value;
    if (error == other_error) {
      EXPECT_EQ(got.bits & 1, 0) << value;
    }
  }
}

TEST(Half, EveryFp16SurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const fp16 x{static_cast<uint16_t>(bits)};
    const float f = to_float(x);
    if (std::isnan(f)) {
      EXPECT_TRUE(std::isnan(to_float(to_fp16(f))));
    } else {
      EXPECT_EQ(to_fp16(f).bits, x.bits);
    }
  }
}

TEST(Half, EveryBf16SurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const bf16 x{static_cast<uint16_t>(bits)};
    const float f = to_float(x);
    if (std::isnan(f)) {
      EXPECT_TRUE(std::isnan(to_float(to_bf16(f))));
    } else {
      EXPECT_EQ(to_bf16(f).bits, x.bits);
    }
  }
}

TEST(Half, RoundsToNearestEvenAtMidpointsAndBeside) {
  for (uint32_t bits = 1; bits < 0x7bff; ++bits) {
    const float low = to_float(fp16{static_cast<uint16_t>(bits)});
    const float high = to_float(fp16{static_cast<uint16_t>(bits + 1)});
    const float middle = (low + high) / 2;
    for (const float value : {middle, std::nextafter(middle, low), std::nextafter(middle, high)}) {
      expect_nearest_even<fp16>(value, to_fp16);
      expect_nearest_even<fp16>(-value, to_fp16);
    }
  }
  for (uint32_t bits = 1; bits < 0x7f7e; bits += 7) {
    const float low = to_float(bf16{static_cast<uint16_t>(bits)});
    const float high = to_float(bf16{static_cast<uint16_t>(bits + 1)});
    const float middle = low + (high - low) / 2;
    for (const float value : {middle, std::nextafter(middle, low), std::nextafter(middle, high)}) {
      expect_nearest_even<bf16>(value, to_bf16);
    }
  }
}

TEST(Half, RoundingToFp16WithoutBranchesIsTheSame) {
  constexpr uint32_t kStep = 251;  // prime: all exponents, and low bits of every kind
  for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += kStep) {
    const float x = std::bit_cast<float>(static_cast<uint32_t>(bits));
    const float expected = to_float(to_fp16(x));
    const float got = round_to_fp16(x);
    if (std::isnan(x) ? std::isnan(got)
                      : std::bit_cast<uint32_t>(got) == std::bit_cast<uint32_t>(expected)) {
      continue;
    }
    FAIL() << bits << ": " << got << ", not " << expected;
  }
}

TEST(Half, OverflowsToInfinityOnlyFromTheMidpoint) {
  EXPECT_EQ(to_fp16(65519.996f).bits, 0x7bff);
  EXPECT_EQ(to_fp16(65520.0f).bits, 0x7c00);
  EXPECT_EQ(to_fp16(-1e30f).bits, 0xfc00);
  EXPECT_EQ(to_bf16(std::numeric_limits<float>::max()).bits, 0x7f80);
  EXPECT_EQ(to_fp16(0x1p-25f).bits, 0);  // half of the smallest subnormal: tie to even
  EXPECT_EQ(to_fp16(std::nextafter(0x1p-25f, 1.0f)).bits, 1);
}

}  // namespace
}  // namespace nibble
