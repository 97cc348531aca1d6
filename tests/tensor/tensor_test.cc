// SPDX-License-Identifier: Apache-2.0
#include "nibble/tensor/tensor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "nibble/base/error.h"

namespace nibble {
namespace {

TEST(Tensor, SharesBytesBetweenViews) {
  Tensor a = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {3, 2});
  Tensor row = a.slice_rows(1, 2);
  EXPECT_EQ(row.shape(), (Shape{1, 2}));
  row.mutable_data<float>()[0] = 30;
  EXPECT_EQ(a.data<float>()[2], 30);
  EXPECT_EQ(a.reshape({6}).data<float>()[2], 30);
  EXPECT_EQ(a.reinterpret(DType::kU8, {24}).numel(), 24);
  EXPECT_EQ(a.dim(-1), 2);
}

TEST(Tensor, RefusesViewsThatDoNotFit) {
  const Tensor a = Tensor::zeros(DType::kF32, {3, 2});
  EXPECT_THROW(a.reshape({5}), Error);
  EXPECT_THROW(a.slice_rows(2, 4), Error);
  EXPECT_THROW(a.slice_rows(-1, 1), Error);
  EXPECT_THROW(a.dim(2), Error);
  EXPECT_THROW(a.data<int32_t>(), Error);
  EXPECT_THROW(Tensor(DType::kF32, {7}, a.buffer()), Error);
  EXPECT_THROW(Tensor(DType::kF32, {1}, a.buffer(), 21), Error);
  EXPECT_THROW(Tensor::from<float>({1, 2, 3}, {2}), Error);
}

TEST(Tensor, CountsElementsWithoutOverflow) {
  EXPECT_EQ(checked_numel({}), 1);
  EXPECT_EQ(checked_numel({int64_t{1} << 40, 0, int64_t{1} << 40}), 0);
  EXPECT_EQ(checked_numel({int64_t{1} << 31, 4}, 4), int64_t{1} << 33);
  EXPECT_THROW(checked_numel({int64_t{1} << 32, int64_t{1} << 32}), Error);
  EXPECT_THROW(checked_numel({int64_t{1} << 61}, 4), Error);
  EXPECT_THROW(checked_numel({-1}), Error);
}

TEST(Tensor, ReadOnlyBytesCannotBeWritten) {
  static const float values[2] = {1, 2};
  auto buffer = std::make_shared<Buffer>(Device{}, const_cast<float*>(values), sizeof(values),
                                         nullptr, false);
  Tensor tensor(DType::kF32, {2}, buffer);
  EXPECT_EQ(tensor.data<float>()[1], 2);
  EXPECT_THROW(tensor.mutable_data<float>(), Error);
}

TEST(Tensor, ConvertsBetweenFloatTypesByRoundingToNearestEven) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor a = Tensor::from<float>({1.0f, 1.00390625f, -65520.0f, nan}, {4});
  const Tensor b = to_dtype(a, DType::kBF16);
  EXPECT_EQ(to_float(b.data<bf16>()[1]), 1.0f);  // a tie: to even
  const Tensor h = to_dtype(a, DType::kF16);
  EXPECT_TRUE(std::isinf(to_float(h.data<fp16>()[2])));
  EXPECT_TRUE(std::isnan(to_float(h.data<fp16>()[3])));
  EXPECT_EQ(to_dtype(h, DType::kF32).data<float>()[1], 1.00390625f);
  EXPECT_EQ(to_dtype(to_dtype(a, DType::kF64), DType::kF32).data<float>()[1], 1.00390625f);
  EXPECT_THROW(to_dtype(a, DType::kI8), Error);
}

TEST(Tensor, EmptyTensorsAreFine) {
  const Tensor a = Tensor::empty(DType::kF16, {0, 8});
  EXPECT_EQ(a.numel(), 0);
  EXPECT_EQ(a.slice_rows(0, 0).numel(), 0);
  EXPECT_TRUE(a.defined());
  EXPECT_FALSE(Tensor().defined());
}

}  // namespace
}  // namespace nibble
