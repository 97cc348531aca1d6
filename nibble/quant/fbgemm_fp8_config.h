// SPDX-License-Identifier: Apache-2.0
//
// FbgemmFp8Config: the fields of transformers' class of that name, in whose files Meta publishes
// Llama with weights as floats of 8 bits and a scale per row. Weights alone are of 8 bits here.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nibble/quant/quantization_facts.h"

namespace nibble {

struct FbgemmFp8Config {
  static constexpr const char* kMethod = "fbgemm_fp8";

  double activation_scale_ub = 1200.0;  // of activations on a GPU: read and kept
  std::optional<std::vector<std::string>> modules_to_not_convert;  // instead of the automatic list

  std::vector<std::string> notes;  // one line each, for the user

  // Throws Error with the key for a wrong type.
  static FbgemmFp8Config from_json(const nlohmann::ordered_json& object, const std::string& file);
  nlohmann::ordered_json to_json() const;

  QuantizationFacts facts() const;
  PackedSize packed_size(int64_t rows, int64_t cols) const;  // of a Linear [rows, cols]
};

}  // namespace nibble
