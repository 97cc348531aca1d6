// SPDX-License-Identifier: Apache-2.0
//
// AwqConfig: the fields, defaults and rules of transformers' class of that name, and those of
// AutoAWQ's quant_config.json. AWQ needs calibration: such a config describes a quantized file.
#pragma once

#include "nibble/quant/calibrated_config.h"
#include "nibble/quant/quantization_facts.h"

namespace nibble {

struct AwqConfig : CalibratedConfig {
  static constexpr const char* kMethod = "awq";

  bool zero_point = true;  // else the codes are symmetric
  // Kept plain in addition to the automatic list.
  std::optional<std::vector<std::string>> modules_to_not_convert;

  // Throws Error with the key for a wrong type, an unknown format (also "version", whatever its
  // case) or backend, and for fused modules, which transformers no longer has.
  static AwqConfig from_json(const nlohmann::ordered_json& object, const std::string& file);
  nlohmann::ordered_json to_json() const;

  QuantizationFacts facts() const;
  PackedSize packed_size(int64_t rows, int64_t cols) const;  // of a Linear [rows, cols]
};

}  // namespace nibble
