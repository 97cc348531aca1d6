// SPDX-License-Identifier: Apache-2.0
//
// The rotary embedding of a model: its frequencies, computed once, applied to a batch. Only the
// "dynamic" type recomputes them, for sequences that have outgrown max_position_embeddings; each
// then has its own, so that a sequence does not depend on those it shares a batch with.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nibble/nn/kv_cache.h"
#include "nibble/ops/rope.h"

namespace nibble {

// Where the rows of a batch stand in their sequences.
struct BatchPositions {
  Tensor positions;                  // [tokens] int32, on the backend's device
  std::vector<RopeRange> stretched;  // the frequencies of outgrown sequences; usually none
};

class RotaryEmbedding {
 public:
  RotaryEmbedding() = default;
  RotaryEmbedding(RopeConfig config, int64_t head_dim);

  // Before the cache advances past the batch.
  BatchPositions place(Context& ctx, const TokenBatch& batch, const KvCache& cache) const;

  // Like the inputs; `norm_eps` is that of the norms before, where inputs have one.
  std::vector<Tensor> forward(Context& ctx, std::span<const RopeInput> inputs, float norm_eps,
                              const BatchPositions& batch) const;

 private:
  RopeConfig config_;
  int64_t head_dim_ = 0;
  Tensor inv_freq_;  // [rotary_dim / 2] float32, on the host
  float attention_scaling_ = 1.0f;
};

}  // namespace nibble
