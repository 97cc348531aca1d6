// SPDX-License-Identifier: Apache-2.0
//
// Operands that do not fit are refused before a kernel runs, with the op and the operand named.
#include <gtest/gtest.h>

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

Tensor zeros(Shape shape, DType dtype = DType::kF32) {
  return Tensor::zeros(dtype, std::move(shape));
}

TEST_F(Ops, LinearChecksItsOperands) {
  const auto weight = prepared(zeros({4, 3}));
  EXPECT_EQ(message_of([&] { linear(ctx_, *weight, zeros({2, 4})); }),
            "linear: x does not fit: expected float32 [any, 3], got float32 [2, 4]");
  EXPECT_EQ(message_of([&] { linear(ctx_, *weight, zeros({2, 3}, DType::kBF16)); }),
            "linear: x does not fit: expected float32 [any, 3], got bfloat16 [2, 3]");
  EXPECT_EQ(message_of([&] { linear(ctx_, *weight, {}); }), "linear: x is undefined");
  EXPECT_EQ(message_of([&] { linear(ctx_, *weight, zeros({2, 3}), zeros({3})); }),
            "linear: bias does not fit: expected float32 [4], got float32 [3]");
}

TEST_F(Ops, EmbeddingChecksItsIds) {
  const auto table = prepared(zeros({4, 3}));
  EXPECT_EQ(message_of([&] { embedding(ctx_, *table, zeros({2})); }),
            "embedding: ids does not fit: expected int32 [any], got float32 [2]");
  const Tensor ids = Tensor::from(std::vector<int32_t>{0, 4}, {2});
  EXPECT_EQ(message_of([&] { embedding(ctx_, *table, ids); }),
            "embedding: token id is out of range: expected 0 to 3, got 4");
}

TEST_F(Ops, ElementwiseOpsNeedOneShape) {
  EXPECT_EQ(message_of([&] { add(ctx_, zeros({2, 3}), zeros({3, 2})); }),
            "add: b does not fit: expected float32 [2, 3], got float32 [3, 2]");
  EXPECT_EQ(message_of([&] { silu_mul(ctx_, zeros({2}), zeros({3})); }),
            "silu_mul: up does not fit: expected float32 [2], got float32 [3]");
  EXPECT_EQ(message_of([&] { rms_norm(ctx_, zeros({2, 3}), zeros({2}), 0); }),
            "rms_norm: x does not fit: expected float32 [any, 2], got float32 [2, 3]");
  EXPECT_EQ(message_of([&] { add_rms_norm(ctx_, zeros({2, 3}), zeros({3}), zeros({3}), 0); }),
            "add_rms_norm: b does not fit: expected float32 [2, 3], got float32 [3]");
}

TEST_F(Ops, RopeChecksItsOperands) {
  const Tensor x = zeros({2, 1, 4}), positions = zeros({2}, DType::kI32);
  const auto with = [&](const RopeOptions& options, const Tensor& norm_weight = {}) {
    const RopeInput input{x, norm_weight};
    return message_of([&] { rope(ctx_, {&input, 1}, options); });
  };
  EXPECT_EQ(with({zeros({3}, DType::kI32), zeros({2})}),
            "rope: positions does not fit: expected int32 [2], got int32 [3]");
  EXPECT_EQ(with({positions, zeros({2})}, zeros({3})),
            "rope: norm weight does not fit: expected float32 [4], got float32 [3]");
  EXPECT_EQ(with({positions, zeros({3})}),
            "rope: more frequencies than pairs in a head: expected at most 2, got 3");
  const RopeRange ranges[] = {{1, 2, zeros({2})}, {0, 1, zeros({2})}};
  EXPECT_EQ(with({.positions = positions, .inv_freq = zeros({2}), .others = ranges}),
            "rope: ranges are not ascending: expected a range from row 2, got [0, 1)");
}

TEST_F(Ops, AttentionChecksItsSpans) {
  const Tensor query = zeros({3, 4, 2});
  const auto with = [&](AttentionSpan span) {
    return message_of([&] { attention(ctx_, query, std::span(&span, 1), 1, 0); });
  };
  EXPECT_EQ(with({0, 3, 3, zeros({2, 8, 4}), zeros({2, 8, 4})}),
            "attention: keys does not fit: expected float32 [any, any, 2], got float32 [2, 8, 4]");
  EXPECT_EQ(with({0, 3, 3, zeros({2, 8, 2}), zeros({2, 9, 2})}),
            "attention: values does not fit: expected float32 [2, 8, 2], got float32 [2, 9, 2]");
  EXPECT_EQ(
      with({0, 3, 3, zeros({3, 8, 2}), zeros({3, 8, 2})}),
      "attention: heads do not divide among the keys' heads: expected a multiple of 3, got 4");
  EXPECT_EQ(with({0, 3, 9, zeros({2, 8, 2}), zeros({2, 8, 2})}),
            "attention: a span is out of range: expected rows of 3 tokens, a length of at most 8, "
            "got begin 0, count 3, length 9");
  EXPECT_EQ(with({0, 2, 2, zeros({2, 8, 2}), zeros({2, 8, 2})}),
            "attention: the spans do not cover the query: expected 3 tokens, got 2");
}

TEST_F(Ops, CrossEntropyChecksItsTargets) {
  const Tensor targets = Tensor::from(std::vector<int32_t>{0, -1}, {2});
  EXPECT_EQ(message_of([&] { cross_entropy(ctx_, zeros({2, 4}), targets); }),
            "cross_entropy: target is out of range: expected 0 to 3, got -1");
  EXPECT_EQ(message_of([&] { cross_entropy(ctx_, zeros({3, 4}), targets); }),
            "cross_entropy: targets does not fit: expected int32 [3], got int32 [2]");
}

TEST_F(Ops, SelectRowsChecksItsRows) {
  const std::vector<int64_t> rows = {3};
  EXPECT_EQ(message_of([&] { select_rows(ctx_, zeros({3, 4}), rows); }),
            "select_rows: no such row: expected 0 to 2, got 3");
}

}  // namespace
}  // namespace nibble::testing
