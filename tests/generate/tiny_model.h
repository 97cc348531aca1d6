// SPDX-License-Identifier: Apache-2.0
//
// A complete model folder made in code: random weights from a fixed seed, and a tokenizer with one
// token per character. Small enough to run in microseconds, of the same structure as a real model.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nibble/base/random.h"
#include "nibble/io/checkpoint_writer.h"
#include "nibble/io/json_file.h"
#include "nibble/tensor/tensor.h"
#include "tests/testing/paths.h"
#include "tests/testing/scratch_folder.h"

namespace nibble::testing {

struct TinyModel {
  int64_t vocab = 96, hidden = 64, intermediate = 96, layers = 2, heads = 4, kv_heads = 2;
  int64_t head_dim = 16, context = 128;
  bool tied = true;
  uint64_t seed = 1;
  DType dtype = DType::kF32;
  nlohmann::ordered_json generation = nullptr;  // generation_config.json, null: no such file

  // Ids 0 to 2 are <unk>, <s> and </s>; printable ASCII characters follow from id 3.
  static int32_t id_of(char c) { return static_cast<int32_t>(c) - ' ' + 3; }

  nlohmann::ordered_json config() const {
    return {{"architectures", {"LlamaForCausalLM"}},
            {"model_type", "llama"},
            {"vocab_size", vocab},
            {"hidden_size", hidden},
            {"intermediate_size", intermediate},
            {"num_hidden_layers", layers},
            {"num_attention_heads", heads},
            {"num_key_value_heads", kv_heads},
            {"head_dim", head_dim},
            {"max_position_embeddings", context},
            {"rms_norm_eps", 1e-5},
            {"rope_theta", 10000.0},
            {"hidden_act", "silu"},
            {"tie_word_embeddings", tied},
            {"attention_bias", false},
            {"mlp_bias", false},
            {"bos_token_id", 1},
            {"eos_token_id", 2},
            {"dtype", torch_name(dtype)}};
  }

  std::map<std::string, Shape> shapes() const {
    std::map<std::string, Shape> shapes = {{"model.embed_tokens.weight", {vocab, hidden}},
                                           {"model.norm.weight", {hidden}}};
    if (!tied) shapes["lm_head.weight"] = {vocab, hidden};
    for (int64_t i = 0; i < layers; ++i) {
      const std::string layer = "model.layers." + std::to_string(i) + ".";
      shapes[layer + "input_layernorm.weight"] = {hidden};
      shapes[layer + "post_attention_layernorm.weight"] = {hidden};
      shapes[layer + "self_attn.q_proj.weight"] = {heads * head_dim, hidden};
      shapes[layer + "self_attn.k_proj.weight"] = {kv_heads * head_dim, hidden};
      shapes[layer + "self_attn.v_proj.weight"] = {kv_heads * head_dim, hidden};
      shapes[layer + "self_attn.o_proj.weight"] = {hidden, heads * head_dim};
      shapes[layer + "mlp.gate_proj.weight"] = {intermediate, hidden};
      shapes[layer + "mlp.up_proj.weight"] = {intermediate, hidden};
      shapes[layer + "mlp.down_proj.weight"] = {hidden, intermediate};
    }
    return shapes;
  }

  // Values as float32, before rounding to `dtype`: matrices normal with a deviation that keeps
  // activations near 1, norms near 1, embeddings wide enough for clear-cut logits.
  std::map<std::string, Tensor> tensors() const {
    Random random(seed);
    std::map<std::string, Tensor> tensors;
    for (const auto& [name, shape] : shapes()) {
      const bool norm = shape.size() == 1;
      const bool embedding = name == "model.embed_tokens.weight" || name == "lm_head.weight";
      const float scale = norm        ? 0.1f
                          : embedding ? 1.0f
                                      : 1.0f / std::sqrt(static_cast<float>(shape[1]));
      Tensor tensor = Tensor::empty(DType::kF32, shape);
      for (float& x : tensor.mutable_data<float>()) x = random.normal() * scale + (norm ? 1.0f : 0);
      tensors.emplace(name, to_dtype(tensor, dtype));
    }
    return tensors;
  }

  nlohmann::ordered_json tokenizer() const {
    nlohmann::ordered_json vocabulary = {{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}};
    nlohmann::ordered_json added = nlohmann::ordered_json::array();
    for (const auto& [content, id] : vocabulary.items()) {
      added.push_back({{"id", id},
                       {"content", content},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", true}});
    }
    for (int32_t id = 3; id < vocab; ++id)
      vocabulary[std::string(1, static_cast<char>(id - 3 + ' '))] = id;
    return {{"version", "1.0"},
            {"truncation", nullptr},
            {"padding", nullptr},
            {"added_tokens", added},
            {"normalizer", nullptr},
            {"pre_tokenizer", nullptr},
            {"post_processor",
             {{"type", "TemplateProcessing"},
              {"single",
               {{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}},
                {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
              {"pair",
               {{{"Sequence", {{"id", "A"}, {"type_id", 0}}}},
                {{"Sequence", {{"id", "B"}, {"type_id", 1}}}}}},
              {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", {1}}, {"tokens", {"<s>"}}}}}}}},
            {"decoder", {{"type", "Fuse"}}},
            {"model",
             {{"type", "BPE"},
              {"dropout", nullptr},
              {"unk_token", "<unk>"},
              {"continuing_subword_prefix", nullptr},
              {"end_of_word_suffix", nullptr},
              {"fuse_unk", false},
              {"byte_fallback", false},
              {"vocab", vocabulary},
              {"merges", nlohmann::ordered_json::array()}}}};
  }

  nlohmann::ordered_json tokenizer_config() const {
    return {{"tokenizer_class", "PreTrainedTokenizerFast"},
            {"bos_token", "<s>"},
            {"eos_token", "</s>"},
            {"unk_token", "<unk>"},
            {"chat_template",
             "{{ bos_token }}{% for message in messages %}[{{ message['role'] }}]"
             "{{ message['content'] }}{% endfor %}{% if add_generation_prompt %}[assistant]"
             "{% endif %}"}};
  }

  // Writes the folder anew.
  void write(const std::filesystem::path& folder) const {
    CheckpointWriterOptions options;
    options.overwrite = true;
    CheckpointWriter writer(folder, options);
    for (const auto& [name, tensor] : tensors()) writer.add(name, tensor);
    writer.add_file("config.json", format_json(config()));
    writer.add_file("tokenizer.json", format_json(tokenizer()));
    writer.add_file("tokenizer_config.json", format_json(tokenizer_config()));
    if (!generation.is_null()) writer.add_file("generation_config.json", format_json(generation));
    writer.commit();
  }
};

// Data that is not part of the project; empty when it is not there.
inline std::filesystem::path shared_data(const std::string& name) {
  const std::filesystem::path path = paths::shared_data() / name;
  return std::filesystem::exists(path) ? path : std::filesystem::path();
}

}  // namespace nibble::testing
