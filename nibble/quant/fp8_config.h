// SPDX-License-Identifier: Apache-2.0
//
// Fp8Config: the fields, defaults and rules of transformers' FineGrainedFP8Config, in which
// DeepSeek and Qwen publish their models. Weights alone are of 8 bits here: how a GPU would round
// activations is read and kept, and has no effect.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nibble/quant/quantization_facts.h"
#include "nibble/tensor/dtype.h"

namespace nibble {

struct Fp8BlockSize {
  int64_t rows = 128, cols = 128;
};

struct Fp8Config {
  static constexpr const char* kMethod = "fp8";

  std::string activation_scheme = "dynamic";                       // or "static"
  std::optional<Fp8BlockSize> weight_block_size = Fp8BlockSize{};  // null: one scale for a matrix
  std::string scale_fmt = "float";                                 // or "ue8m0", powers of two
  std::string fmt = "e4m3";  // or "e5m2", which transformers does not read
  // Instead of the automatic list; older files: ignored_layers.
  std::optional<std::vector<std::string>> modules_to_not_convert;

  std::vector<std::string> notes;  // one line each, for the user

  DType code_dtype() const;

  // Throws Error with the key for a wrong type, other words than these, and block sizes that are no
  // two positive numbers.
  static Fp8Config from_json(const nlohmann::ordered_json& object, const std::string& file);
  nlohmann::ordered_json to_json() const;

  QuantizationFacts facts() const;
  PackedSize packed_size(int64_t rows, int64_t cols) const;  // of a Linear [rows, cols]
};

}  // namespace nibble
