// SPDX-License-Identifier: Apache-2.0
//
// The GPT lines: gpt2 (whose matrices are Conv1D), gpt_bigcode, gpt_neo, gpt_neox, gptj.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "nibble/base/error.h"
#include "nibble/outline/families.h"

namespace nibble {
namespace {

// The causal mask that some keep in each attention, and what stands for minus infinity.
void mask_buffers(const OutlineBuilder& attention, int64_t positions) {
  attention.buffer("bias", {1, 1, positions, positions}, DType::kBool);
  attention.buffer("masked_bias", {}, std::nullopt);
}

struct GptSizes {
  int64_t vocab, hidden, layers, heads, positions, inner;
};

GptSizes read_gpt(const FamilyConfig& config, const GptSizes& defaults) {
  GptSizes sizes{};
  sizes.vocab = config.size("vocab_size", defaults.vocab);
  sizes.hidden = config.size({"n_embd", "hidden_size"}, defaults.hidden);
  sizes.layers = config.count({"n_layer", "num_hidden_layers"}, defaults.layers);
  sizes.heads = config.size({"n_head", "num_attention_heads"}, defaults.heads);
  sizes.positions = config.size({"n_positions", "max_position_embeddings"}, defaults.positions);
  sizes.inner = config.size("n_inner", 4 * sizes.hidden);
  return sizes;
}

}  // namespace

void outline_gpt2(const OutlineBuilder& root, const FamilyConfig& config) {
  const GptSizes sizes = read_gpt(config, {50257, 768, 12, 12, 1024, 0});
  const bool bigcode = config.is("gpt_bigcode");
  const int64_t hidden = sizes.hidden;
  const int64_t head_dim = std::max<int64_t>(1, hidden / sizes.heads);
  const bool multi_query = bigcode && config.flag("multi_query", true);
  const int64_t fused = multi_query ? hidden + 2 * head_dim : 3 * hidden;
  if (config.flag("add_cross_attention", false))
    config.reader().fail("add_cross_attention", "false");
  const OutlineBuilder model = body_of(root, config, "transformer");
  model.embedding("wte", sizes.vocab, hidden);
  model.embedding("wpe", sizes.positions, hidden);
  for (int64_t i = 0; i < sizes.layers; ++i) {
    const OutlineBuilder layer = model.sub("h").sub(i);
    const auto matrix = [&](const char* name, int64_t in, int64_t out) {
      bigcode ? layer.linear(name, out, in, true) : layer.conv1d(name, in, out);
    };
    layer.norm("ln_1", hidden, true);
    matrix("attn.c_attn", hidden, fused);
    matrix("attn.c_proj", hidden, hidden);
    layer.norm("ln_2", hidden, true);
    matrix("mlp.c_fc", hidden, sizes.inner);
    matrix("mlp.c_proj", sizes.inner, hidden);
    if (!bigcode && config.v4()) mask_buffers(layer.sub("attn"), sizes.positions);
  }
  model.norm("ln_f", hidden, true);
  if (bigcode) model.buffer("bias", {sizes.positions, sizes.positions}, DType::kBool);
  root.outline().blocks = model.path("h");
  add_head(
      root, config,
      {.table = model.path("wte"), .hidden = hidden, .vocab = sizes.vocab, .tied = config.tied()});
}

void outline_gpt_neo(const OutlineBuilder& root, const FamilyConfig& config) {
  const int64_t vocab = config.size("vocab_size", 50257);
  const int64_t hidden = config.size("hidden_size", 2048);
  const int64_t layers = config.count({"num_layers", "num_hidden_layers"}, 24);
  const int64_t positions = config.size("max_position_embeddings", 2048);
  const int64_t inner = config.size("intermediate_size", 4 * hidden);
  const OutlineBuilder model = body_of(root, config, "transformer");
  model.embedding("wte", vocab, hidden);
  model.embedding("wpe", positions, hidden);
  for (int64_t i = 0; i < layers; ++i) {
    const OutlineBuilder layer = model.sub("h").sub(i);
    const OutlineBuilder attention = layer.sub("attn").sub("attention");
    layer.norm("ln_1", hidden, true);
    for (const char* name : {"k_proj", "v_proj", "q_proj"}) attention.linear(name, hidden, hidden);
    attention.linear("out_proj", hidden, hidden, true);
    layer.norm("ln_2", hidden, true);
    layer.sub("mlp").linear("c_fc", inner, hidden, true);
    layer.sub("mlp").linear("c_proj", hidden, inner, true);
    if (config.v4()) {
      mask_buffers(attention, positions);
    } else {
      attention.buffer("bias", {1, 1, positions, positions}, DType::kBool);
    }
  }
  model.norm("ln_f", hidden, true);
  root.outline().blocks = model.path("h");
  add_head(root, config,
           {.table = model.path("wte"), .hidden = hidden, .vocab = vocab, .tied = config.tied()});
}

void outline_gpt_neox(const OutlineBuilder& root, const FamilyConfig& config) {
  const int64_t vocab = config.size("vocab_size", 50432);
  const int64_t hidden = config.size("hidden_size", 6144);
  const int64_t layers = config.count("num_hidden_layers", 44);
  const int64_t heads = config.size("num_attention_heads", 64);
  const int64_t inner = config.size("intermediate_size", 24576);
  const bool bias = config.flag("attention_bias", true);
  const int64_t head_dim = std::max<int64_t>(1, hidden / heads);
  const int64_t dims = config.rotary_dims(head_dim, config.reader().number("rotary_pct", 0.25));
  const OutlineBuilder model = body_of(root, config, "gpt_neox");
  model.embedding("embed_in", vocab, hidden);
  for (int64_t i = 0; i < layers; ++i) {
    const OutlineBuilder layer = model.sub("layers").sub(i);
    layer.norm("input_layernorm", hidden, true);
    layer.norm("post_attention_layernorm", hidden, true);
    layer.sub("attention").linear("query_key_value", 3 * hidden, hidden, bias);
    layer.sub("attention").linear("dense", hidden, hidden, bias);
    layer.sub("mlp").linear("dense_h_to_4h", inner, hidden, true);
    layer.sub("mlp").linear("dense_4h_to_h", hidden, inner, true);
    if (config.v4()) {
      mask_buffers(layer.sub("attention"), config.size("max_position_embeddings", 2048));
      layer.buffer("attention.rotary_emb.inv_freq", {(dims + 1) / 2}, DType::kF32);
    }
  }
  model.norm("final_layer_norm", hidden, true);
  if (config.v4()) {
    model.buffer("rotary_emb.inv_freq", {(dims + 1) / 2}, DType::kF32);
  } else {
    rotary_buffers(model, dims);
  }
  root.outline().blocks = model.path("layers");
  add_head(root, config,
           {.table = model.path("embed_in"),
            .hidden = hidden,
            .vocab = vocab,
            .tied = config.tied(false),
            .name = config.v4() ? "embed_out" : "lm_head"});
}

void outline_gptj(const OutlineBuilder& root, const FamilyConfig& config) {
  const GptSizes sizes = read_gpt(config, {50400, 4096, 28, 16, 2048, 0});
  const int64_t hidden = sizes.hidden;
  // Null turns all dimensions.
  const int64_t rotary =
      config.size("rotary_dim", config.reader().is_null("rotary_dim") ? hidden : 64);
  const OutlineBuilder model = body_of(root, config, "transformer");
  model.embedding("wte", sizes.vocab, hidden);
  for (int64_t i = 0; i < sizes.layers; ++i) {
    const OutlineBuilder layer = model.sub("h").sub(i);
    layer.norm("ln_1", hidden, true);
    for (const char* name : {"k_proj", "v_proj", "q_proj", "out_proj"}) {
      layer.sub("attn").linear(name, hidden, hidden);
    }
    layer.sub("mlp").linear("fc_in", sizes.inner, hidden, true);
    layer.sub("mlp").linear("fc_out", hidden, sizes.inner, true);
    if (!config.v4()) {
      layer.buffer("attn.embed_positions", {sizes.positions, rotary}, DType::kF32);
    }
  }
  model.norm("ln_f", hidden, true);
  root.outline().blocks = model.path("h");
  add_head(root, config,
           {.table = model.path("wte"),
            .hidden = hidden,
            .vocab = sizes.vocab,
            .tied = config.tied(false),
            .bias = true});
}

}  // namespace nibble
