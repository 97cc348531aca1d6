// SPDX-License-Identifier: Apache-2.0
//
// The metadata of a GGUF file as the config.json and generation_config.json of the same model, and
// its tensor names as Hugging Face's. Reads no weights but the small table of rope factors.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "nibble/io/gguf.h"

namespace nibble {

struct GgufModel {
  std::string model_type;  // "llama", "qwen2", "qwen3"
  nlohmann::ordered_json config, generation_config;
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  // llama.cpp stores the query and key rows of the llama architecture in the order of interleaved
  // rotary embedding; Hugging Face's order is half-split.
  bool interleaved_rope = false;
};

// Throws Error with the file and the key for whatever is missing or not supported.
GgufModel read_gguf_model(const GgufFile& file);

// "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight"; absent for a name that is no
// weight of these architectures.
std::optional<std::string> hugging_face_name(const std::string& gguf_name);

}  // namespace nibble
