// SPDX-License-Identifier: Apache-2.0
#include "nibble/ops/attention.h"

#include <fmt/format.h>

#include <string_view>

#include "nibble/base/error.h"
#include "nibble/ops/check.h"

namespace nibble {
namespace {

void check_cache(std::string_view operand, const CacheRows& cache, DType dtype,
                 const Shape& shape) {
  ops::check_tensor("attention", operand, cache.rows, dtype, shape);
  if (dtype != DType::kI8) return;
  ops::check_tensor("attention", fmt::format("scales of {}", operand), cache.scales, DType::kF32,
                    {cache.kv_heads(), cache.capacity()});
}

void check_span(const AttentionSpan& span, const Tensor& query) {
  const int64_t tokens = query.dim(0), heads = query.dim(1), head_dim = query.dim(2);
  // A dtype that no cache has is reported as one that should have been float32.
  const bool known = span.keys.rows.defined() && is_cache_dtype(span.keys.dtype());
  const DType dtype = known ? span.keys.dtype() : DType::kF32;
  check_cache("keys", span.keys, dtype, {ops::kAnySize, ops::kAnySize, head_dim});
  check_cache("values", span.values, dtype, span.keys.rows.shape());
  const int64_t kv_heads = span.keys.kv_heads(), capacity = span.keys.capacity();
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
