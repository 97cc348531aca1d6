// SPDX-License-Identifier: Apache-2.0
//
// Decoders with LayerNorm and trees of their own: phi, opt, bloom, falcon, mpt.
#include <algorithm>

#include "nibble/base/error.h"
#include "nibble/outline/families.h"

namespace nibble {
namespace {

int64_t head_dim_of(int64_t hidden, int64_t heads) { return std::max<int64_t>(1, hidden / heads); }

}  // namespace

void outline_phi(const OutlineBuilder& root, const FamilyConfig& config) {
  const int64_t vocab = config.size("vocab_size", 51200);
  const int64_t hidden = config.size("hidden_size", 2048);
  const int64_t inner = config.size("intermediate_size", 8192);
  const int64_t layers = config.count("num_hidden_layers", 24);
  const int64_t heads = config.size("num_attention_heads", 32);
  const int64_t head_dim = head_dim_of(hidden, heads);
  const int64_t kv = config.size("num_key_value_heads", heads) * head_dim;
  const bool qk_norm = config.flag("qk_layernorm", false);
  const OutlineBuilder model = body_of(root, config, "model");
  model.embedding("embed_tokens", vocab, hidden);
  for (int64_t i = 0; i < layers; ++i) {
    const OutlineBuilder layer = model.sub("layers").sub(i);
    const OutlineBuilder attention = layer.sub("self_attn");
    attention.linear("q_proj", heads * head_dim, hidden, true);
    attention.linear("k_proj", kv, hidden, true);
    attention.linear("v_proj", kv, hidden, true);
    attention.linear("dense", hidden, heads * head_dim, true);
    if (qk_norm) {
      attention.norm("q_layernorm", head_dim, true);
      attention.norm("k_layernorm", head_dim, true);
    }
    layer.sub("mlp").linear("fc1", inner, hidden, true);
    layer.sub("mlp").linear("fc2", hidden, inner, true);
    layer.norm("input_layernorm", hidden, true);
  }
  model.norm("final_layernorm", hidden, true);
  const int64_t dims = config.rotary_dims(head_dim, 0.5);
  if (config.v4()) {
    for (int64_t i = 0; i < layers; ++i) {
      model.sub("layers").sub(i).buffer("self_attn.rotary_emb.inv_freq", {(dims + 1) / 2},
                                        DType::kF32);
    }
    model.buffer("rotary_emb.inv_freq", {(dims + 1) / 2}, DType::kF32);
  } else {
    rotary_buffers(model, dims);
  }
  root.outline().blocks = model.path("layers");
  add_head(root, config,
           {.table = model.path("embed_tokens"),
            .hidden = hidden,
            .vocab = vocab,
            .tied = config.tied(false),
            .bias = true});
}

void outline_opt(const OutlineBuilder& root, const FamilyConfig& config) {
  constexpr int64_t kOffset = 2;  // of learned positions
  const int64_t vocab = config.size("vocab_size", 50272);
  const int64_t hidden = config.size("hidden_size", 768);
  const int64_t inner = config.size("ffn_dim", 3072);
  const int64_t layers = config.count("num_hidden_layers", 12);
  const int64_t positions = config.size("max_position_embeddings", 2048);
  const int64_t width = config.size("word_embed_proj_dim", hidden);
  const bool bias = config.flag("enable_bias", true);
  const bool affine = config.flag("layer_norm_elementwise_affine", true);
  const OutlineBuilder decoder = body_of(root, config, "model").sub("decoder");
  decoder.embedding("embed_tokens", vocab, width);
  decoder.embedding("embed_positions", positions + kOffset, hidden);
  if (width != hidden) {
    decoder.linear("project_out", width, hidden);
    decoder.linear("project_in", hidden, width);
  }
  const bool final_norm =
      config.flag("do_layer_norm_before", true) && !config.flag("_remove_final_layer_norm", false);
  if (final_norm && affine) decoder.norm("final_layer_norm", hidden, true);
  for (int64_t i = 0; i < layers; ++i) {
    const OutlineBuilder layer = decoder.sub("layers").sub(i);
    for (const char* name : {"k_proj", "v_proj", "q_proj", "out_proj"}) {
      layer.sub("self_attn").linear(name, hidden, hidden, bias);
    }
    if (affine) layer.norm("self_attn_layer_norm", hidden, true);
    layer.linear("fc1", inner, hidden, bias);
    layer.linear("fc2", hidden, inner, bias);
    if (affine) layer.norm("final_layer_norm", hidden, true);
  }
  root.outline().blocks = decoder.path("layers");
  add_head(root, config,
           {.table = decoder.path("embed_tokens"),
            .hidden = config.head() == Head::kQuestionAnswering ? hidden : width,
            .vocab = vocab,
            .tied = config.tied()});
}

void outline_bloom(const OutlineBuilder& root, const FamilyConfig& config) {
  const int64_t vocab = config.size("vocab_size", 250880);
  const int64_t hidden = config.size({"n_embed", "hidden_size"}, 64);
  const int64_t layers = config.count({"n_layer", "num_hidden_layers"}, 2);
  const OutlineBuilder model = body_of(root, config, "transformer");
  model.embedding("word_embeddings", vocab, hidden);
  model.norm("word_embeddings_layernorm", hidden, true);
  for (int64_t i = 0; i < layers; ++i) {
    const OutlineBuilder layer = model.sub("h").sub(i);
    layer.norm("input_layernorm", hidden, true);
    layer.sub("self_attention").linear("query_key_value", 3 * hidden, hidden, true);
    layer.sub("self_attention").linear("dense", hidden, hidden, true);
    layer.norm("post_attention_layernorm", hidden, true);
    layer.sub("mlp").linear("dense_h_to_4h", 4 * hidden, hidden, true);
    layer.sub("mlp").linear("dense_4h_to_h", hidden, 4 * hidden, true);
  }
  model.norm("ln_f", hidden, true);
  root.outline().blocks = model.path("h");
  add_head(root, config,
           {.table = model.path("word_embeddings"),
            .hidden = hidden,
            .vocab = vocab,
            .tied = config.tied()});
}

void outline_falcon(const OutlineBuilder& root, const FamilyConfig& config) {
  const int64_t vocab = config.size("vocab_size", 65024);
  const int64_t hidden = config.size("hidden_size", 4544);
  const int64_t layers = config.count({"num_hidden_layers", "n_layer"}, 32);
  const int64_t heads = config.size({"num_attention_heads", "n_head"}, 71);
  const int64_t kv_heads = config.size({"num_kv_heads", "n_head_kv"}, heads);
  const int64_t inner = config.size("ffn_hidden_size", 4 * hidden);
  const int64_t head_dim = head_dim_of(hidden, heads);
  const bool grouped = config.flag("new_decoder_architecture", false);
  const bool bias = config.flag("bias", false);
  int64_t fused = 3 * hidden;
  if (grouped) {
    fused = (2 * kv_heads + heads) * head_dim;
  } else if (config.flag("multi_query", true)) {
    fused = hidden + 2 * head_dim;
  }
  const bool two_norms = config.count("num_ln_in_parallel_attn", grouped ? 2 : 1) == 2;
  const bool parallel = config.flag("parallel_attn", true);
  const OutlineBuilder model = body_of(root, config, "transformer");
  model.embedding("word_embeddings", vocab, hidden);
  for (int64_t i = 0; i < layers; ++i) {
    const OutlineBuilder layer = model.sub("h").sub(i);
    // FalconLinear: a subclass that rounds between product and bias.
    const auto linear = [&](const char* name, int64_t out, int64_t in) {
      layer.linear(name, out, in, bias).exact_class = false;
    };
    linear("self_attention.query_key_value", fused, hidden);
    linear("self_attention.dense", hidden, hidden);
    linear("mlp.dense_h_to_4h", inner, hidden);
    linear("mlp.dense_4h_to_h", hidden, inner);
    if (parallel && two_norms) {
      layer.norm("ln_attn", hidden, true);
      layer.norm("ln_mlp", hidden, true);
    } else {
      if (!parallel) layer.norm("post_attention_layernorm", hidden, true);
      layer.norm("input_layernorm", hidden, true);
    }
  }
  model.norm("ln_f", hidden, true);
  if (config.v4()) {
    const bool alibi = config.flag("alibi", false);
    for (int64_t i = 0; i < layers && !alibi; ++i) {
      model.sub("h").sub(i).buffer("self_attention.rotary_emb.inv_freq", {(head_dim + 1) / 2},
                                   DType::kF32);
    }
    model.buffer("rotary_emb.inv_freq", {(head_dim + 1) / 2}, DType::kF32);
  } else {
    rotary_buffers(model, head_dim);
  }
  root.outline().blocks = model.path("h");
  add_head(root, config,
           {.table = model.path("word_embeddings"),
            .hidden = hidden,
            .vocab = vocab,
            .tied = config.tied()});
}

void outline_mpt(const OutlineBuilder& root, const FamilyConfig& config) {
  const int64_t vocab = config.size("vocab_size", 50368);
  const int64_t hidden = config.size({"d_model", "hidden_size"}, 2048);
  const int64_t layers = config.count({"n_layers", "num_hidden_layers"}, 24);
  const OutlineBuilder model = body_of(root, config, "transformer");
  model.embedding("wte", vocab, hidden);
  for (int64_t i = 0; i < layers; ++i) {
    const OutlineBuilder layer = model.sub("blocks").sub(i);
    layer.norm("norm_1", hidden, false);
    layer.sub("attn").linear("Wqkv", 3 * hidden, hidden);
    layer.sub("attn").linear("out_proj", hidden, hidden);
    layer.norm("norm_2", hidden, false);
    layer.sub("ffn").linear("up_proj", 4 * hidden, hidden);
    layer.sub("ffn").linear("down_proj", hidden, 4 * hidden);
  }
  model.norm("norm_f", hidden, false);
  root.outline().blocks = model.path("blocks");
  add_head(root, config,
           {.table = model.path("wte"), .hidden = hidden, .vocab = vocab, .tied = config.tied()});
}

}  // namespace nibble
