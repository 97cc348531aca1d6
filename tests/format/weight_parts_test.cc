// SPDX-License-Identifier: Apache-2.0
#include "nibble/format/weight_parts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/base/random.h"
#include "tests/testing/message_of.h"

namespace nibble {
namespace {

using testing::message_of;

constexpr int64_t kPartRows = 6, kPartCols = 40;

std::vector<float> some_floats(int64_t count, uint64_t seed) {
  Random random(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(random.uniform()) + 0.5f;
  return values;
}

Tensor some_bytes(DType dtype, const Shape& shape, uint64_t seed) {
  Tensor tensor = Tensor::empty(dtype, shape);
  Random random(seed);
  for (int64_t i = 0; i < tensor.nbytes(); ++i) {
    static_cast<uint8_t*>(tensor.raw())[i] = static_cast<uint8_t>(random.uniform() * 120);
  }
  return tensor;
}

Tensor some_scales(const Shape& shape, uint64_t seed) {
  return Tensor::from(some_floats(checked_numel(shape), seed), shape);
}

CodeBlock code_block_parts() {
  const auto& codebook = codebook_of(QuantType::kNf4);
  CodeBlock packed;
  packed.codes = some_bytes(DType::kU8, {kPartRows * kPartCols / 2}, 1);
  packed.codebook = Tensor::from<float>({codebook.begin(), codebook.end()}, {16});
  packed.block_size = 16;
  packed.absmax = some_scales({kPartRows * kPartCols / 16}, 2);
  return packed;
}

AffineGroup affine_parts(int64_t bits) {
  AffineGroup packed;
  packed.bits = bits;
  packed.group_size = 16;
  packed.codes = some_bytes(DType::kU8, {kPartRows, affine_row_bytes(kPartCols, bits)}, 3);
  packed.scales = some_scales({kPartRows, 3}, 4);
  packed.zeros = some_scales({kPartRows, 3}, 5);
  return packed;
}

// One of each layout, and of what its fields can be.
std::vector<Weight> weights_of_all_layouts() {
  std::vector<Weight> weights;
  weights.push_back(Weight::dense(to_dtype(some_scales({kPartRows, kPartCols}, 6), DType::kBF16)));
  const Int8Row rows{some_bytes(DType::kI8, {kPartRows, kPartCols}, 7),
                     some_scales({kPartRows}, 8)};
  weights.push_back(Weight::int8_row(rows, DType::kF16, ActivationMode::kInt8, 5.3f));
  weights.push_back(Weight::int8_row(rows, DType::kBF16, ActivationMode::kFloat));
  weights.push_back(Weight::code_block(code_block_parts(), kPartRows, kPartCols, DType::kBF16));
  weights.push_back(weights.back().with_activation_mode(ActivationMode::kInt8));
  CodeBlock nested = code_block_parts();
  nested.nested = encode_nested_absmax(nested.absmax.data<float>());
  nested.absmax = Tensor();
  weights.push_back(Weight::code_block(nested, kPartRows, kPartCols, DType::kF16));
  CodeBlock narrow = code_block_parts();
  narrow.absmax = to_dtype(narrow.absmax, DType::kF16);
  weights.push_back(Weight::code_block(narrow, kPartRows, kPartCols, DType::kF16));
  for (const int64_t bits : {2, 3, 4, 8}) {
    weights.push_back(Weight::affine_group(affine_parts(bits), kPartCols, DType::kF16));
  }
  AffineGroup ordered = affine_parts(4);
  std::vector<int32_t> positions;
  for (int32_t i = 0; i < kPartCols; ++i) positions.push_back(kPartCols - 1 - i);
  ordered.positions = Tensor::from(positions, {kPartCols});
  ordered.zero_form = ZeroForm::kAdded;
  ordered.scale_dtype = DType::kBF16;
  ordered.scales = to_dtype(ordered.scales, DType::kBF16);
  ordered.zeros = to_dtype(ordered.zeros, DType::kBF16);
  weights.push_back(Weight::affine_group(ordered, kPartCols, DType::kBF16)
                        .with_activation_mode(ActivationMode::kInt8));
  for (const DType dtype : {DType::kF8E4M3, DType::kF8E5M2}) {
    weights.push_back(Weight::float8_block(
        {some_bytes(dtype, {kPartRows, kPartCols}, 9), some_scales({2, 3}, 10), 4, 16},
        DType::kBF16));
  }
  return weights;
}

// Everything that decoding and computing read.
void expect_same_weight(const Weight& a, const Weight& b) {
  EXPECT_EQ(a.layout(), b.layout());
  EXPECT_EQ(a.dtype(), b.dtype());
  EXPECT_EQ(a.activation_mode(), b.activation_mode());
  EXPECT_EQ(a.llm_int8_threshold(), b.llm_int8_threshold());
  EXPECT_EQ(a.total_bytes(), b.total_bytes());
  const Tensor left = a.dequantize(DType::kF32), right = b.dequantize(DType::kF32);
  ASSERT_EQ(left.shape(), right.shape());
  EXPECT_EQ(std::memcmp(left.raw(), right.raw(), static_cast<size_t>(left.nbytes())), 0);
}

TEST(WeightParts, EveryLayoutComesBackAsItWas) {
  for (const Weight& weight : weights_of_all_layouts()) {
    SCOPED_TRACE(layout_name(weight.layout()));
    const WeightParts parts = parts_of(weight);
    const Weight back = weight_of(parts);
    expect_same_weight(weight, back);
    const WeightParts again = parts_of(back);
    EXPECT_EQ(again.values, parts.values);
    ASSERT_EQ(again.tensors.size(), parts.tensors.size());
    for (const auto& [name, tensor] : parts.tensors) {
      const Tensor& other = again.tensors.at(name);
      EXPECT_EQ(other.dtype(), tensor.dtype()) << name;
      EXPECT_EQ(other.shape(), tensor.shape()) << name;
      EXPECT_TRUE(std::ranges::equal(other.bytes(), tensor.bytes())) << name;
    }
  }
}

TEST(WeightParts, SharesTheBytesOfTheWeight) {
  const Weight weight = Weight::code_block(code_block_parts(), kPartRows, kPartCols, DType::kF32);
  EXPECT_EQ(weight_of(parts_of(weight)).as_code_block().codes.raw(),
            weight.as_code_block().codes.raw());
}

TEST(WeightParts, WhatIsMissingIsNamed) {
  for (const Weight& weight : weights_of_all_layouts()) {
    const WeightParts parts = parts_of(weight);
    for (const auto& [name, value] : parts.values) {
      WeightParts less = parts;
      less.values.erase(name);
      EXPECT_EQ(message_of([&] { weight_of(less); }),
                "a value of the weight is missing: expected " + name);
    }
    for (const auto& [name, tensor] : parts.tensors) {
      if (name == "positions" || name == "nested_codes") continue;  // a weight may have none
      WeightParts less = parts;
      less.tensors.erase(name);
      EXPECT_THROW(weight_of(less), Error) << name;
    }
  }
}

TEST(WeightParts, ValuesThatNoWeightHasAreRefused) {
  const Weight weight = Weight::affine_group(affine_parts(4), kPartCols, DType::kF16);
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, std::string>>{{"layout", "5"},
                                                        {"layout", "-1"},
                                                        {"rows", "7"},
                                                        {"rows", "6 "},
                                                        {"cols", ""},
                                                        {"bits", "99999999999999999999"},
                                                        {"group_size", "0"},
                                                        {"zero_form", "2"},
                                                        {"scale_dtype", "int8"},
                                                        {"dtype", "float1"},
                                                        {"activation", "2"}}) {
    WeightParts parts = parts_of(weight);
    parts.values[name] = value;
    EXPECT_THROW(weight_of(parts), Error) << name << " = " << value;
  }
}

}  // namespace
}  // namespace nibble
