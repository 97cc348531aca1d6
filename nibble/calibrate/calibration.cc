// SPDX-License-Identifier: Apache-2.0
#include "nibble/calibrate/calibration.h"

#include <nlohmann/json.hpp>

namespace nibble {
namespace {

void read_optional(const nlohmann::ordered_json& json, const char* key,
                   std::optional<double>& value) {
  if (json.contains(key)) value = json.at(key).get<double>();
}

}  // namespace

nlohmann::ordered_json to_json(const CalibratedModule& module) {
  nlohmann::ordered_json json = {{"module", module.name}, {"mean_squared_error", module.loss}};
  if (module.damp_percent) json["damp_percent"] = *module.damp_percent;
  if (module.rounded_loss) json["rounded_mean_squared_error"] = *module.rounded_loss;
  if (module.ratio) json["ratio"] = *module.ratio;
  json["tokens"] = module.tokens;
  return json;
}

CalibratedModule calibrated_module(const nlohmann::ordered_json& json) {
  CalibratedModule module;
  module.name = json.at("module").get<std::string>();
  module.loss = json.at("mean_squared_error").get<double>();
  module.tokens = json.at("tokens").get<int64_t>();
  read_optional(json, "damp_percent", module.damp_percent);
  read_optional(json, "rounded_mean_squared_error", module.rounded_loss);
  read_optional(json, "ratio", module.ratio);
  return module;
}

}  // namespace nibble
