// SPDX-License-Identifier: Apache-2.0
#include "nibble/models/llama.h"

#include <fmt/format.h>

#include <utility>

#include "nibble/base/error.h"
#include "nibble/ops/residual.h"

namespace nibble {
namespace {

constexpr const char* kHead = "lm_head";
constexpr const char* kTable = "model.embed_tokens";
constexpr const char* kInputNorm = "input_layernorm";
constexpr const char* kPostAttentionNorm = "post_attention_layernorm";

}  // namespace

LlamaModel::LlamaModel(ModelConfig model_config, const WeightLoader& loader)
    : Model(std::move(model_config)), rotary_(config().rope, config().head_dim) {
  const WeightLoader body = loader.sub("model");
  // Of a tied weight the file may have dropped either name.
  const bool under_head =
      config().tie_word_embeddings && loader.has_weight(kHead) && !loader.has_weight(kTable);
  embedding_ = Embedding(body, "embed_tokens", config().vocab_size, config().hidden_size,
                         under_head ? kHead : "");
  for (int64_t i = 0; i < config().num_hidden_layers; ++i) {
    blocks_.push_back(make_block(config(), body.sub("layers").sub(i), i));
  }
  norm_ = RmsNorm(body, "norm", config().hidden_size, config().rms_norm_eps);
  make_head(loader);
}

LlamaModel::Block LlamaModel::make_block(const ModelConfig& config, const WeightLoader& loader,
                                         int64_t index) {
  AttentionOptions options;
  options.hidden = config.hidden_size;
  options.heads = config.num_attention_heads;
  options.kv_heads = config.num_key_value_heads;
  options.head_dim = config.head_dim;
  options.qkv_bias = config.qkv_bias || config.attention_bias;
  options.output_bias = config.attention_bias;
  options.qk_norm = config.qk_norm;
  options.norm_eps = config.rms_norm_eps;
  options.sliding_window = config.sliding_window[static_cast<size_t>(index)];

  Block block;
  const int64_t hidden = config.hidden_size;
  block.input_norm = RmsNorm(loader, kInputNorm, hidden, config.rms_norm_eps);
  block.attention = Attention(loader.sub("self_attn"), options);
  block.post_attention_norm = RmsNorm(loader, kPostAttentionNorm, hidden, config.rms_norm_eps);
  block.mlp = GatedMlp(loader.sub("mlp"), hidden, config.intermediate_size, config.mlp_bias);
  return block;
}

void LlamaModel::make_head(const WeightLoader& loader) {
  const int64_t rows = config().vocab_size, cols = config().hidden_size;
  if (config().tie_word_embeddings && !loader.differ(kHead, kTable)) {
    loader.tie(kHead, kTable, rows, cols);
    head_ = Linear(embedding_.weight());
  } else {
    head_ = Linear(loader, kHead, rows, cols, /*bias=*/false);
  }
}

std::string LlamaModel::block_prefix(int64_t index) const {
  return fmt::format("model.layers.{}.", index);
}

Tensor LlamaModel::embed(Context& ctx, const TokenBatch& batch) const {
  return embedding_.forward(ctx, Tensor::from(batch.ids, {batch.tokens()}));
}

const LlamaModel::Block& LlamaModel::block_at(int64_t index) const {
  if (index < 0 || index >= block_count()) {
    throw Error("the model has no such block")
        .expected(fmt::format("0 to {}", block_count() - 1))
        .got(std::to_string(index));
  }
  return blocks_[static_cast<size_t>(index)];
}

Tensor LlamaModel::attend(Context& ctx, int64_t index, const Tensor& hidden,
                          const TokenBatch& batch, KvCache& cache) const {
  const Block& b = block_at(index);
  return b.attention.attend(ctx, index, b.input_norm.forward(ctx, hidden), batch, rotary_, cache);
}

Tensor LlamaModel::finish_block(Context& ctx, int64_t index, const Tensor& hidden,
                                const Tensor& attended) const {
  const Block& b = block_at(index);
  const NormedSum sum =
      b.post_attention_norm.forward(ctx, hidden, b.attention.project(ctx, attended));
  return add(ctx, sum.sum, b.mlp.forward(ctx, sum.normed));
}

Tensor LlamaModel::head(Context& ctx, const Tensor& hidden) const {
  return head_.forward(ctx, norm_.forward(ctx, hidden));
}

template <typename Self, typename F>
void LlamaModel::visit_linears(Self& self, const F& f) {
  for (size_t i = 0; i < self.blocks_.size(); ++i) {
    const std::string prefix = self.block_prefix(static_cast<int64_t>(i));
    const auto with = [&](const char* part) {
      return [&f, path = prefix + part](const char* name, auto& linear) {
        f(path + '.' + name, linear);
      };
    };
    self.blocks_[i].attention.visit(with("self_attn"));
    self.blocks_[i].mlp.visit(with("mlp"));
  }
  f(kHead, self.head_);
}

void LlamaModel::visit(const std::function<void(const std::string& path, const Linear&)>& f) const {
  visit_linears(*this, f);
}

void LlamaModel::visit(const std::function<void(const std::string& path, Linear&)>& f) {
  visit_linears(*this, f);
}

// Values are mixed by numbers that do not depend on them, and silu(gate) multiplies up.
std::vector<ScaleGroup> LlamaModel::scale_groups(int64_t block) const {
  const std::string at = block_prefix(block), attention = at + "self_attn.", mlp = at + "mlp.";
  return {{at + kInputNorm,
           {{attention + "q_proj", false}, {attention + "k_proj", false}, {attention + "v_proj"}}},
          {attention + "v_proj",
           {{attention + "o_proj"}},
           config().head_dim,
           config().num_attention_heads / config().num_key_value_heads},
          {at + kPostAttentionNorm, {{mlp + "gate_proj"}, {mlp + "up_proj"}}},
          {mlp + "up_proj", {{mlp + "down_proj"}}}};
}

void LlamaModel::visit_norms(const std::function<void(const std::string& path, RmsNorm&)>& f) {
  for (int64_t i = 0; i < block_count(); ++i) {
    Block& block = blocks_[static_cast<size_t>(i)];
    f(block_prefix(i) + kInputNorm, block.input_norm);
    f(block_prefix(i) + kPostAttentionNorm, block.post_attention_norm);
  }
}

}  // namespace nibble
