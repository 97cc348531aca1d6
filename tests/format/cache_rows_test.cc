// SPDX-License-Identifier: Apache-2.0
#include "nibble/format/cache_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "nibble/base/random.h"

namespace nibble {
namespace {

using Row = std::vector<float>;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

CacheRows zero_cache(DType dtype, int64_t kv_heads, int64_t capacity, int64_t head_dim) {
  CacheRows cache(Tensor::zeros(dtype, {kv_heads, capacity, head_dim}));
  if (dtype == DType::kI8) cache.scales = Tensor::zeros(DType::kF32, {kv_heads, capacity});
  return cache;
}

Row stored(DType dtype, const Row& row) {
  CacheRows cache = zero_cache(dtype, 1, 1, static_cast<int64_t>(row.size()));
  encode_cache_row(row, cache, 0, 0);
  Row back(row.size());
  decode_cache_row(cache, 0, 0, back);
  return back;
}

TEST(CacheRowsTest, Float32KeepsEveryBit) {
  const Row row = {1.0f / 3, -1e38f, 1e-45f, kInfinity};
  EXPECT_EQ(stored(DType::kF32, row), row);
}

TEST(CacheRowsTest, Float16RoundsToNearestEvenAndSaturates) {
  EXPECT_EQ(stored(DType::kF16, {1.0f, 2049.0f, 2051.0f, -0.1f, 0x1p-24f}),
            (Row{1.0f, 2048.0f, 2052.0f, -0.0999755859375f, 0x1p-24f}));
  EXPECT_EQ(stored(DType::kF16, {65519.0f, 65520.0f, -1e30f}),
            (Row{65504.0f, 65504.0f, -65504.0f}));
}

TEST(CacheRowsTest, Float16KeepsInfinityAndNaN) {
  const Row back = stored(DType::kF16, {kInfinity, -kInfinity, NAN});
  EXPECT_EQ(back[0], kInfinity);
  EXPECT_EQ(back[1], -kInfinity);
  EXPECT_TRUE(std::isnan(back[2]));
}

TEST(CacheRowsTest, Int8HasTheScaleOfItsLargest) {
  CacheRows cache = zero_cache(DType::kI8, 1, 1, 4);
  encode_cache_row(Row{254.0f, -127.0f, 3.0f, 0.9f}, cache, 0, 0);
  EXPECT_EQ(cache.scales.data<float>()[0], 2.0f);
  const auto codes = cache.rows.data<int8_t>();
  EXPECT_EQ(std::vector<int>(codes.begin(), codes.end()), (std::vector<int>{127, -64, 2, 0}));
  Row back(4);
  decode_cache_row(cache, 0, 0, back);
  EXPECT_EQ(back, (Row{254.0f, -128.0f, 4.0f, 0.0f}));
}

TEST(CacheRowsTest, Int8IsWithinHalfAStep) {
  Random random(3);
  for (const float scale : {1e-20f, 1.0f, 1e20f}) {
    Row row(80);
    float largest = 0;
    for (float& x : row) {
      x = random.normal() * scale;
      largest = std::max(largest, std::fabs(x));
    }
    const Row back = stored(DType::kI8, row);
    for (size_t i = 0; i < row.size(); ++i) {
      // Half a step, and a few roundings of float32.
      ASSERT_NEAR(back[i], row[i], largest / 127 * 0.50001f);
    }
  }
  EXPECT_EQ(stored(DType::kI8, Row(5, 0.0f)), Row(5, 0.0f));
}

TEST(CacheRowsTest, Int8OfWhatIsNotFiniteIsNaN) {
  for (const float bad : {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
    for (const float x : stored(DType::kI8, {1.0f, bad, 0.0f})) EXPECT_FALSE(std::isfinite(x));
  }
}

TEST(CacheRowsTest, RowsHaveTheirPlaces) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kI8}) {
    CacheRows cache = zero_cache(dtype, 2, 3, 2);
    EXPECT_EQ(cache.nbytes(), 6 * cache_row_bytes(dtype, 2));
    encode_cache_row(Row{127.0f, 64.0f}, cache, 1, 1);
    for (int64_t head = 0; head < 2; ++head) {
      for (int64_t position = 0; position < 3; ++position) {
        Row back(2);
        decode_cache_row(cache, head, position, back);
        EXPECT_EQ(back, head == 1 && position == 1 ? (Row{127.0f, 64.0f}) : Row(2, 0.0f));
      }
    }
  }
}

TEST(CacheRowsTest, CopiesKeepCodesAndCapacitiesMayDiffer) {
  Random random(4);
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kI8}) {
    CacheRows from = zero_cache(dtype, 2, 5, 3), to = zero_cache(dtype, 2, 7, 3);
    for (int64_t position = 0; position < 5; ++position) {
      for (int64_t head = 0; head < 2; ++head) {
        encode_cache_row(Row{random.normal(), random.normal(), random.normal()}, from, head,
                         position);
      }
    }
    for (int64_t head = 0; head < 2; ++head) copy_cache_rows(from, head, 4, to);
    for (int64_t head = 0; head < 2; ++head) {
      for (int64_t position = 0; position < 5; ++position) {
        Row wanted(3), got(3);
        if (position < 4) decode_cache_row(from, head, position, wanted);
        decode_cache_row(to, head, position, got);
        EXPECT_EQ(got, wanted);
      }
    }
  }
}

}  // namespace
}  // namespace nibble
