// SPDX-License-Identifier: Apache-2.0
//
// GPTQConfig: the fields, defaults and rules of transformers' class of that name, and those of
// AutoGPTQ's quantize_config.json. Keys of release 4 (exllama) are checked and not kept.
#pragma once

#include "nibble/quant/calibrated_config.h"
#include "nibble/quant/gptq_rules.h"
#include "nibble/quant/quantization_facts.h"

namespace nibble {

struct GptqConfig : CalibratedConfig {
  static constexpr const char* kMethod = "gptq";

  bool static_groups = false;     // scales from the weights as they were before calibration
  std::vector<GptqRule> dynamic;  // modules with numbers of their own

  // Throws Error with the key for a wrong type, bits other than 2, 3, 4 and 8, a group size that is
  // neither -1 nor positive, damping outside (0, 1), an unknown dataset, and bad exllama settings.
  static GptqConfig from_json(const nlohmann::ordered_json& object, const std::string& file);
  nlohmann::ordered_json to_json() const;

  QuantizationFacts facts() const;
  PackedSize packed_size(int64_t rows, int64_t cols) const;  // of a Linear [rows, cols]
};

}  // namespace nibble
