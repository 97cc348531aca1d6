// SPDX-License-Identifier: Apache-2.0
//
// config.json as a struct: the fields that the supported architectures read, under their Hugging
// Face names, with transformers' defaults filled in. Everything else of the file is left alone.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nibble/ops/rope.h"

namespace nibble {

struct ModelConfig {
  std::string model_type;  // "llama", "mistral", "qwen2", "qwen3"
  std::vector<std::string> architectures;
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t num_attention_heads = 0;
  int64_t num_key_value_heads = 0;
  int64_t head_dim = 0;
  int64_t max_position_embeddings = 0;
  float rms_norm_eps = 1e-6f;
  std::string hidden_act = "silu";
  bool tie_word_embeddings = false;
  bool attention_bias = false;  // on q, k, v (and o for llama and qwen3)
  bool mlp_bias = false;
  bool qkv_bias = false;  // qwen2: on q, k, v whatever attention_bias says
  bool qk_norm = false;   // qwen3: RMSNorm over each head of q and k
  // Per layer: positions that a query sees, 0 for all.
  std::vector<int64_t> sliding_window;
  RopeConfig rope;
  std::vector<int32_t> eos_token_id;
  int32_t bos_token_id = -1;  // -1: none
  int32_t pad_token_id = -1;
  std::optional<DType> dtype;           // "dtype" or "torch_dtype"
  nlohmann::ordered_json quantization;  // "quantization_config", null if absent

  // Throws Error (file, key, expected, got) for missing or mistyped keys, sizes that contradict
  // each other, and architectures that are not supported (listing those that are).
  static ModelConfig from_json(const nlohmann::ordered_json& json, const std::string& file);
  static ModelConfig load(const std::filesystem::path& folder);  // reads config.json
};

}  // namespace nibble
