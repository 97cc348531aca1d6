// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/fbgemm_fp8_config.h"

#include <nlohmann/json.hpp>

#include "nibble/quant/config_fields.h"
#include "nibble/quant/fp8_config.h"

namespace nibble {

using Json = nlohmann::ordered_json;

FbgemmFp8Config FbgemmFp8Config::from_json(const Json& object, const std::string& file) {
  ConfigFields fields(object, file);
  FbgemmFp8Config config;
  fields.ignore({"quant_method"});
  fields.read("activation_scale_ub", config.activation_scale_ub);
  fields.read("modules_to_not_convert", config.modules_to_not_convert);
  config.notes = notes_on_unknown(fields.unknown());
  return config;
}

Json FbgemmFp8Config::to_json() const {
  return {
      {"activation_scale_ub", activation_scale_ub},
      {"modules_to_not_convert", modules_to_not_convert ? Json(*modules_to_not_convert) : Json()},
      {"quant_method", kMethod},
  };
}

QuantizationFacts FbgemmFp8Config::facts() const {
  QuantizationFacts facts;
  facts.method = kMethod;
  facts.scheme = Fp8Config::kMethod;
  facts.bits = 8;
  facts.skip_list = QuantizationFacts::SkipList::kReplacesAutomatic;
  facts.skip_modules = modules_to_not_convert;
  return facts;
}

// weight [rows, cols] of 8 bits and weight_scale [rows, 1] float32: both parameters.
PackedSize FbgemmFp8Config::packed_size(int64_t rows, int64_t cols) const {
  PackedSize size;
  size.bytes = rows * cols + 4 * rows;
  size.parameters = rows * cols + rows;
  return size;
}

}  // namespace nibble
