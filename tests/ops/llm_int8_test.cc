// SPDX-License-Identifier: Apache-2.0
//
// LLM.int8() in the reference backend, on numbers small enough to follow by hand.
#include <gtest/gtest.h>

#include <cmath>

#include "nibble/ops/linear.h"
#include "tests/ops/ops_testing.h"

namespace nibble::testing {
namespace {

class LlmInt8 : public Ops {
 protected:
  // One output row with codes 127, -127, 64 and an absmax of 2: weights 2, -2, 1.0079.
  Tensor run(const std::vector<float>& x, int64_t tokens, float threshold) {
    Int8Row packed{Tensor::from(std::vector<int8_t>{127, -127, 64}, {1, 3}),
                   Tensor::from(std::vector<float>{2}, {1})};
    const auto weight = backend_->prepare(
        Weight::int8_row(std::move(packed), DType::kF16, ActivationMode::kInt8, threshold));
    return linear(ctx_, *weight, Tensor::from(x, {tokens, 3}));
  }
};

TEST_F(LlmInt8, RoundsActivationsToCodesOfTheirRow) {
  // absmax 1: codes 127, 64 (63.5 to even), 0; (127 * 127 - 127 * 64) * 1 * 2 / 127^2.
  expect_near(run({1, 0.5f, 0}, 1, 0), {(127 * 127 - 127 * 64) * 2.0f / 16129});
}

TEST_F(LlmInt8, RowsHaveTheirOwnScale) {
  const Tensor y = run({1, 0.5f, 0, 100, 50, 0}, 2, 0);
  EXPECT_NEAR(values(y)[1], 100 * values(y)[0], 1e-4f);
}

TEST_F(LlmInt8, OutliersStayFloat) {
  // 8 is an outlier: it leaves the scale to 0.3 and is multiplied exactly. 0.3 becomes code 127.
  const float inlier = to_float(to_fp16(0.3f));
  expect_near(run({8, 0.3f, 0}, 1, 6), {8 * 2 - inlier * 2}, 2e-6f);
}

TEST_F(LlmInt8, ThresholdIsItselfAnOutlier) {
  expect_near(run({6, 0, 0.001f}, 1, 6), {12 + 0.001f * 128 / 127.0f}, 2e-6f);
}

TEST_F(LlmInt8, OutlierColumnsAreFloatForAllRows) {
  // Row 1 has no outlier, but its element in column 0 is multiplied as the float that it is, where
  // a code would round 0.0123 / 1 to 2/127. It still would count for the row's absmax.
  const Tensor y = run({8, 0, 0, 0.0123f, 1, 0}, 2, 6);
  expect_near(y, {16, 0.0123f * 2 - 2}, 2e-6f);
}

TEST_F(LlmInt8, AbsmaxCountsSmallElementsOfOutlierColumns) {
  // Row 1: absmax 4 from column 0, so 1 becomes code 32 (31.75), not 127.
  const Tensor y = run({8, 0, 0, 4, 1, 0}, 2, 6);
  EXPECT_NEAR(values(y)[1], 8 - 32 * 127 * 4.0f * 2 / 16129, 2e-6f);
}

TEST_F(LlmInt8, WithoutThresholdNothingIsAnOutlier) {
  // 0.3 against 80 rounds to code 0.
  expect_near(run({80, 0.3f, 0}, 1, 0), {160}, 1e-4f);
}

TEST_F(LlmInt8, ValuesBeyondFp16StayFinite) {
  for (const float threshold : {0.0f, 6.0f}) {
    expect_near(run({70000, 1, 0}, 1, threshold), {140000 - 2}, 0.02f);
  }
}

TEST_F(LlmInt8, ActivationsPassThroughFp16) {
  // 1/3 has 11 bits in fp16. As the absmax it is code 127 and returns as it is.
  expect_near(run({1.0f / 3, 0, 0}, 1, 0), {2 * to_float(to_fp16(1.0f / 3))}, 1e-7f);
}

TEST_F(LlmInt8, ZeroRowGivesZero) { expect_near(run({0, 0, 0}, 1, 6), {0}, 0); }

TEST_F(LlmInt8, FloatModeDecodesTheWeight) {
  Int8Row packed{Tensor::from(std::vector<int8_t>{127, -127, 64}, {1, 3}),
                 Tensor::from(std::vector<float>{2}, {1})};
  const auto weight =
      backend_->prepare(Weight::int8_row(std::move(packed), DType::kF16, ActivationMode::kFloat));
  expect_near(linear(ctx_, *weight, Tensor::from(std::vector<float>{1, 0.5f, 0}, {1, 3})), {1});
}

}  // namespace
}  // namespace nibble::testing
