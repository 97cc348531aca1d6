// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/calibrated_config.h"

#include <algorithm>
#include <cctype>

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

template <typename T>
nlohmann::json or_null(const std::optional<T>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json();
}

// Of two spellings the newer one wins.
template <typename T>
void read_either(ConfigFields& fields, const char* old_key, const char* key, T& field) {
  fields.read(old_key, field);
  fields.read(key, field);
}

}  // namespace

std::string lower_case(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

void CalibratedConfig::read_fields(ConfigFields& fields) {
  read_either(fields, "wbits", "w_bit", bits);
  fields.read("bits", bits);
  read_either(fields, "q_group_size", "group_size", group_size);
  if (group_size != -1 && group_size <= 0) throw fields.bad("group_size", "-1 or at least 1");
  if (const Json* value = fields.value("tokenizer")) {
    if (!value->is_null() && !value->is_string()) throw fields.bad("tokenizer", "a name or null");
    tokenizer = *value;
  }
  if (const Json* value = fields.value("dataset")) dataset = *value;
  fields.read("damp_percent", damp_percent);
  fields.read("desc_act", desc_act);
  fields.read("act_group_aware", act_group_aware);
  fields.read("sym", sym);
  fields.read("true_sequential", true_sequential);
  fields.read("format", format);
  if (const Json* value = fields.value("meta")) {
    if (!value->is_null() && !value->is_object()) throw fields.bad("meta", "an object or null");
    meta = *value;
  }
  std::optional<std::string> named_backend;
  fields.read("backend", named_backend);
  if (named_backend) backend = lower_case(*named_backend);
  fields.read("model_seqlen", model_seqlen);
  fields.read("block_name_to_quantize", block_name_to_quantize);
  fields.read("module_name_preceding_first_block", module_name_preceding_first_block);
  fields.read("batch_size", batch_size);
  fields.read("pad_token_id", pad_token_id);
  fields.read("max_input_length", max_input_length);
  fields.read("cache_block_outputs", cache_block_outputs);
  fields.read("modules_in_block_to_quantize", modules_in_block_to_quantize);
  // Of older releases and other writers: where a model came from, and choices of CUDA kernels.
  fields.ignore({"quant_method", "method", "model_name_or_path", "model_file_base_name",
                 "quantizer", "uri", "use_cuda_fp16", "use_exllama", "disable_exllama",
                 "exllama_config"});
}

nlohmann::json CalibratedConfig::fields_json() const {
  return {
      {"act_group_aware", act_group_aware},
      {"backend", backend},
      {"batch_size", batch_size},
      {"bits", bits},
      {"block_name_to_quantize", or_null(block_name_to_quantize)},
      {"cache_block_outputs", cache_block_outputs},
      {"damp_percent", damp_percent},
      {"dataset", dataset},
      {"desc_act", desc_act},
      {"format", format},
      {"group_size", group_size},
      {"max_input_length", or_null(max_input_length)},
      {"meta", meta},
      {"model_seqlen", or_null(model_seqlen)},
      {"module_name_preceding_first_block", or_null(module_name_preceding_first_block)},
      {"modules_in_block_to_quantize", or_null(modules_in_block_to_quantize)},
      {"pad_token_id", or_null(pad_token_id)},
      {"sym", sym},
      {"tokenizer", tokenizer},
      {"true_sequential", true_sequential},
  };
}

}  // namespace nibble
