// SPDX-License-Identifier: Apache-2.0
#include "nibble/nn/attention.h"

#include <cmath>

#include "nibble/ops/attention.h"

namespace nibble {

Attention::Attention(const WeightLoader& loader, const AttentionOptions& options)
    : options_(options) {
  const int64_t width = options.heads * options.head_dim;
  const int64_t kv_width = options.kv_heads * options.head_dim;
  q_ = Linear(loader, "q_proj", width, options.hidden, options.qkv_bias);
  k_ = Linear(loader, "k_proj", kv_width, options.hidden, options.qkv_bias);
  v_ = Linear(loader, "v_proj", kv_width, options.hidden, options.qkv_bias);
  o_ = Linear(loader, "o_proj", options.hidden, width, options.output_bias);
  if (options.qk_norm) {
    q_norm_ = RmsNorm(loader, "q_norm", options.head_dim, options.norm_eps);
    k_norm_ = RmsNorm(loader, "k_norm", options.head_dim, options.norm_eps);
  }
}

Tensor Attention::attend(Context& ctx, int64_t layer, const Tensor& x, const TokenBatch& batch,
                         const RotaryEmbedding& rotary, KvCache& cache) const {
  const int64_t tokens = x.dim(0);
  const Shape per_head{tokens, options_.heads, options_.head_dim};
  const Shape per_kv_head{tokens, options_.kv_heads, options_.head_dim};
  const std::vector<Tensor> qkv = Linear::forward(ctx, x, {&q_, &k_, &v_});
  const RopeInput query_and_key[] = {{qkv[0].reshape(per_head), q_norm_.weight()},
                                     {qkv[1].reshape(per_kv_head), k_norm_.weight()}};
  const std::vector<Tensor> placed =
      rotary.forward(ctx, query_and_key, options_.norm_eps, rotary.place(ctx, batch, cache));
  const std::vector<AttentionSpan> spans =
      cache.append(ctx, layer, batch, placed[1], qkv[2].reshape(per_kv_head));
  const float scale = 1.0f / std::sqrt(static_cast<float>(options_.head_dim));
  const Tensor mixed = attention(ctx, placed[0], spans, scale, options_.sliding_window);
  return mixed.reshape({tokens, options_.heads * options_.head_dim});
}

Tensor Attention::project(Context& ctx, const Tensor& attended) const {
  return o_.forward(ctx, attended);
}

}  // namespace nibble
