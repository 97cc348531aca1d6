// SPDX-License-Identifier: Apache-2.0
//
// CompressedTensorsConfig: the quantization_config of llm-compressor's files, of which nibble reads
// those with weights as floats of 8 bits (format "float-quantized"). Weights alone are of 8 bits
// here: how a GPU would round activations is read and kept, and has no effect.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nibble/quant/fp8_config.h"
#include "nibble/quant/quantization_facts.h"

namespace nibble {

struct CompressedTensorsConfig {
  static constexpr const char* kMethod = "compressed-tensors";

  std::string strategy = "channel";  // or "tensor", "block"
  Fp8BlockSize block_structure;      // of "block"
  // Modules that stay as they are: paths, or expressions for their start behind "re:". Absent, for
  // a model that is to be quantized: its head.
  std::optional<std::vector<std::string>> ignore;
  nlohmann::ordered_json input_activations = per_token();  // an object or null

  std::vector<std::string> notes;  // one line each, for the user

  // Throws Error with the key for a wrong type, and with what it is for weights that are not read
  // here: other bits or strategies, several groups of modules, sparse or rotated weights.
  static CompressedTensorsConfig from_json(const nlohmann::ordered_json& object,
                                           const std::string& file);
  nlohmann::ordered_json to_json() const;

  QuantizationFacts facts() const;
  PackedSize packed_size(int64_t rows, int64_t cols) const;  // of a Linear [rows, cols]

  // The rectangle of a matrix that shares a scale.
  Fp8BlockSize block_of(int64_t rows, int64_t cols) const;
  // `ignore` as expressions for SkipMatcher; absent where that is.
  std::optional<std::vector<std::string>> skip_expressions() const;

 private:
  static nlohmann::ordered_json per_token();
};

}  // namespace nibble
