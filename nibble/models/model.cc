// SPDX-License-Identifier: Apache-2.0
#include "nibble/models/model.h"

#include <optional>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/ops/rows.h"

namespace nibble {

namespace {

// The cache need not be finer than the arithmetic that the model was made for.
DType cache_dtype_of(std::optional<DType> dtype) {
  return dtype == DType::kF16 || dtype == DType::kBF16 ? DType::kF16 : DType::kF32;
}

}  // namespace

Model::Model(ModelConfig config)
    : config_(std::move(config)), kv_cache_dtype_(cache_dtype_of(config_.dtype)) {}

Tensor Model::forward(Context& ctx, const TokenBatch& batch, KvCache& cache, LogitsOf which) const {
  if (batch.tokens() == 0) throw Error("a forward pass needs at least one token");
  Tensor hidden = embed(ctx, batch);
  for (int64_t i = 0; i < block_count(); ++i) hidden = block(ctx, i, hidden, batch, cache);
  cache.advance(batch);
  if (which == LogitsOf::kLastOfSlices &&
      static_cast<int64_t>(batch.slices.size()) != batch.tokens()) {
    std::vector<int64_t> last;
    for (const SequenceSlice& slice : batch.slices) last.push_back(slice.begin + slice.count - 1);
    hidden = select_rows(ctx, hidden, last);
  }
  return head(ctx, hidden);
}

KvCache Model::new_cache(DType dtype) const {
  return KvCache(config_.num_hidden_layers, config_.num_key_value_heads, config_.head_dim, dtype);
}

void Model::set_kv_cache_dtype(DType dtype) { kv_cache_dtype_ = new_cache(dtype).dtype(); }

}  // namespace nibble
