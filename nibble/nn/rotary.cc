// SPDX-License-Identifier: Apache-2.0
#include "nibble/nn/rotary.h"

#include <utility>

namespace nibble {
namespace {

Tensor as_tensor(const std::vector<float>& values) {
  return Tensor::from(values, {static_cast<int64_t>(values.size())});
}

}  // namespace

RotaryEmbedding::RotaryEmbedding(RopeConfig config, int64_t head_dim)
    : config_(std::move(config)), head_dim_(head_dim) {
  const RopeFrequencies frequencies =
      rope_frequencies(config_, head_dim, config_.max_position_embeddings);
  inv_freq_ = as_tensor(frequencies.inv_freq);
  attention_scaling_ = frequencies.attention_scaling;
}

BatchPositions RotaryEmbedding::place(Context& ctx, const TokenBatch& batch,
                                      const KvCache& cache) const {
  const auto upload = [&](const Tensor& host) { return ctx.backend.upload(ctx.stream, host); };
  BatchPositions result;
  result.positions = upload(Tensor::from(cache.positions(batch), {batch.tokens()}));
  if (config_.rope_type != "dynamic") return result;
  for (const SequenceSlice& slice : batch.slices) {
    const int64_t length = cache.length(slice.sequence) + slice.count;
    if (length <= config_.max_position_embeddings) continue;
    const Tensor inv_freq = as_tensor(rope_frequencies(config_, head_dim_, length).inv_freq);
    result.stretched.push_back({slice.begin, slice.begin + slice.count, upload(inv_freq)});
  }
  return result;
}

std::vector<Tensor> RotaryEmbedding::forward(Context& ctx, std::span<const RopeInput> inputs,
                                             float norm_eps, const BatchPositions& batch) const {
  return rope(ctx, inputs,
              {.positions = batch.positions,
               .inv_freq = ctx.backend.upload(ctx.stream, inv_freq_),
               .attention_scaling = attention_scaling_,
               .norm_eps = norm_eps,
               .others = batch.stretched});
}

}  // namespace nibble
