// SPDX-License-Identifier: Apache-2.0
#include "nibble/ops/attention.h"

#include <fmt/format.h>

#include "nibble/base/error.h"
#include "nibble/ops/check.h"

namespace nibble {
namespace {

void check_span(const AttentionSpan& span, const Tensor& query) {
  const int64_t tokens = query.dim(0), heads = query.dim(1), head_dim = query.dim(2);
  ops::check_tensor("attention", "keys", span.keys, DType::kF32,
                    {ops::kAnySize, ops::kAnySize, head_dim});
  ops::check_tensor("attention", "values", span.values, DType::kF32, span.keys.shape());
  const int64_t kv_heads = span.keys.dim(0), capacity = span.keys.dim(1);
  if (kv_heads == 0 || heads % kv_heads != 0) {
    throw Error("attention: heads do not divide among the keys' heads")
        .expected(fmt::format("a multiple of {}", kv_heads))
        .got(std::to_string(heads));
  }
  if (span.begin < 0 || span.count < 0 || span.count > tokens - span.begin ||
      span.length < span.count || span.length > capacity) {
    throw Error("attention: a span is out of range")
        .expected(fmt::format("rows of {} tokens, a length of at most {}", tokens, capacity))
        .got(fmt::format("begin {}, count {}, length {}", span.begin, span.count, span.length));
  }
}

}  // namespace

Tensor attention(Context& ctx, const Tensor& query, std::span<const AttentionSpan> spans,
                 float scale, int64_t sliding_window) {
  ops::check_tensor("attention", "query", query, DType::kF32,
                    {ops::kAnySize, ops::kAnySize, ops::kAnySize});
  int64_t covered = 0;
  for (const AttentionSpan& span : spans) {
    check_span(span, query);
    covered += span.count;
  }
  if (covered != query.dim(0)) {
    throw Error("attention: the spans do not cover the query")
        .expected(fmt::format("{} tokens", query.dim(0)))
        .got(std::to_string(covered));
  }
  if (sliding_window < 0) {
    throw Error("attention: negative sliding window").got(std::to_string(sliding_window));
  }
  Tensor y = ctx.empty(DType::kF32, query.shape());
  ctx.backend.attention(ctx.stream, {query, spans, scale, sliding_window}, y);
  return y;
}

}  // namespace nibble
