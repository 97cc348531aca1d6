// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/eetq_config.h"

#include <nlohmann/json.hpp>

#include "nibble/quant/config_fields.h"

namespace nibble {

using Json = nlohmann::ordered_json;

EetqConfig EetqConfig::from_json(const Json& object, const std::string& file) {
  ConfigFields fields(object, file);
  EetqConfig config;
  fields.ignore({"quant_method"});
  fields.read("weights", config.weights);
  if (config.weights != "int8") throw fields.bad("weights", "\"int8\"");
  fields.read("modules_to_not_convert", config.modules_to_not_convert);
  config.notes = notes_on_unknown(fields.unknown());
  return config;
}

Json EetqConfig::to_json() const {
  return Json{
      {"modules_to_not_convert", modules_to_not_convert ? Json(*modules_to_not_convert) : Json()},
      {"quant_method", kMethod},
      {"weights", weights},
  };
}

QuantizationFacts EetqConfig::facts() const {
  QuantizationFacts facts;
  facts.method = facts.scheme = kMethod;
  facts.bits = 8;
  facts.group_size = -1;
  facts.skip_list = QuantizationFacts::SkipList::kReplacesAutomatic;
  facts.skip_modules = modules_to_not_convert;
  facts.converts_subclasses = true;
  return facts;
}

// weight [cols, rows] int8 and weight_scales [rows] float16: both are parameters.
PackedSize EetqConfig::packed_size(int64_t rows, int64_t cols) const {
  PackedSize size;
  size.bytes = rows * cols + 2 * rows;
  size.parameters = rows * cols + rows;
  size.float16_bias = true;
  return size;
}

}  // namespace nibble
