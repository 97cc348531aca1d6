// SPDX-License-Identifier: Apache-2.0
#include "nibble/format/float8_block.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "nibble/base/float8.h"
#include "nibble/base/random.h"
#include "nibble/format/weight.h"
#include "tests/testing/message_of.h"

namespace nibble {
namespace {

using testing::message_of;

float value_of(uint8_t code, DType dtype) {
  return dtype == DType::kF8E4M3 ? to_float(fp8_e4m3{code}) : to_float(fp8_e5m2{code});
}

uint8_t encode_one(float value, DType dtype) {
  uint8_t code = 0;
  encode_float8({&value, 1}, dtype, {&code, 1});
  return code;
}

// By trying all codes: nearest, of two as near the even one. `value` is at most the largest.
uint8_t nearest_code(float value, DType dtype) {
  int best = -1;
  double least = std::numeric_limits<double>::infinity();
  for (int code = std::signbit(value) ? 0x80 : 0; code < (std::signbit(value) ? 0x100 : 0x80);
       ++code) {
    const float candidate = value_of(static_cast<uint8_t>(code), dtype);
    if (!std::isfinite(candidate)) continue;
    const double distance = std::fabs(double{candidate} - double{value});
    if (distance < least || (distance == least && code % 2 == 0)) best = code, least = distance;
  }
  return static_cast<uint8_t>(best);
}

TEST(Float8Block, EncodesTheNearestValueTiesToEven) {
  Random random(1);
  for (const DType dtype : {DType::kF8E4M3, DType::kF8E5M2}) {
    std::vector<float> values = {0.0f, -0.0f, 1e-30f, -1e-30f};
    float last = 0.0f;
    for (int code = 0; code < 0x80; ++code) {
      const float value = value_of(static_cast<uint8_t>(code), dtype);
      if (!std::isfinite(value)) break;
      const float middle = (value + last) / 2;
      for (const float x : {value, middle, std::nextafter(middle, 0.0f),
                            std::nextafter(middle, std::numeric_limits<float>::infinity())}) {
        values.push_back(x);
        values.push_back(-x);
      }
      last = value;
    }
    for (int i = 0; i < 2000; ++i) values.push_back(random.normal() * std::exp2(random.normal()));
    std::vector<uint8_t> codes(values.size());
    encode_float8(values, dtype, codes);
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(codes[i], nearest_code(values[i], dtype)) << values[i];
    }
  }
}

// torch 2.15 on a CPU: float32 cast to the two dtypes.
TEST(Float8Block, GoesBeyondTheRangeAsTorchDoes) {
  const float infinity = std::numeric_limits<float>::infinity();
  struct Case {
    float value;
    uint8_t e4m3, e5m2;
  };
  for (const Case& test :
       {Case{448, 0x7e, 0x5f}, Case{464, 0x7e, 0x5f}, Case{465, 0x7e, 0x5f}, Case{480, 0x7e, 0x60},
        Case{57344, 0x7e, 0x7b}, Case{61439, 0x7e, 0x7b}, Case{61440, 0x7e, 0x7c},
        Case{1e30f, 0x7e, 0x7c}, Case{infinity, 0x7e, 0x7c},
        Case{std::numeric_limits<float>::quiet_NaN(), 0x7f, 0x7f}, Case{-465, 0xfe, 0xdf}}) {
    EXPECT_EQ(encode_one(test.value, DType::kF8E4M3), test.e4m3) << test.value;
    EXPECT_EQ(encode_one(test.value, DType::kF8E5M2), test.e5m2) << test.value;
  }
}

TEST(Float8Block, DecodesEachRectangleWithItsScale) {
  for (const DType dtype : {DType::kF8E4M3, DType::kF8E5M2}) {
    Tensor codes = Tensor::empty(DType::kU8, {5, 7});
    for (size_t i = 0; i < 35; ++i) codes.mutable_data<uint8_t>()[i] = static_cast<uint8_t>(3 * i);
    Float8Block packed{codes.reinterpret(dtype, {5, 7}),
                       Tensor::from<float>({1, 2, 3, 0.5f, 0.25f, -1, 7, 11, 13}, {3, 3}), 2, 3};
    const Weight weight = Weight::float8_block(packed, DType::kF16);
    EXPECT_EQ(weight.code_bytes(), 35);
    EXPECT_EQ(weight.total_bytes(), 35 + 36);
    const Tensor all = weight.dequantize(DType::kF32);
    for (int64_t r = 0; r < 5; ++r) {
      for (int64_t c = 0; c < 7; ++c) {
        const float scale = packed.scales.data<float>()[static_cast<size_t>(r / 2 * 3 + c / 3)];
        const auto code = static_cast<uint8_t>(3 * (r * 7 + c));
        EXPECT_EQ(all.data<float>()[static_cast<size_t>(r * 7 + c)], value_of(code, dtype) * scale);
      }
      std::vector<float> part(4);
      decode_float8_block(packed, r, 2, part);
      for (size_t i = 0; i < 4; ++i) {
        EXPECT_EQ(part[i], all.data<float>()[static_cast<size_t>(r * 7) + 2 + i]);
      }
    }
  }
}

TEST(Float8Block, RefusesPartsThatDoNotFit) {
  const auto refused = [](DType dtype, const Shape& scales, int64_t rows) {
    return message_of([&] {
      Weight::float8_block({Tensor::empty(DType::kU8, {4, 6}).reinterpret(dtype, {4, 6}),
                            Tensor::zeros(DType::kF32, scales), rows, 3},
                           DType::kF32);
    });
  };
  EXPECT_EQ(refused(DType::kF8E4M3, {2, 2}, 2), "no error");
  EXPECT_EQ(refused(DType::kF8E4M3, {2, 3}, 2),
            "scale tensor does not fit the weight: expected float32 [2, 2], got float32 [2, 3]");
  EXPECT_EQ(refused(DType::kF8E4M3, {2, 2}, 0),
            "rows of a block is out of range: expected a positive number, got 0");
  EXPECT_EQ(refused(DType::kU8, {2, 2}, 2),
            "codes do not fit the weight: expected float8_e4m3fn or float8_e5m2 [rows, cols], got "
            "uint8 [4, 6]");
}

}  // namespace
}  // namespace nibble
