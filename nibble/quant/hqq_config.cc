// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/hqq_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>

#include "nibble/quant/config_fields.h"

namespace nibble {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<double, 8> kHqqBits = {8, 6, 5, 4, 3, 2, 1.58, 1};
constexpr std::array<std::string_view, 7> kArguments = {
    "nbits", "group_size", "axis", "view_as_float", "quant_zero", "quant_scale", "offload_meta"};
constexpr int64_t kCodesPerInt32 = 10;  // of 3 bits

// The keys that the constructor and the nested form share.
HqqWeightParams read_params(ConfigFields& fields) {
  HqqWeightParams params;
  fields.read("nbits", params.nbits);
  if (std::ranges::find(kHqqBits, params.nbits) == kHqqBits.end()) {
    throw fields.bad("nbits", "8, 6, 5, 4, 3, 2, 1.58 or 1");
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

// One entry of dynamic_config: the arguments of hqq's BaseQuantizeConfig.
HqqWeightParams read_arguments(ConfigFields fields, const Json& object) {
  const HqqWeightParams params = read_params(fields);
  for (const char* key : {"quant_zero", "quant_scale", "offload_meta"}) {
    bool given = false;
    fields.read(key, given);
    if (given) throw fields.bad(key, "false");
  }
  for (const auto& [key, value] : object.items()) {
    if (std::ranges::find(kArguments, key) == kArguments.end()) {
      throw fields.bad(key.c_str(), "nbits, group_size, axis or view_as_float");
    }
  }
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
  for (const char* key : {"scale_quant_params", "zero_quant_params"}) {
    if (fields.has(key)) throw fields.bad(key, "null");
  }
  bool offload_meta = false;
  fields.read("offload_meta", offload_meta);
  if (offload_meta) throw fields.bad("offload_meta", "false");
  return params;
}

// As Python writes it: 4, but 1.58.
Json bits_json(double nbits) {
  const auto whole = static_cast<int64_t>(nbits);
  return static_cast<double>(whole) == nbits ? Json(whole) : Json(nbits);
}

Json nested_json(const HqqWeightParams& params) {
  return Json{
      {"offload_meta", false},
      {"scale_quant_params", nullptr},
      {"weight_quant_params",
       {{"axis", params.axis},
        {"channel_wise", params.channel_wise},
        {"group_size", params.group_size ? Json(*params.group_size) : Json()},
        {"nbits", bits_json(params.nbits)},
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
        config.by_tag.emplace(tag, read_arguments(dynamic.inside(tag.c_str()), value));
      }
      if (config.by_tag.empty()) throw fields.bad("dynamic_config", "at least one tag");
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
  facts.bits = shown.nbits;
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
// packed along the groups: 10 of 3 bits an int32; others a byte, a half, a quarter or an eighth of
// one, the smallest that they fit into.
PackedSize HqqConfig::packed_size(int64_t rows, int64_t cols) const {
  const int64_t count = rows * cols;
  PackedSize size;
  if (params.nbits == 3) {
    const int64_t group = params.group_size.value_or(params.axis == 1 ? cols : rows);
    const int64_t words = block_count(block_count(count, group), kCodesPerInt32) * group;
    size.bytes = 4 * words;
    size.parameters = words;
  } else {
    const int64_t stored = params.nbits > 4 ? 8 : static_cast<int64_t>(std::ceil(params.nbits));
    size.bytes = size.parameters = block_count(count * stored, 8);
  }
  return size;
}

}  // namespace nibble
