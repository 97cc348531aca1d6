// SPDX-License-Identifier: Apache-2.0
//
// Llama and those that keep its tree: mistral, mixtral, qwen2, qwen3, gemma 1 to 3, phi3.
#include <algorithm>
#include <array>
#include <string>

#include "nibble/base/error.h"
#include "nibble/outline/families.h"

namespace nibble {
namespace {

// What transformers fills in for keys that the file lacks.
struct Defaults {
  const char* model_type;
  int64_t vocab, hidden, intermediate, layers, heads;
  int64_t kv_heads;  // 0: as many as heads
  int64_t head_dim;  // 0: hidden / heads
  bool tied;
};

constexpr std::array<Defaults, 9> kDefaults = {{
    {"llama", 32000, 4096, 11008, 32, 32, 0, 0, false},
    {"mistral", 32000, 4096, 14336, 32, 32, 8, 0, false},
    {"mixtral", 32000, 4096, 14336, 32, 32, 8, 0, false},
    {"qwen2", 151936, 4096, 22016, 32, 32, 32, 0, false},
    {"qwen3", 151936, 4096, 22016, 32, 32, 32, 128, false},
    {"gemma", 256000, 3072, 24576, 28, 16, 16, 256, true},
    {"gemma2", 256000, 2304, 9216, 26, 8, 4, 256, true},
    {"gemma3_text", 262208, 2304, 9216, 26, 8, 4, 256, true},
    {"phi3", 32064, 3072, 8192, 32, 32, 0, 0, false},
}};

struct Sizes {
  int64_t vocab, hidden, intermediate, layers, heads, kv_heads, head_dim;
  bool gemma, four_norms;  // gemma 2 and 3 norm what comes out of attention and MLP, too
};

Sizes read_sizes(const FamilyConfig& config, const Defaults& defaults) {
  Sizes sizes{};
  sizes.vocab = config.size("vocab_size", defaults.vocab);
  sizes.hidden = config.size("hidden_size", defaults.hidden);
  sizes.intermediate = config.size("intermediate_size", defaults.intermediate);
  sizes.layers = config.count("num_hidden_layers", defaults.layers);
  sizes.heads = config.size("num_attention_heads", defaults.heads);
  // A null means as many as heads, an absent key the default of the type.
  const bool kv_null = config.reader().is_null("num_key_value_heads");
  sizes.kv_heads = config.size("num_key_value_heads",
                               kv_null || defaults.kv_heads == 0 ? sizes.heads : defaults.kv_heads);
  const bool dim_null = config.reader().is_null("head_dim");
  const int64_t derived = std::max<int64_t>(1, sizes.hidden / sizes.heads);
  sizes.head_dim =
      config.size("head_dim", dim_null || defaults.head_dim == 0 ? derived : defaults.head_dim);
  sizes.gemma = config.model_type().starts_with("gemma");
  sizes.four_norms = config.is("gemma2") || config.is("gemma3_text");
  return sizes;
}

void attention(const OutlineBuilder& at, const FamilyConfig& config, const Sizes& sizes) {
  const int64_t q = sizes.heads * sizes.head_dim, kv = sizes.kv_heads * sizes.head_dim;
  if (config.is("phi3")) {
    at.linear("o_proj", sizes.hidden, q);
    at.linear("qkv_proj", q + 2 * kv, sizes.hidden);
    return;
  }
  const bool all = !config.is("mistral") && !config.is("mixtral") && !config.is("qwen2") &&
                   config.flag("attention_bias", false);
  const bool qkv = all || config.is("qwen2");
  at.linear("q_proj", q, sizes.hidden, qkv);
  at.linear("k_proj", kv, sizes.hidden, qkv);
  at.linear("v_proj", kv, sizes.hidden, qkv);
  at.linear("o_proj", sizes.hidden, q, all);
  if (config.is("qwen3") || config.is("gemma3_text")) {
    at.norm("q_norm", sizes.head_dim, false);
    at.norm("k_norm", sizes.head_dim, false);
  }
}

// Release 5 holds the experts as two tensors, which no quantization of Linear modules converts.
void experts(const OutlineBuilder& layer, const FamilyConfig& config, const Sizes& sizes) {
  const int64_t count = config.count("num_local_experts", 8);
  const int64_t hidden = sizes.hidden, inner = sizes.intermediate;
  if (!config.v4()) {
    const OutlineBuilder mlp = layer.sub("mlp");
    mlp.parameter("gate.weight", {count, hidden});
    mlp.parameter("experts.gate_up_proj", {count, 2 * inner, hidden});
    mlp.parameter("experts.down_proj", {count, hidden, inner});
    return;
  }
  const OutlineBuilder moe = layer.sub("block_sparse_moe");
  moe.linear("gate", count, hidden);
  for (int64_t i = 0; i < count; ++i) {
    const OutlineBuilder expert = moe.sub("experts").sub(i);
    expert.linear("w1", inner, hidden);
    expert.linear("w2", hidden, inner);
    expert.linear("w3", inner, hidden);
  }
}

void mlp(const OutlineBuilder& at, const FamilyConfig& config, const Sizes& sizes) {
  const bool bias = config.is("llama") && config.flag("mlp_bias", false);
  if (config.is("phi3")) {
    at.linear("gate_up_proj", 2 * sizes.intermediate, sizes.hidden);
  } else {
    at.linear("gate_proj", sizes.intermediate, sizes.hidden, bias);
    at.linear("up_proj", sizes.intermediate, sizes.hidden, bias);
  }
  at.linear("down_proj", sizes.hidden, sizes.intermediate, bias);
}

void norms(const OutlineBuilder& layer, const FamilyConfig& config, const Sizes& sizes) {
  const auto norm = [&](const char* name) { layer.norm(name, sizes.hidden, false); };
  norm("input_layernorm");
  // Release 4 registers this one of gemma2 last.
  const bool late = sizes.four_norms && config.v4();
  if (!late) norm("post_attention_layernorm");
  if (sizes.four_norms) {
    norm("pre_feedforward_layernorm");
    norm("post_feedforward_layernorm");
  }
  if (late) norm("post_attention_layernorm");
}

// gemma3 turns by other frequencies in layers with a window than in those without.
std::vector<std::string> layer_types(const FamilyConfig& config, int64_t layers) {
  std::vector<std::string> types = config.reader().strings("layer_types");
  if (types.empty()) {
    const int64_t pattern = config.count({"_sliding_window_pattern", "sliding_window_pattern"}, 6);
    for (int64_t i = 0; i < layers; ++i) {
      types.emplace_back((i + 1) % pattern == 0 ? "full_attention" : "sliding_attention");
    }
  }
  std::ranges::sort(types);
  types.erase(std::ranges::unique(types).begin(), types.end());
  return types;
}

void rotary(const OutlineBuilder& model, const FamilyConfig& config, const Sizes& sizes) {
  const int64_t dims = config.rotary_dims(sizes.head_dim, 1.0);
  const int64_t pairs = (dims + 1) / 2;
  if (!config.v4()) {
    if (!config.is("gemma3_text")) return rotary_buffers(model, dims);
    for (const std::string& type : layer_types(config, sizes.layers)) {
      model.buffer("rotary_emb." + type + "_inv_freq", {pairs}, DType::kF32);
      model.buffer("rotary_emb." + type + "_original_inv_freq", {pairs}, DType::kF32);
    }
    return;
  }
  // Release 4 (4.46): once per layer, and once for the model in those that were moving there.
  if (config.is("gemma3_text") || config.is("qwen3")) fail_release(config);
  for (int64_t i = 0; i < sizes.layers; ++i) {
    const OutlineBuilder rotary = model.sub("layers").sub(i).sub("self_attn").sub("rotary_emb");
    rotary.buffer("inv_freq", {pairs}, DType::kF32);
    if (config.is("mixtral")) {
      const int64_t positions = config.size("max_position_embeddings", 131072);
      rotary.buffer("cos_cached", {positions, dims}, std::nullopt);
      rotary.buffer("sin_cached", {positions, dims}, std::nullopt);
    }
  }
  if (config.is("llama") || config.is("qwen2")) {
    model.buffer("rotary_emb.inv_freq", {pairs}, DType::kF32);
  }
}

}  // namespace

void outline_llama(const OutlineBuilder& root, const FamilyConfig& config) {
  const auto* defaults =
      std::ranges::find_if(kDefaults, [&](const Defaults& d) { return config.is(d.model_type); });
  const Sizes sizes = read_sizes(config, *defaults);
  const OutlineBuilder model = config.head() == Head::kNone ? root : root.sub("model");
  model.embedding("embed_tokens", sizes.vocab, sizes.hidden);
  for (int64_t i = 0; i < sizes.layers; ++i) {
    const OutlineBuilder layer = model.sub("layers").sub(i);
    attention(layer.sub("self_attn"), config, sizes);
    if (config.is("mixtral")) {
      experts(layer, config, sizes);
    } else {
      mlp(layer.sub("mlp"), config, sizes);
    }
    norms(layer, config, sizes);
  }
  model.norm("norm", sizes.hidden, false);
  if (sizes.gemma && !config.v4()) model.buffer("embed_tokens.embed_scale", {}, std::nullopt);
  rotary(model, config, sizes);
  root.outline().blocks = model.path("layers");
  add_head(root, config,
           {.table = model.path("embed_tokens"),
            .hidden = sizes.hidden,
            .vocab = sizes.vocab,
            .tied = config.tied(defaults->tied)});
}

}  // namespace nibble
