// SPDX-License-Identifier: Apache-2.0
#include "nibble/convert/gguf_config.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

#include "nibble/base/error.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

struct Architecture {
  const char* gguf;        // general.architecture
  const char* model_type;  // and prefix of the class name
  const char* class_name;
  bool interleaved_rope;
};
constexpr std::array<Architecture, 3> kArchitectures{{
    {"llama", "llama", "LlamaForCausalLM", true},
    {"qwen2", "qwen2", "Qwen2ForCausalLM", false},
    {"qwen3", "qwen3", "Qwen3ForCausalLM", false},
}};

// Metadata under the architecture's prefix.
class Metadata {
 public:
  Metadata(const GgufFile& file, std::string prefix) : file_(file), prefix_(std::move(prefix)) {}

  std::string key(std::string_view name) const { return fmt::format("{}.{}", prefix_, name); }
  const GgufValue* find(std::string_view name) const { return file_.find_value(key(name)); }

  int64_t size(std::string_view name) const {  // a positive integer that must be there
    const int64_t value = file_.value(key(name)).as_int();
    return check_positive(name, value);
  }

  int64_t size_or(std::string_view name, int64_t fallback) const {
    const GgufValue* value = find(name);
    return value ? check_positive(name, value->as_int()) : fallback;
  }

  double number(std::string_view name) const { return file_.value(key(name)).as_float(); }

  std::optional<double> number_if(std::string_view name) const {
    const GgufValue* value = find(name);
    return value ? std::optional<double>(value->as_float()) : std::nullopt;
  }

  [[noreturn]] void fail(std::string_view name, std::string what, std::string expected,
                         std::string got) const {
    throw Error(fmt::format("{}: {}", key(name), what))
        .file(file_.path())
        .expected(std::move(expected))
        .got(std::move(got));
  }

 private:
  int64_t check_positive(std::string_view name, int64_t value) const {
    if (value < 1 || value > int64_t{1} << 31) {
      fail(name, "bad size", "1 to 2147483648", fmt::format("{}", value));
    }
    return value;
  }

  const GgufFile& file_;
  std::string prefix_;
};

const Architecture& architecture_of(const GgufFile& file) {
  const std::string name = file.value("general.architecture").as_string();
  for (const Architecture& architecture : kArchitectures) {
    if (name == architecture.gguf) return architecture;
  }
  throw Error("this architecture is not supported")
      .file(file.path())
      .expected("llama, qwen2 or qwen3")
      .got(name);
}

// A float32 of the file as the shortest decimal that gives it back: 1e-05, not 9.99999974e-06.
double shortest(double value) { return std::stod(fmt::format("{}", static_cast<float>(value))); }

// The stretch factors that llama.cpp computes for Llama 3.1 and stores instead of its parameters:
// frequencies are divided by them. Rebuilds the parameters; those that Meta fixed for all its
// models (1, 4, 8192) are confirmed against the table.
Json llama3_scaling(const GgufFile& file, const GgufTensorInfo& table, double theta,
                    int64_t head_dim) {
  constexpr double kLow = 1.0, kHigh = 4.0, kOriginal = 8192.0;
  if (table.shape != Shape{head_dim / 2}) {
    throw Error("wrong shape")
        .file(file.path())
        .tensor(table.name)
        .expected(to_string(Shape{head_dim / 2}))
        .got(to_string(table.shape));
  }
  // Only now: a head size that nothing in the file backs must not be what is allocated.
  std::vector<float> factors(static_cast<size_t>(head_dim / 2));
  file.decode_rows(table, 0, 1, factors);
  double factor = 1.0;
  for (const float f : factors) factor = std::max(factor, static_cast<double>(f));
  for (size_t i = 0; i < factors.size(); ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(head_dim);
    const double wavelength = 2.0 * std::numbers::pi * std::pow(theta, exponent);
    double expected = 1.0;
    if (wavelength > kOriginal / kLow) {
      expected = factor;
    } else if (wavelength > kOriginal / kHigh) {
      const double smooth = (kOriginal / wavelength - kLow) / (kHigh - kLow);
      expected = 1.0 / ((1.0 - smooth) / factor + smooth);
    }
    if (!(std::abs(factors[i] - expected) <= 1e-3 * expected)) {
      throw Error("the rope factors are not those of llama3 scaling")
          .file(file.path())
          .tensor(table.name)
          .expected(fmt::format("factor {} = {:.6g}", i, expected))
          .got(fmt::format("{:.6g}", factors[i]));
    }
  }
  return {{"rope_type", "llama3"},
          {"factor", factor},
          {"low_freq_factor", kLow},
          {"high_freq_factor", kHigh},
          {"original_max_position_embeddings", static_cast<int64_t>(kOriginal)}};
}

Json rope_scaling(const GgufFile& file, const Metadata& metadata, double theta, int64_t head_dim) {
  if (const GgufTensorInfo* table = file.find("rope_freqs.weight")) {
    return llama3_scaling(file, *table, theta, head_dim);
  }
  const GgufValue* type = metadata.find("rope.scaling.type");
  const std::string name = type ? type->as_string() : "none";
  const std::optional<double> factor = metadata.number_if("rope.scaling.factor");
  if (name == "none" || !factor) return nullptr;
  if (name == "linear") return {{"rope_type", "linear"}, {"factor", shortest(*factor)}};
  if (name == "yarn") {
    Json scaling = {{"rope_type", "yarn"}, {"factor", shortest(*factor)}};
    if (metadata.find("rope.scaling.original_context_length")) {
      scaling["original_max_position_embeddings"] =
          metadata.size("rope.scaling.original_context_length");
    }
    return scaling;
  }
  metadata.fail("rope.scaling.type", "not supported", "none, linear or yarn", name);
}

// Ids that may follow each other as the end of a turn: eos, and the end-of-turn token where a chat
// model has another one.
Json end_ids(const GgufFile& file) {
  Json ids = Json::array();
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"}) {
    const GgufValue* value = file.find_value(key);
    if (!value) continue;
    const Json id = value->as_int();
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  }
  if (ids.empty()) return nullptr;
  return ids.size() == 1 ? ids[0] : ids;
}

int64_t vocabulary_size(const GgufFile& file) {
  const Shape& shape = file.tensor("token_embd.weight").shape;
  if (shape.size() != 2) {
    throw Error("wrong shape")
        .file(file.path())
        .tensor("token_embd.weight")
        .expected("[vocabulary, hidden]")
        .got(to_string(shape));
  }
  return shape[0];
}

}  // namespace

GgufModel read_gguf_model(const GgufFile& file) {
  const Architecture& architecture = architecture_of(file);
  const Metadata metadata(file, architecture.gguf);
  if (metadata.size_or("expert_count", 1) > 1) {
    metadata.fail("expert_count", "mixtures of experts are not supported", "none",
                  fmt::format("{}", metadata.size("expert_count")));
  }

  GgufModel model;
  model.model_type = architecture.model_type;
  model.interleaved_rope = architecture.interleaved_rope;
  const int64_t hidden = metadata.size("embedding_length");
  const int64_t layers = metadata.size("block_count");
  model.heads = metadata.size("attention.head_count");
  model.kv_heads = metadata.size_or("attention.head_count_kv", model.heads);
  model.head_dim = metadata.size_or("attention.key_length", hidden / model.heads);
  if (metadata.size_or("attention.value_length", model.head_dim) != model.head_dim) {
    metadata.fail("attention.value_length", "values of another size than keys are not supported",
                  fmt::format("{}", model.head_dim),
                  fmt::format("{}", metadata.size("attention.value_length")));
  }
  if (model.head_dim < 2 || model.head_dim % 2 != 0) {
    metadata.fail("attention.key_length", "bad head size", "an even number of at least 2",
                  fmt::format("{}", model.head_dim));
  }
  const int64_t rotary = metadata.size_or("rope.dimension_count", model.head_dim);
  if (rotary != model.head_dim) {
    metadata.fail("rope.dimension_count", "partial rotary embedding is not supported",
                  fmt::format("{}", model.head_dim), fmt::format("{}", rotary));
  }
  const double theta = shortest(metadata.number_if("rope.freq_base").value_or(10000.0));
  const bool attention_bias = file.find("blk.0.attn_q.bias") != nullptr;

  Json& config = model.config;
  config["architectures"] = Json::array({architecture.class_name});
  if (model.model_type != "qwen2") config["attention_bias"] = attention_bias;
  if (const GgufValue* bos = file.find_value("tokenizer.ggml.bos_token_id")) {
    config["bos_token_id"] = bos->as_int();
  }
  if (Json ids = end_ids(file); !ids.is_null()) config["eos_token_id"] = std::move(ids);
  config["head_dim"] = model.head_dim;
  config["hidden_act"] = "silu";
  config["hidden_size"] = hidden;
  config["intermediate_size"] = metadata.size("feed_forward_length");
  config["max_position_embeddings"] = metadata.size("context_length");
  config["model_type"] = model.model_type;
  config["num_attention_heads"] = model.heads;
  config["num_hidden_layers"] = layers;
  config["num_key_value_heads"] = model.kv_heads;
  if (const GgufValue* pad = file.find_value("tokenizer.ggml.padding_token_id")) {
    config["pad_token_id"] = pad->as_int();
  }
  config["rms_norm_eps"] = shortest(metadata.number("attention.layer_norm_rms_epsilon"));
  config["rope_scaling"] = rope_scaling(file, metadata, theta, model.head_dim);
  config["rope_theta"] = theta;
  config["tie_word_embeddings"] = file.find("output.weight") == nullptr;
  config["use_cache"] = true;
  config["vocab_size"] = vocabulary_size(file);

  Json& generation = model.generation_config;
  generation["_from_model_config"] = true;
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) {
    if (config.contains(key)) generation[key] = config[key];
  }
  return model;
}

std::optional<std::string> hugging_face_name(const std::string& gguf_name) {
  static constexpr std::pair<std::string_view, std::string_view> kTop[] = {
      {"token_embd.weight", "model.embed_tokens.weight"},
      {"output_norm.weight", "model.norm.weight"},
      {"output.weight", "lm_head.weight"},
  };
  static constexpr std::pair<std::string_view, std::string_view> kBlock[] = {
      {"attn_norm", "input_layernorm"},    {"ffn_norm", "post_attention_layernorm"},
      {"attn_q", "self_attn.q_proj"},      {"attn_k", "self_attn.k_proj"},
      {"attn_v", "self_attn.v_proj"},      {"attn_output", "self_attn.o_proj"},
      {"attn_q_norm", "self_attn.q_norm"}, {"attn_k_norm", "self_attn.k_norm"},
      {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
      {"ffn_down", "mlp.down_proj"},
  };
  for (const auto& [from, to] : kTop) {
    if (gguf_name == from) return std::string(to);
  }
  // blk.INDEX.MODULE.KIND
  const std::string_view name = gguf_name;
  const size_t index_end = name.find('.', 4);
  const size_t module_end = name.rfind('.');
  if (!name.starts_with("blk.") || index_end == name.npos || module_end <= index_end) {
    return std::nullopt;
  }
  const std::string_view index = name.substr(4, index_end - 4);
  const std::string_view module = name.substr(index_end + 1, module_end - index_end - 1);
  const std::string_view kind = name.substr(module_end + 1);
  if (index.empty() || index.find_first_not_of("0123456789") != index.npos) return std::nullopt;
  if (kind != "weight" && kind != "bias") return std::nullopt;
  for (const auto& [from, to] : kBlock) {
    if (module == from) return fmt::format("model.layers.{}.{}.{}", index, to, kind);
  }
  return std::nullopt;
}

}  // namespace nibble
