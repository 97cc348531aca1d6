// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/fp8_config.h"

#include <nlohmann/json.hpp>

#include "nibble/quant/calibrated_config.h"
#include "nibble/quant/config_fields.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kE5M2 = "e5m2";
constexpr const char* kBlockSizeKey = "weight_block_size";

// One of two words, whatever their case.
void read_word(ConfigFields& fields, const char* key, const char* first, const char* second,
               std::string& word) {
  std::optional<std::string> found;
  fields.read(key, found);
  if (!found) return;
  word = lower_case(*found);
  if (word != first && word != second) {
    throw fields.bad(key, std::string(first) + " or " + second);
  }
}

std::optional<Fp8BlockSize> read_block_size(const ConfigFields& fields, const Json& value) {
  if (value.is_null()) return std::nullopt;
  const auto is_size = [](const Json& size) {
    return size.is_number_integer() && size.get<int64_t>() > 0;
  };
  if (!value.is_array() || value.size() != 2 || !is_size(value[0]) || !is_size(value[1])) {
    throw fields.bad(kBlockSizeKey, "two positive numbers, or null");
  }
  return Fp8BlockSize{value[0].get<int64_t>(), value[1].get<int64_t>()};
}

}  // namespace

DType Fp8Config::code_dtype() const { return fmt == kE5M2 ? DType::kF8E5M2 : DType::kF8E4M3; }

Fp8Config Fp8Config::from_json(const Json& object, const std::string& file) {
  ConfigFields fields(object, file);
  Fp8Config config;
  read_word(fields, "activation_scheme", "dynamic", "static", config.activation_scheme);
  read_word(fields, "scale_fmt", "float", "ue8m0", config.scale_fmt);
  read_word(fields, "fmt", "e4m3", kE5M2, config.fmt);
  if (const Json* value = fields.value(kBlockSizeKey)) {
    config.weight_block_size = read_block_size(fields, *value);
  }
  fields.read("ignored_layers", config.modules_to_not_convert);
  if (fields.has("modules_to_not_convert")) {
    fields.read("modules_to_not_convert", config.modules_to_not_convert);
  }
  // Of embeddings and experts, which no model that runs here has in 8 bits.
  fields.ignore({"quant_method", "dequantize", "modules_to_convert", "modules_to_not_convert",
                 "expert_dtype"});
  config.notes = notes_on_unknown(fields.unknown());
  return config;
}

Json Fp8Config::to_json() const {
  Json object = {
      {"activation_scheme", activation_scheme},
      {"modules_to_not_convert", modules_to_not_convert ? Json(*modules_to_not_convert) : Json()},
      {"quant_method", kMethod},
      {"scale_fmt", scale_fmt},
      {"weight_block_size",
       weight_block_size ? Json{weight_block_size->rows, weight_block_size->cols} : Json()},
  };
  if (fmt == kE5M2) object["fmt"] = fmt;
  return object;
}

QuantizationFacts Fp8Config::facts() const {
  QuantizationFacts facts;
  facts.method = facts.scheme = kMethod;
  facts.format = fmt;
  facts.bits = 8;
  facts.skip_list = QuantizationFacts::SkipList::kReplacesAutomatic;
  facts.skip_modules = modules_to_not_convert;
  return facts;
}

// weight [rows, cols] of 8 bits and weight_scale_inv float32, a scale per block: both parameters.
PackedSize Fp8Config::packed_size(int64_t rows, int64_t cols) const {
  const Fp8BlockSize block = weight_block_size.value_or(Fp8BlockSize{rows, cols});
  const int64_t scales = block_count(rows, block.rows) * block_count(cols, block.cols);
  PackedSize size;
  size.bytes = rows * cols + 4 * scales;
  size.parameters = rows * cols + scales;
  return size;
}

}  // namespace nibble
