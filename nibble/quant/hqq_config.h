// SPDX-License-Identifier: Apache-2.0
//
// HqqConfig: the fields, defaults and rules of transformers' class of that name. A file nests them
// under quant_config, once for the model or once per tag of Linear modules ("self_attn.q_proj").
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "nibble/quant/quantization_facts.h"

namespace nibble {

// weight_quant_params of the hqq library, under its names.
struct HqqWeightParams {
  double nbits = 4;                        // 8, 6, 5, 4, 3, 2, 1.58 or 1
  bool channel_wise = true;                // else one scale for the whole matrix
  std::optional<int64_t> group_size = 64;  // null: one group per channel
  bool optimize = true;
  bool round_zero = true;      // of 4 bits; false of others
  int64_t axis = 1;            // 0 or 1: along which a group lies
  bool view_as_float = false;  // codes stored as if they were floats
};

struct HqqConfig {
  static constexpr const char* kMethod = "hqq";

  HqqWeightParams params;                         // of every Linear
  std::map<std::string, HqqWeightParams> by_tag;  // if not empty: of these Linear alone
  std::vector<std::string> skip_modules = {"lm_head"};

  std::vector<std::string> notes;  // one line each, for the user

  // Reads the nested form of a file and the flat one of the constructor (nbits, group_size, axis,
  // view_as_float, dynamic_config). Throws Error with the key for a wrong type, bits that hqq does
  // not have, a group size that is no multiple of 8, an axis other than 0 and 1, and in
  // dynamic_config for a key that hqq does not know, or none at all. Stricter than hqq where it
  // finds out only when it quantizes: group sizes below 8, any axis in dynamic_config. Also
  // refused: quantized and offloaded scales and zeros, which hqq gave up and cannot save.
  static HqqConfig from_json(const nlohmann::ordered_json& object, const std::string& file);
  nlohmann::ordered_json to_json() const;

  QuantizationFacts facts() const;
  PackedSize packed_size(int64_t rows, int64_t cols) const;  // of a Linear [rows, cols]
};

}  // namespace nibble
