// SPDX-License-Identifier: Apache-2.0
//
// EetqConfig: the fields, defaults and rules of transformers' class of that name.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nibble/quant/quantization_facts.h"

namespace nibble {

struct EetqConfig {
  static constexpr const char* kMethod = "eetq";

  std::string weights = "int8";  // the only value
  // Instead of the automatic list.
  std::optional<std::vector<std::string>> modules_to_not_convert;

  std::vector<std::string> notes;  // one line each, for the user

  // Throws Error with the key for a wrong type and for weights other than "int8".
  static EetqConfig from_json(const nlohmann::ordered_json& object, const std::string& file);
  nlohmann::ordered_json to_json() const;

  QuantizationFacts facts() const;
  PackedSize packed_size(int64_t rows, int64_t cols) const;  // of a Linear [rows, cols]
};

}  // namespace nibble
