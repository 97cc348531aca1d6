// SPDX-License-Identifier: Apache-2.0
//
// Each op against numbers worked out by hand.
#include <gtest/gtest.h>

#include <cmath>

#include "nibble/ops/activation.h"
#include "nibble/ops/attention.h"
#include "nibble/ops/embedding.h"
#include "nibble/ops/linear.h"
#include "nibble/ops/loss.h"
#include "nibble/ops/norm.h"
#include "nibble/ops/residual.h"
#include "nibble/ops/rope.h"
#include "nibble/ops/rows.h"
#include "tests/ops/ops_testing.h"

namespace nibble::testing {
namespace {

Tensor floats(const std::vector<float>& values, Shape shape) {
  return Tensor::from(values, std::move(shape));
}

TEST_F(Ops, LinearMultipliesByRowsAndAddsBias) {
  const auto weight = prepared(floats({1, 2, 3, -1, 0, 1}, {2, 3}));
  const Tensor x = floats({1, 1, 1, 2, 0, -1}, {2, 3});
  expect_near(linear(ctx_, *weight, x), {6, 0, -1, -3});
  expect_near(linear(ctx_, *weight, x, floats({10, 20}, {2})), {16, 20, 9, 17});
}

TEST_F(Ops, EmbeddingPicksRowsOfEveryDtype) {
  const Tensor table = floats({0, 1, 2, 3, 4, 5}, {3, 2});
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const auto weight = prepared(to_dtype(table, dtype));
    const Tensor ids = Tensor::from(std::vector<int32_t>{2, 0, 2}, {3});
    expect_near(embedding(ctx_, *weight, ids), {4, 5, 0, 1, 4, 5}, 0);
  }
}

TEST_F(Ops, RmsNormDividesByTheRootMeanSquare) {
  // mean(3^2, 4^2) = 12.5; the second row is below eps and stays near zero.
  const Tensor x = floats({3, 4, 0, 0}, {2, 2});
  const float r = std::sqrt(12.5f + 0.5f);
  expect_near(rms_norm(ctx_, x, floats({1, 2}, {2}), 0.5f), {3 / r, 8 / r, 0, 0});
}

TEST_F(Ops, RmsNormTakesTheLastAxis) {
  const Tensor x = floats({1, -1, 2, 2, 0, 3, 3, 0}, {2, 2, 2});
  const float s = std::sqrt(4.5f);
  expect_near(rms_norm(ctx_, x, floats({1, 1}, {2}), 0.0f), {1, -1, 1, 1, 0, 3 / s, 3 / s, 0});
}

class Rope : public Ops {
 protected:
  Tensor turned(const Tensor& x, const RopeOptions& options) {
    const RopeInput input{x, {}};
    return rope(ctx_, {&input, 1}, options)[0];
  }
};

TEST_F(Rope, TurnsPairsHalfAHeadApart) {
  // Position 0 stays. At position 1 with frequency pi/2 the pair (a, b) becomes (-b, a).
  const Tensor x = floats({1, 2, 3, 4, 1, 2, 3, 4}, {2, 1, 4});
  const Tensor positions = Tensor::from(std::vector<int32_t>{0, 1}, {2});
  const Tensor inv_freq = floats({std::acos(0.0f), 0.0f}, {2});
  expect_near(turned(x, {positions, inv_freq}), {1, 2, 3, 4, -3, 2, 1, 4});
  expect_near(turned(x, {positions, inv_freq, 0.5f}), {.5, 1, 1.5, 2, -1.5, 1, .5, 2});
}

TEST_F(Rope, CopiesWhatIsNotRotated) {
  const Tensor x = floats({1, 2, 3, 4}, {1, 1, 4});
  const Tensor position = Tensor::from(std::vector<int32_t>{1}, {1});
  expect_near(turned(x, {position, floats({std::acos(0.0f)}, {1})}), {-2, 1, 3, 4});
}

TEST_F(Rope, RangesHaveTheirOwnFrequencies) {
  const Tensor x = floats({1, 0, 1, 0, 1, 0}, {3, 1, 2});
  const Tensor positions = Tensor::from(std::vector<int32_t>{1, 1, 1}, {3});
  const RopeRange middle{1, 2, floats({std::acos(0.0f)}, {1})};
  expect_near(turned(x, {.positions = positions,
                         .inv_freq = floats({0.0f}, {1}),
                         .others = std::span(&middle, 1)}),
              {1, 0, 0, 1, 1, 0});
}

TEST_F(Rope, TurnsEachInputAndNormsThoseWithAWeight) {
  const Tensor positions = Tensor::from(std::vector<int32_t>{1}, {1});
  const RopeInput inputs[] = {{floats({3, 4}, {1, 1, 2}), floats({1, 2}, {2})},
                              {floats({3, 4, 5, 6}, {1, 2, 2}), {}}};
  const std::vector<Tensor> out =
      rope(ctx_, inputs,
           {.positions = positions, .inv_freq = floats({std::acos(0.0f)}, {1}), .norm_eps = 0.5f});
  const float r = std::sqrt(12.5f + 0.5f);
  expect_near(out[0], {-8 / r, 3 / r});
  expect_near(out[1], {-4, 3, -6, 5});
}

TEST_F(Ops, AddRmsNormGivesTheSumAndItsNorm) {
  const NormedSum out =
      add_rms_norm(ctx_, floats({1, 1}, {1, 2}), floats({2, 3}, {1, 2}), floats({1, 2}, {2}), 0.5f);
  const float r = std::sqrt(12.5f + 0.5f);
  expect_near(out.sum, {3, 4});
  expect_near(out.normed, {3 / r, 8 / r});
}

TEST_F(Ops, AttentionWeighsValuesCausally) {
  // One head of one number; keys 0, ln 2, ln 3 give weights in the ratio 1 : 2 : 3 to a query of 1.
  const Tensor keys = floats({0, std::log(2.0f), std::log(3.0f), 99}, {1, 4, 1});
  const Tensor values = floats({6, 12, 18, 99}, {1, 4, 1});
  const Tensor query = floats({1, 1, 1}, {3, 1, 1});
  const AttentionSpan span{0, 3, 3, keys, values};
  expect_near(attention(ctx_, query, std::span(&span, 1), 1.0f, 0), {6, 10, (6 + 24 + 54) / 6.0f},
              1e-5f);
  // A window of 2: the last query sees positions 1 and 2 only.
  expect_near(attention(ctx_, query, std::span(&span, 1), 1.0f, 2), {6, 10, (24 + 54) / 5.0f},
              1e-5f);
  // A scale of 0 weighs all alike.
  expect_near(attention(ctx_, query, std::span(&span, 1), 0.0f, 0), {6, 9, 12}, 1e-5f);
}

TEST_F(Ops, AttentionSharesKeysAmongGroupedHeads) {
  // Heads 0, 1 read kv head 0; heads 2, 3 read kv head 1. One position: the output is its value.
  const Tensor keys = floats({1, 1}, {2, 1, 1}), values = floats({5, 7}, {2, 1, 1});
  const Tensor query = floats({1, 2, 3, 4}, {1, 4, 1});
  const AttentionSpan span{0, 1, 1, keys, values};
  expect_near(attention(ctx_, query, std::span(&span, 1), 1.0f, 0), {5, 5, 7, 7});
}

TEST_F(Ops, AttentionSurvivesHugeScores) {
  const Tensor keys = floats({1000, 2000}, {1, 2, 1}), values = floats({1, 2}, {1, 2, 1});
  const AttentionSpan span{0, 1, 2, keys, values};
  expect_near(attention(ctx_, floats({1}, {1, 1, 1}), std::span(&span, 1), 1.0f, 0), {2});
}

TEST_F(Ops, SiluMulGates) {
  const Tensor gate = floats({0, 1, -100, 100}, {4}), up = floats({5, 2, 3, 0.5f}, {4});
  expect_near(silu_mul(ctx_, gate, up), {0, 2 / (1 + std::exp(-1.0f)), 0, 50});
}

TEST_F(Ops, AddAddsIntoANewTensor) {
  const Tensor a = floats({1, 2}, {1, 2}), b = floats({10, 20}, {1, 2});
  expect_near(add(ctx_, a, b), {11, 22});
  expect_near(a, {1, 2});
}

TEST_F(Ops, CrossEntropyIsTheNegativeLogLikelihood) {
  const Tensor logits = floats({0, 0, 0, 0, 1000, 0, 0, 0}, {2, 4});
  const Tensor targets = Tensor::from(std::vector<int32_t>{3, 1}, {2});
  expect_near(cross_entropy(ctx_, logits, targets), {std::log(4.0f), 1000});
}

TEST_F(Ops, SelectRowsTakesThemInTheOrderGiven) {
  const Tensor x = floats({1, 2, 3, 4, 5, 6}, {3, 2});
  const std::vector<int64_t> rows = {2, 0, 2};
  const Tensor y = select_rows(ctx_, x, rows);
  EXPECT_EQ(y.shape(), (Shape{3, 2}));
  expect_near(y, {5, 6, 1, 2, 5, 6}, 0);
}

}  // namespace
}  // namespace nibble::testing
