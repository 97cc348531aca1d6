// SPDX-License-Identifier: Apache-2.0
//
// GroupInt8Config: what FastChat's --load-8bit does, as a quantization_config. FastChat saves no
// quantized weights and transformers knows no such method: the keys are nibble's own.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nibble/quant/quantization_facts.h"

namespace nibble {

struct GroupInt8Config {
  static constexpr const char* kMethod = "group-int8";

  int64_t bits = 8;          // the only value
  int64_t group_size = 256;  // inputs that share a scale; -1: a whole row
  // Instead of the automatic list.
  std::optional<std::vector<std::string>> modules_to_not_convert;

  std::vector<std::string> notes;  // one line each, for the user

  // Throws Error with the key for a wrong type, other bits and a group size that is none.
  static GroupInt8Config from_json(const nlohmann::ordered_json& object, const std::string& file);
  nlohmann::ordered_json to_json() const;

  QuantizationFacts facts() const;
  PackedSize packed_size(int64_t rows, int64_t cols) const;  // of a Linear [rows, cols]
};

}  // namespace nibble
