// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "nibble/base/half.h"
#include "nibble/format/weight.h"

namespace nibble {
namespace {

constexpr int64_t kRows = 3, kCols = 64, kBlock = 32;

Weight nf4(const std::vector<float>& absmax) {
  CodeBlock packed;
  packed.block_size = kBlock;
  packed.codes = Tensor::empty(DType::kU8, {kRows * kCols / 2});
  uint8_t code = 0;
  for (uint8_t& byte : packed.codes.mutable_data<uint8_t>()) byte = code++;
  const auto& codebook = codebook_of(QuantType::kNf4);
  packed.codebook = Tensor::from<float>({codebook.begin(), codebook.end()}, {16});
  packed.absmax = Tensor::from(absmax, {kRows * kCols / kBlock});
  return Weight::code_block(packed, kRows, kCols, DType::kBF16);
}

Weight affine(float scale, float zero) {
  AffineGroup packed;
  packed.group_size = kBlock;
  packed.codes = Tensor::empty(DType::kU8, {kRows, affine_row_bytes(kCols, packed.bits)});
  uint8_t code = 0;
  for (uint8_t& byte : packed.codes.mutable_data<uint8_t>()) byte = code++;
  packed.scales = Tensor::from(std::vector<float>(6, scale), {kRows, kCols / kBlock});
  packed.zeros = Tensor::from(std::vector<float>(6, zero), {kRows, kCols / kBlock});
  return Weight::affine_group(packed, kCols, DType::kF16);
}

void expect_same_numbers(const Weight& a, const Weight& b) {
  std::vector<float> of_a(kCols), of_b(kCols);
  for (int64_t row = 0; row < kRows; ++row) {
    a.decode_row(row, of_a);
    b.decode_row(row, of_b);
    // Bytes: NaN is not equal to itself.
    EXPECT_EQ(std::memcmp(of_a.data(), of_b.data(), kCols * sizeof(float)), 0) << "row " << row;
  }
}

DType narrow_dtype(const Weight& weight) {
  const Weight narrow = weight.with_narrow_scales();
  expect_same_numbers(narrow, weight);
  return narrow.layout() == Layout::kCodeBlock ? narrow.as_code_block().absmax.dtype()
                                               : narrow.as_affine_group().scales.dtype();
}

TEST(NarrowScales, TakesTheDTypeThatHoldsEveryAbsmax) {
  EXPECT_EQ(narrow_dtype(nf4({1.5f, 0.0078125f, 0.0f, 3.0f, 1.0f, 0x1p120f})), DType::kBF16);
  // Eleven bits of mantissa, subnormal halves among them.
  EXPECT_EQ(narrow_dtype(nf4({1.0009765625f, 0x1.8p-23f, 0.0f, 3.0f, 1.0f, 65504.0f})),
            DType::kF16);
}

TEST(NarrowScales, LeavesWhatOneElementDoesNotFit) {
  EXPECT_EQ(narrow_dtype(nf4({1.0f, 1.0f, 1.0f, 1.0f, 1.0f, 1.0001f})), DType::kF32);
  EXPECT_EQ(narrow_dtype(nf4({1.0009765625f, 1.0f, 1.0f, 1.0f, 1.0f, 65536.0f})), DType::kF32);
  EXPECT_EQ(narrow_dtype(nf4({1.0009765625f, 1.0f, 1.0f, 1.0f, 1.0f, 0x1p-25f})), DType::kF32);
}

TEST(NarrowScales, KeepsInfinityAndNaN) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(narrow_dtype(nf4({1.0f, infinity, -infinity, -0.0f, 1.0f, 1.0f})), DType::kBF16);
  const Weight weight = nf4({1.0f, std::nanf(""), 1.0f, 1.0f, 1.0f, 1.0f});
  const Weight narrow = weight.with_narrow_scales();
  EXPECT_TRUE(std::isnan(to_float(narrow.as_code_block().absmax.data<bf16>()[1])));
}

TEST(NarrowScales, KeepsScalesAndZerosAlike) {
  EXPECT_EQ(narrow_dtype(affine(0.5f, 8.0f)), DType::kBF16);
  EXPECT_EQ(narrow_dtype(affine(1.0009765625f, 255.0f)), DType::kF16);
  EXPECT_EQ(narrow_dtype(affine(0.5f, 1.0001f)), DType::kF32);
  EXPECT_EQ(narrow_dtype(affine(1.0009765625f, 0x1p20f)), DType::kF32);
}

TEST(NarrowScales, SaysWhereAllZerosAreTheMiddleCode) {
  const auto are_middle = [](const Weight& weight) {
    return weight.with_narrow_scales().as_affine_group().zeros_are_middle;
  };
  EXPECT_TRUE(are_middle(affine(0.5f, 8.0f)));
  EXPECT_TRUE(are_middle(affine(0.5f, 8.0f).with_narrow_scales()));
  EXPECT_TRUE(are_middle(affine(1.0001f, 8.0f)));
  EXPECT_FALSE(are_middle(affine(0.5f, 7.0f)));
}

TEST(NarrowScales, LeavesOtherWeightsAndKeepsTheMode) {
  Weight weight = nf4({1, 1, 1, 1, 1, 1}).with_activation_mode(ActivationMode::kInt8);
  EXPECT_EQ(weight.with_narrow_scales().activation_mode(), ActivationMode::kInt8);
  CodeBlock nested = nf4({1, 1, 1, 1, 1, 1}).as_code_block();
  nested.nested = encode_nested_absmax(nested.absmax.data<float>());
  nested.absmax = Tensor();
  const Weight twice = Weight::code_block(nested, kRows, kCols, DType::kBF16);
  EXPECT_TRUE(twice.with_narrow_scales().as_code_block().nested.has_value());
  const Weight dense = Weight::dense(Tensor::from(std::vector<float>(6, 0.5f), {2, 3}));
  EXPECT_EQ(dense.with_narrow_scales().as_dense().values.dtype(), DType::kF32);
}

TEST(NarrowScales, OfAnEmptyWeightAreEmpty) {
  CodeBlock packed = nf4({1, 1, 1, 1, 1, 1}).as_code_block();
  packed.codes = Tensor::empty(DType::kU8, {0});
  packed.absmax = Tensor::empty(DType::kF32, {0});
  EXPECT_EQ(Weight::code_block(packed, 0, kCols, DType::kBF16).with_narrow_scales().rows(), 0);
}

}  // namespace
}  // namespace nibble
