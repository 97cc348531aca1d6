// SPDX-License-Identifier: Apache-2.0
#include "nibble/format/weight.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "nibble/base/error.h"
#include "tests/testing/message_of.h"

namespace nibble {
namespace {

using testing::message_of;

Int8Row int8_parts() {
  return {Tensor::from<int8_t>({127, -127, 0, 1, 2, 3}, {2, 3}),
          Tensor::from<float>({127, 254}, {2})};
}

// [3, 5] with block size 4: blocks cross rows, the last is short, the count is odd.
CodeBlock code_parts() {
  const auto& codebook = codebook_of(QuantType::kNf4);
  CodeBlock packed;
  packed.codes = Tensor::from<uint8_t>({0x0f, 0xf0, 0x77, 0xff, 0x00, 0x7f, 0xf7, 0xf0}, {8});
  packed.codebook = Tensor::from<float>({codebook.begin(), codebook.end()}, {16});
  packed.block_size = 4;
  packed.absmax = Tensor::from<float>({1, 2, 3, 4}, {4});
  return packed;
}

CodeBlock nested_parts() {
  CodeBlock packed = code_parts();
  packed.absmax = Tensor();
  packed.nested = NestedAbsmax{.codes = Tensor::from<uint8_t>({255, 127, 255, 0}, {4}),
                               .absmax = Tensor::from<float>({2, 0.5f}, {2}),
                               .codebook = Tensor::zeros(DType::kF32, {256}),
                               .block_size = 2,
                               .offset = 1.0f};
  packed.nested->codebook.mutable_data<float>()[255] = 1.0f;
  return packed;
}

TEST(Weight, DefaultIsEmpty) {
  const Weight weight;
  EXPECT_EQ(weight.rows(), 0);
  EXPECT_EQ(weight.layout(), Layout::kDense);
  EXPECT_EQ(weight.dequantize().shape(), (Shape{0, 0}));
  EXPECT_EQ(weight.code_bytes(), 0);
  EXPECT_EQ(weight.total_bytes(), 0);
}

TEST(Weight, DenseDecodesEveryDtype) {
  const std::vector<float> values = {1.5f, -2.0f, 0.25f, 8.0f};
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const Weight weight = Weight::dense(to_dtype(Tensor::from(values, {2, 2}), dtype));
    EXPECT_EQ(weight.dtype(), dtype);
    std::vector<float> row(2);
    weight.decode_row(1, row);
    EXPECT_EQ(row, (std::vector<float>{0.25f, 8.0f}));
    EXPECT_EQ(weight.code_bytes(), 4 * size_of(dtype));
    EXPECT_EQ(weight.total_bytes(), weight.code_bytes());
  }
}

TEST(Weight, Int8RowDecodes) {
  const Weight weight = Weight::int8_row(int8_parts(), DType::kBF16);
  EXPECT_EQ(weight.layout(), Layout::kInt8Row);
  EXPECT_EQ(layout_name(weight.layout()), "int8_row");
  EXPECT_EQ(weight.activation_mode(), ActivationMode::kInt8);
  EXPECT_EQ(weight.llm_int8_threshold(), 6.0f);
  const Tensor out = weight.dequantize();
  EXPECT_EQ(out.dtype(), DType::kBF16);
  const Tensor floats = weight.dequantize(DType::kF32);
  const auto got = floats.data<float>();
  EXPECT_EQ(std::vector<float>(got.begin(), got.end()),
            (std::vector<float>{127, -127, 0, 2, 4, 6}));
  EXPECT_EQ(weight.code_bytes(), 6);
  EXPECT_EQ(weight.total_bytes(), 14);
}

TEST(Weight, CodeBlockDecodesAcrossRows) {
  const Weight weight = Weight::code_block(code_parts(), 3, 5, DType::kF16);
  std::vector<float> row(5);
  weight.decode_row(0, row);
  EXPECT_EQ(row, (std::vector<float>{-1, 1, 1, -1, 0}));
  weight.decode_row(1, row);
  EXPECT_EQ(row, (std::vector<float>{0, 2, 2, -3, -3}));
  weight.decode_row(2, row);
  EXPECT_EQ(row, (std::vector<float>{0, 3, 4, 0, 4}));
  EXPECT_EQ(weight.dequantize().dtype(), DType::kF16);
  EXPECT_EQ(weight.code_bytes(), 8);
  EXPECT_EQ(weight.total_bytes(), 8 + 64 + 16);
}

TEST(Weight, NestedCodeBlockDecodes) {
  const Weight weight = Weight::code_block(nested_parts(), 3, 5, DType::kF32);
  std::vector<float> row(5);
  weight.decode_row(0, row);  // absmax 1 * 2 + 1, then 0 * 2 + 1
  EXPECT_EQ(row, (std::vector<float>{-3, 3, 3, -3, 0}));
  weight.decode_row(2, row);  // absmax 1 * 0.5 + 1, then 0 * 0.5 + 1
  EXPECT_EQ(row, (std::vector<float>{0, 1.5f, 1, 0, 1}));
  EXPECT_EQ(weight.total_bytes(), 8 + 64 + 4 + 8 + 1024);
}

TEST(Weight, DequantizeRoundsEachElementOnce) {
  // Through bfloat16 the product would become 1 + 2^-7.
  const float x = 1.0f + 0x1p-8f + 0x1p-20f;
  CodeBlock packed = code_parts();
  packed.absmax = Tensor::from<float>({x, x, x, x}, {4});
  const Weight weight = Weight::code_block(packed, 3, 5, DType::kBF16);
  EXPECT_EQ(to_float(weight.dequantize().data<bf16>()[1]), 1.0f + 0x1p-7f);
  EXPECT_EQ(to_float(weight.dequantize(DType::kF16).data<fp16>()[1]), 1.0f + 0x1p-8f);
  EXPECT_EQ(weight.dequantize(DType::kF32).data<float>()[1], x);
}

TEST(Weight, EmptyMatricesAreFine) {
  CodeBlock packed = code_parts();
  packed.codes = Tensor::empty(DType::kU8, {0});
  packed.absmax = Tensor::empty(DType::kF32, {0});
  EXPECT_EQ(Weight::code_block(packed, 0, 5, DType::kF32).dequantize().shape(), (Shape{0, 5}));
  EXPECT_EQ(Weight::code_block(packed, 5, 0, DType::kF32).dequantize().shape(), (Shape{5, 0}));
  const Int8Row rows{Tensor::empty(DType::kI8, {2, 0}), Tensor::zeros(DType::kF32, {2})};
  EXPECT_EQ(Weight::int8_row(rows, DType::kF32).dequantize().numel(), 0);
}

TEST(Weight, ActivationModeChangesOnACopy) {
  const Weight weight = Weight::int8_row(int8_parts(), DType::kF32);
  EXPECT_EQ(weight.with_activation_mode(ActivationMode::kFloat).activation_mode(),
            ActivationMode::kFloat);
  EXPECT_EQ(weight.activation_mode(), ActivationMode::kInt8);
  const Weight dense = Weight::dense(Tensor::zeros(DType::kF32, {1, 1}));
  EXPECT_EQ(message_of([&] { (void)dense.with_activation_mode(ActivationMode::kInt8); }),
            "int8 activations need a quantized weight: got dense");
}

TEST(Weight, Int8ActivationsRoundTheValuesOfACodebook) {
  const Weight weight = Weight::code_block(code_parts(), 3, 5, DType::kF16);
  const Weight rounded = weight.with_activation_mode(ActivationMode::kInt8);
  const auto before = weight.as_code_block().codebook.data<float>();
  const auto after = rounded.as_code_block().codebook.data<float>();
  bool differs = false;
  for (size_t i = 0; i < 16; ++i) {
    EXPECT_NEAR(after[i], before[i], 0.5001f / 127) << i;
    differs |= after[i] != before[i];
  }
  EXPECT_TRUE(differs);
}

TEST(Weight, RefusesPartsThatDoNotFit) {
  struct Row {
    const char* message;
    std::function<void()> make;
  };
  const auto code = [](const std::function<void(CodeBlock&)>& damage, int64_t rows = 3,
                       DType dtype = DType::kF16) {
    return [=] {
      CodeBlock packed = code_parts();
      damage(packed);
      (void)Weight::code_block(packed, rows, 5, dtype);
    };
  };
  const auto nested = [](const std::function<void(NestedAbsmax&)>& damage) {
    return [=] {
      CodeBlock packed = nested_parts();
      damage(*packed.nested);
      (void)Weight::code_block(packed, 3, 5, DType::kF16);
    };
  };
  const auto int8 = [](const std::function<void(Int8Row&)>& damage, float threshold = 6.0f) {
    return [=] {
      Int8Row packed = int8_parts();
      damage(packed);
      (void)Weight::int8_row(packed, DType::kF16, ActivationMode::kInt8, threshold);
    };
  };
  const Row rows[] = {
      {"values are missing", [] { (void)Weight::dense(Tensor()); }},
      {"a weight is a matrix: expected [rows, cols], got [4]",
       [] { (void)Weight::dense(Tensor::zeros(DType::kF32, {4})); }},
      {"a weight cannot have this dtype: expected float32, float16 or bfloat16, got int8",
       [] { (void)Weight::dense(Tensor::zeros(DType::kI8, {4, 4})); }},
      {"codes are missing", int8([](Int8Row& p) { p.codes = Tensor(); })},
      {"codes do not fit the weight: expected int8 [rows, cols], got uint8 [2, 3]",
       int8([](Int8Row& p) { p.codes = Tensor::zeros(DType::kU8, {2, 3}); })},
      {"absmax does not fit the weight: expected float32 [2], got float32 [2, 1]",
       int8([](Int8Row& p) { p.absmax = Tensor::zeros(DType::kF32, {2, 1}); })},
      {"llm_int8_threshold is out of range: expected a finite number of at least 0, got -1",
       int8([](Int8Row&) {}, -1.0f)},
      {"code tensor does not fit the weight: expected uint8 [10], got uint8 [8]",
       code([](CodeBlock&) {}, 4)},
      {"shape has a negative dimension: got [-1, 5]", code([](CodeBlock&) {}, -1)},
      {"shape has more elements than 63 bits can count: got [9223372036854775807, 5]",
       code([](CodeBlock&) {}, INT64_MAX)},
      {"a weight cannot have this dtype: expected float32, float16 or bfloat16, got float64",
       code([](CodeBlock&) {}, 3, DType::kF64)},
      {"block size is out of range: expected a positive number, got 0",
       code([](CodeBlock& p) { p.block_size = 0; })},
      {"codebook does not fit the weight: expected float32 [16], got float32 [8]",
       code([](CodeBlock& p) { p.codebook = Tensor::zeros(DType::kF32, {8}); })},
      {"absmax is missing", code([](CodeBlock& p) { p.absmax = Tensor(); })},
      {"absmax does not fit the weight: expected float32 [4], got float32 [3]",
       code([](CodeBlock& p) { p.absmax = Tensor::zeros(DType::kF32, {3}); })},
      {"absmax stands beside nested absmax",
       code([](CodeBlock& p) { p.nested = *nested_parts().nested; })},
      {"nested block size is out of range: expected a positive number, got -2",
       nested([](NestedAbsmax& n) { n.block_size = -2; })},
      {"nested absmax code tensor does not fit the weight: expected uint8 [4], got uint8 [5]",
       nested([](NestedAbsmax& n) { n.codes = Tensor::zeros(DType::kU8, {5}); })},
      {"nested absmax does not fit the weight: expected float32 [2], got float32 [1]",
       nested([](NestedAbsmax& n) { n.absmax = Tensor::zeros(DType::kF32, {1}); })},
      {"nested codebook does not fit the weight: expected float32 [256], got float32 [16]",
       nested([](NestedAbsmax& n) { n.codebook = Tensor::zeros(DType::kF32, {16}); })},
  };
  for (const Row& row : rows) EXPECT_EQ(message_of(row.make), row.message);
}

TEST(Weight, DecodeRowRefusesWhatIsOutOfRange) {
  const Weight weight = Weight::int8_row(int8_parts(), DType::kF16);
  std::vector<float> row(3);
  EXPECT_EQ(message_of([&] { weight.decode_row(2, row); }),
            "cannot decode this row: expected a row of [0, 2) into 3 floats, got row 2 into 3 "
            "floats");
  EXPECT_EQ(message_of([&] { weight.decode_row(0, std::span(row).first(2)); }),
            "cannot decode this row: expected a row of [0, 2) into 3 floats, got row 0 into 2 "
            "floats");
}

}  // namespace
}  // namespace nibble
