// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/group_int8_config.h"

#include <nlohmann/json.hpp>

#include "nibble/quant/affine_packing.h"
#include "nibble/quant/config_fields.h"

namespace nibble {

using Json = nlohmann::ordered_json;

GroupInt8Config GroupInt8Config::from_json(const Json& object, const std::string& file) {
  ConfigFields fields(object, file);
  GroupInt8Config config;
  fields.ignore({"quant_method"});
  fields.read("bits", config.bits);
  if (config.bits != 8) throw fields.bad("bits", "8");
  fields.read("group_size", config.group_size);
  if (config.group_size != -1 && config.group_size < 1) {
    throw fields.bad("group_size", "-1 or at least 1");
  }
  fields.read("modules_to_not_convert", config.modules_to_not_convert);
  config.notes = notes_on_unknown(fields.unknown());
  return config;
}

Json GroupInt8Config::to_json() const {
  return Json{
      {"bits", bits},
      {"group_size", group_size},
      {"modules_to_not_convert", modules_to_not_convert ? Json(*modules_to_not_convert) : Json()},
      {"quant_method", kMethod},
  };
}

QuantizationFacts GroupInt8Config::facts() const {
  QuantizationFacts facts;
  facts.method = facts.scheme = kMethod;
  facts.bits = static_cast<double>(bits);
  facts.group_size = group_size;
  facts.skip_list = QuantizationFacts::SkipList::kReplacesAutomatic;
  facts.skip_modules = modules_to_not_convert;
  return facts;
}

// weight [rows, cols] int8 and weight_scales [rows, groups] float32.
PackedSize GroupInt8Config::packed_size(int64_t rows, int64_t cols) const {
  const int64_t scales = rows * block_count(cols, resolved_group_size(group_size, cols));
  PackedSize size;
  size.bytes = rows * cols + 4 * scales;
  size.parameters = rows * cols + scales;
  return size;
}

}  // namespace nibble
