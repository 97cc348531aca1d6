// SPDX-License-Identifier: Apache-2.0
#include "nibble/models/config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

#include "nibble/base/error.h"
#include "nibble/io/config_reader.h"
#include "nibble/io/json_file.h"
#include "nibble/models/model.h"
#include "nibble/models/rope_config.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

// No model comes near these; with them no product of three sizes leaves 63 bits.
constexpr int64_t kMostVocabulary = std::numeric_limits<int32_t>::max();
constexpr int64_t kMostWidth = int64_t{1} << 20;
constexpr int64_t kMostLayers = 4096;

// What transformers fills in for keys that the file lacks.
struct Defaults {
  const char* model_type;
  int64_t num_key_value_heads;  // 0: as many as attention heads
  int64_t head_dim;             // 0: hidden_size / num_attention_heads
  int64_t max_position_embeddings;
  int32_t bos_token_id, eos_token_id;  // -1: none
};

constexpr Defaults kDefaults[] = {
    {"llama", 0, 0, 2048, 1, 2},
    {"mistral", 8, 0, 131072, 1, 2},
    {"qwen2", 32, 0, 32768, -1, -1},
    {"qwen3", 32, 128, 32768, -1, -1},
};

const Defaults& defaults_of(const std::string& model_type, const std::string& file) {
  for (const Defaults& defaults : kDefaults) {
    if (model_type == defaults.model_type) return defaults;
  }
  throw Error("model_type is not supported")
      .file(file)
      .expected(fmt::format("one of {}", fmt::join(supported_model_types(), ", ")))
      .got(model_type);
}

void check_architectures(const ModelConfig& config, const std::string& file) {
  for (const std::string& name : config.architectures) {
    if (name.ends_with("ForCausalLM")) return;
  }
  if (config.architectures.empty()) return;
  throw Error("architecture is not supported")
      .file(file)
      .expected("a causal language model (...ForCausalLM)")
      .got(config.architectures.front());
}

void read_sizes(const ConfigReader& reader, const Defaults& defaults, ModelConfig& config) {
  config.vocab_size = reader.integer("vocab_size", 1, kMostVocabulary);
  config.hidden_size = reader.integer("hidden_size", 1, kMostWidth);
  config.intermediate_size = reader.integer("intermediate_size", 1, kMostWidth);
  config.num_hidden_layers = reader.integer("num_hidden_layers", 1, kMostLayers);
  config.num_attention_heads = reader.integer("num_attention_heads", 1, kMostWidth);
  config.max_position_embeddings = reader.integer("max_position_embeddings", 1, kMostPositions,
                                                  defaults.max_position_embeddings);
}

void read_heads(const Json& json, const ConfigReader& reader, const Defaults& defaults,
                ModelConfig& config) {
  const int64_t heads = config.num_attention_heads;
  // A null means "as many as heads", an absent key the default of the model type.
  const bool absent = !json.contains("num_key_value_heads");
  const int64_t kv_default =
      absent && defaults.num_key_value_heads > 0 ? defaults.num_key_value_heads : heads;
  config.num_key_value_heads = reader.integer("num_key_value_heads", 1, kMostWidth, kv_default);
  if (heads % config.num_key_value_heads != 0) {
    throw Error("num_key_value_heads does not divide num_attention_heads")
        .file(reader.file())
        .expected(fmt::format("a divisor of {}", heads))
        .got(std::to_string(config.num_key_value_heads));
  }
  const bool own_default = !json.contains("head_dim") && defaults.head_dim > 0;
  if (!reader.has("head_dim") && !own_default && config.hidden_size % heads != 0) {
    throw Error("hidden_size is not a multiple of num_attention_heads")
        .file(reader.file())
        .expected(fmt::format("a multiple of {}, or 'head_dim'", heads))
        .got(std::to_string(config.hidden_size));
  }
  config.head_dim = reader.integer("head_dim", 1, kMostWidth,
                                   own_default ? defaults.head_dim : config.hidden_size / heads);
}

// Per layer: mistral windows all of them, qwen those that layer_types or max_window_layers name.
void read_sliding_window(const Json& json, const ConfigReader& reader, ModelConfig& config) {
  constexpr int64_t kDefaultWindow = 4096, kDefaultFullLayers = 28;
  const auto layers = static_cast<size_t>(config.num_hidden_layers);
  config.sliding_window.assign(layers, 0);
  if (config.model_type == "llama") return;

  int64_t window = reader.integer("sliding_window", 1, kMostPositions,
                                  json.contains("sliding_window") ? 0 : kDefaultWindow);
  if (config.model_type == "mistral") {
    config.sliding_window.assign(layers, window);
    return;
  }
  if (!reader.boolean("use_sliding_window", false)) window = 0;
  std::vector<std::string> types = reader.strings("layer_types");
  if (!reader.has("layer_types")) {
    const int64_t full = reader.integer("max_window_layers", 0, kMostPositions, kDefaultFullLayers);
    for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
      types.emplace_back(window > 0 && i >= full ? "sliding_attention" : "full_attention");
    }
  }
  if (types.size() != layers) {
    throw Error("'layer_types' does not have one entry per layer")
        .file(reader.file())
        .expected(std::to_string(layers))
        .got(std::to_string(types.size()));
  }
  for (size_t i = 0; i < layers; ++i) {
    if (types[i] == "full_attention") continue;
    if (types[i] != "sliding_attention") {
      reader.fail("layer_types", "full_attention or sliding_attention");
    }
    if (window == 0) {
      throw Error("'layer_types' names sliding_attention, but no window is set")
          .file(reader.file())
          .expected("use_sliding_window true and a sliding_window");
    }
    config.sliding_window[i] = window;
  }
}

void read_biases(const ConfigReader& reader, ModelConfig& config) {
  const bool llama = config.model_type == "llama";
  if (llama || config.model_type == "qwen3") {
    config.attention_bias = reader.boolean("attention_bias", false);
  }
  if (llama) config.mlp_bias = reader.boolean("mlp_bias", false);
  config.qkv_bias = config.model_type == "qwen2";
  config.qk_norm = config.model_type == "qwen3";
}

void read_tokens(const ConfigReader& reader, const Defaults& defaults, ModelConfig& config) {
  const auto one = [](int32_t id) {
    return id < 0 ? std::vector<int32_t>{} : std::vector<int32_t>{id};
  };
  const auto first = [](const std::vector<int32_t>& ids) { return ids.empty() ? -1 : ids.front(); };
  config.eos_token_id = reader.token_ids("eos_token_id", one(defaults.eos_token_id));
  config.bos_token_id = first(reader.token_ids("bos_token_id", one(defaults.bos_token_id)));
  // Old files say -1 for "none".
  if (reader.has("pad_token_id") && reader.integer("pad_token_id", -1, kMostVocabulary) >= 0) {
    config.pad_token_id = first(reader.token_ids("pad_token_id", {}));
  }
}

// Below 0 the square root of a small row is no number; no model comes near 1.
float read_norm_eps(const ConfigReader& reader) {
  const double eps = reader.number("rms_norm_eps", 1e-6);
  if (eps < 0 || eps > 1) reader.fail("rms_norm_eps", "a number from 0 to 1");
  return static_cast<float>(eps);
}

std::optional<DType> read_dtype(const ConfigReader& reader) {
  const char* key = reader.has("dtype") ? "dtype" : "torch_dtype";
  if (!reader.has(key)) return std::nullopt;
  const std::string name = reader.string(key, "");
  const std::optional<DType> dtype = dtype_from_torch(name);
  if (!dtype || !is_float(*dtype)) reader.fail(key, "the name of a float dtype");
  return dtype;
}

}  // namespace

ModelConfig ModelConfig::from_json(const Json& json, const std::string& file) {
  if (!json.is_object()) {
    throw Error("not a model config").file(file).expected("a JSON object").got(json.type_name());
  }
  const ConfigReader reader(json, file);
  ModelConfig config;
  if (!reader.has("model_type")) reader.fail_missing("model_type");
  config.model_type = reader.string("model_type", "");
  const Defaults& defaults = defaults_of(config.model_type, file);
  config.architectures = reader.strings("architectures");
  check_architectures(config, file);

  read_sizes(reader, defaults, config);
  read_heads(json, reader, defaults, config);
  read_sliding_window(json, reader, config);
  read_biases(reader, config);
  read_tokens(reader, defaults, config);
  config.rope = read_rope_config(reader, config.max_position_embeddings, config.head_dim);
  config.rms_norm_eps = read_norm_eps(reader);
  config.hidden_act = reader.string("hidden_act", "silu");
  if (config.hidden_act != "silu" && config.hidden_act != "swish") {
    reader.fail("hidden_act", "\"silu\"");
  }
  config.tie_word_embeddings = reader.boolean("tie_word_embeddings", false);
  config.dtype = read_dtype(reader);
  if (const Json* quantization = reader.object("quantization_config")) {
    config.quantization = *quantization;
  }
  return config;
}

ModelConfig ModelConfig::load(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "config.json";
  std::error_code failure;  // whatever else is wrong with it, reading will say
  const auto type = std::filesystem::symlink_status(file, failure).type();
  if (type == std::filesystem::file_type::not_found) {
    throw Error("the model folder has no config.json").file(folder);
  }
  return from_json(read_json_file(file), file.string());
}

}  // namespace nibble
