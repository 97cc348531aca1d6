// SPDX-License-Identifier: Apache-2.0
//
// Self-attention with grouped queries: projections, optional norms of each head, rotation, cache,
// attention, output projection. What differs between architectures is in AttentionOptions.
#pragma once

#include "nibble/nn/kv_cache.h"
#include "nibble/nn/linear.h"
#include "nibble/nn/norm.h"
#include "nibble/nn/rotary.h"

namespace nibble {

struct AttentionOptions {
  int64_t hidden = 0;
  int64_t heads = 0, kv_heads = 0, head_dim = 0;  // heads * head_dim need not equal hidden
  bool qkv_bias = false, output_bias = false;
  bool qk_norm = false;  // RMSNorm over each head of q and k, before the rotation (Qwen3)
  float norm_eps = 0.0f;
  int64_t sliding_window = 0;  // positions that a query sees; 0: all
};

class Attention {
 public:
  Attention() = default;
  // Reads q_proj [heads * head_dim, hidden], k_proj and v_proj [kv_heads * head_dim, hidden],
  // o_proj [hidden, heads * head_dim], and with qk_norm q_norm and k_norm [head_dim].
  Attention(const WeightLoader& loader, const AttentionOptions& options);

  // x [tokens, hidden] -> [tokens, heads * head_dim], what project() takes to [tokens, hidden].
  // Writes the keys and values of `layer` into the cache.
  Tensor attend(Context& ctx, int64_t layer, const Tensor& x, const TokenBatch& batch,
                const RotaryEmbedding& rotary, KvCache& cache) const;
  Tensor project(Context& ctx, const Tensor& attended) const;

  // Calls f(name, linear) in the order of the forward pass.
  template <typename F>
  void visit(const F& f) const {
    visit_linears(*this, f);
  }
  template <typename F>
  void visit(const F& f) {
    visit_linears(*this, f);
  }

 private:
  template <typename Self, typename F>
  static void visit_linears(Self& self, const F& f) {
    f("q_proj", self.q_);
    f("k_proj", self.k_);
    f("v_proj", self.v_);
    f("o_proj", self.o_);
  }

  AttentionOptions options_;
  Linear q_, k_, v_, o_;
  RmsNorm q_norm_, k_norm_;  // with qk_norm only
};

}  // namespace nibble
