// SPDX-License-Identifier: Apache-2.0
//
// The Llama family: pre-norm decoder blocks of rotary grouped-query attention and a SwiGLU, with a
// final norm and a head that may share the embedding. Llama, Mistral, Qwen2 and Qwen3 differ by
// switches of ModelConfig alone: biases, norms of q and k, head_dim, windows, rotary scaling.
#pragma once

#include <vector>

#include "nibble/models/model.h"
#include "nibble/nn/attention.h"
#include "nibble/nn/embedding.h"
#include "nibble/nn/mlp.h"
#include "nibble/nn/norm.h"
#include "nibble/nn/rotary.h"

namespace nibble {

class LlamaModel final : public Model {
 public:
  LlamaModel(ModelConfig config, const WeightLoader& loader);

  int64_t block_count() const override { return static_cast<int64_t>(blocks_.size()); }
  std::string block_prefix(int64_t index) const override;
  Tensor embed(Context& ctx, const TokenBatch& batch) const override;
  Tensor attend(Context& ctx, int64_t index, const Tensor& hidden, const TokenBatch& batch,
                KvCache& cache) const override;
  Tensor finish_block(Context& ctx, int64_t index, const Tensor& hidden,
                      const Tensor& attended) const override;
  Tensor head(Context& ctx, const Tensor& hidden) const override;
  void visit(const std::function<void(const std::string& path, const Linear&)>& f) const override;
  void visit(const std::function<void(const std::string& path, Linear&)>& f) override;
  std::vector<ScaleGroup> scale_groups(int64_t block) const override;
  void visit_norms(const std::function<void(const std::string& path, RmsNorm&)>& f) override;

 private:
  struct Block {
    RmsNorm input_norm, post_attention_norm;
    Attention attention;
    GatedMlp mlp;
  };
  static Block make_block(const ModelConfig& config, const WeightLoader& loader, int64_t index);
  void make_head(const WeightLoader& loader);
  // Throws Error when there is none.
  const Block& block_at(int64_t index) const;
  template <typename Self, typename F>
  static void visit_linears(Self& self, const F& f);

  RotaryEmbedding rotary_;
  Embedding embedding_;
  std::vector<Block> blocks_;
  RmsNorm norm_;
  Linear head_;
};

}  // namespace nibble
