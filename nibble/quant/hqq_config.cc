// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/hqq_config.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "nibble/quant/config_fields.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<int64_t, 5> kHqqBits = {8, 4, 3, 2, 1};
constexpr int64_t kCodesPerInt32 = 10;  // of 3 bits

// The keys that the constructor and the nested form share.
HqqWeightParams read_params(ConfigFields& fields) {
  HqqWeightParams params;
  fields.read("nbits", params.nbits);
  if (std::ranges::find(kHqqBits, params.nbits) == kHqqBits.end()) {
    throw fields.bad("nbits", "8, 4, 3, 2 or 1");
  }
  if (const Json* group = fields.value("group_size"); group != nullptr && group->is_null()) {
    params.group_size.reset();
  }
  fields.read("group_size", params.group_size);
  if (params.group_size && (*params.group_size <= 0 || *params.group_size % 8 != 0)) {
    throw fields.bad("group_size", "a multiple of 8 or null");
  }
  std::optional<int64_t> axis;
  fields.read("axis", axis);
  params.axis = axis.value_or(1);
  if (params.axis != 0 && params.axis != 1) throw fields.bad("axis", "0 or 1");
  fields.read("view_as_float", params.view_as_float);
  params.round_zero = params.nbits == 4;
  return params;
}

// One quant_config: what hqq's BaseQuantizeConfig makes.
HqqWeightParams read_nested(ConfigFields fields) {
  if (!fields.has("weight_quant_params")) throw fields.bad("weight_quant_params", "an object");
  ConfigFields weight = fields.inside("weight_quant_params");
  HqqWeightParams params = read_params(weight);
  weight.read("channel_wise", params.channel_wise);
  weight.read("optimize", params.optimize);
  weight.read("round_zero", params.round_zero);
  return params;
}

Json nested_json(const HqqWeightParams& params) {
  return Json{
      {"offload_meta", false},
      {"scale_quant_params", nullptr},
      {"weight_quant_params",
       {{"axis", params.axis},
        {"channel_wise", params.channel_wise},
        {"group_size", params.group_size ? Json(*params.group_size) : Json()},
        {"nbits", params.nbits},
        {"optimize", params.optimize},
        {"round_zero", params.round_zero},
        {"view_as_float", params.view_as_float}}},
      {"zero_quant_params", nullptr},
  };
}

}  // namespace

HqqConfig HqqConfig::from_json(const Json& object, const std::string& file) {
  ConfigFields fields(object, file);
  HqqConfig config;
  fields.ignore({"quant_method", "quant_config", "dynamic_config"});
  if (fields.has("quant_config")) {
    ConfigFields nested = fields.inside("quant_config");
    if (nested.has("weight_quant_params")) {
      config.params = read_nested(nested);
    } else {
      for (const auto& [tag, value] : object["quant_config"].items()) {
        config.by_tag.emplace(tag, read_nested(nested.inside(tag.c_str())));
      }
      if (config.by_tag.empty()) config.params = read_nested(nested);  // throws
    }
  } else {
    config.params = read_params(fields);
    if (fields.has("dynamic_config")) {
      const ConfigFields dynamic = fields.inside("dynamic_config");
      for (const auto& [tag, value] : object["dynamic_config"].items()) {
        ConfigFields one = dynamic.inside(tag.c_str());
        config.by_tag.emplace(tag, read_params(one));
      }
    }
  }
  std::optional<std::vector<std::string>> skip_modules;
  fields.read("skip_modules", skip_modules);
  if (skip_modules) config.skip_modules = *skip_modules;
  config.notes = notes_on_unknown(fields.unknown());
  return config;
}

Json HqqConfig::to_json() const {
  Json quant_config = nested_json(params);
  if (!by_tag.empty()) {
    quant_config = Json::object();
    for (const auto& [tag, tag_params] : by_tag) quant_config[tag] = nested_json(tag_params);
  }
  return Json{{"quant_config", std::move(quant_config)},
              {"quant_method", kMethod},
              {"skip_modules", skip_modules}};
}

QuantizationFacts HqqConfig::facts() const {
  QuantizationFacts facts;
  facts.method = facts.scheme = kMethod;
  const HqqWeightParams& shown = by_tag.empty() ? params : by_tag.begin()->second;
  facts.bits = static_cast<double>(shown.nbits);
  facts.group_size = shown.group_size.value_or(-1);
  facts.skip_list = QuantizationFacts::SkipList::kNoAutomatic;
  facts.skip_modules = skip_modules;
  if (!by_tag.empty()) {
    facts.only.emplace();
    for (const auto& [tag, tag_params] : by_tag) facts.only->push_back(tag);
  }
  facts.converts_subclasses = true;
  return facts;
}

// W_q is a parameter; scales and zeros are tensors outside the module and not counted. Codes are
// packed along the groups: 8 / nbits a byte, 10 of 3 bits an int32.
PackedSize HqqConfig::packed_size(int64_t rows, int64_t cols) const {
  const int64_t count = rows * cols;
  PackedSize size;
  if (params.nbits == 3) {
    const int64_t group = params.group_size.value_or(params.axis == 1 ? cols : rows);
    const int64_t words = block_count(block_count(count, group), kCodesPerInt32) * group;
    size.bytes = 4 * words;
    size.parameters = words;
  } else {
    size.bytes = size.parameters = block_count(count * params.nbits, 8);
  }
  return size;
}

}  // namespace nibble
