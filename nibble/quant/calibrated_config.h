// SPDX-License-Identifier: Apache-2.0
//
// The fields that GPTQConfig and AwqConfig of transformers have in common: codes, groups, and how a
// calibration went. Values only; rules that one of the two adds are in their own files.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nibble/quant/config_fields.h"

namespace nibble {

struct CalibratedConfig {
  int64_t bits = 4;
  nlohmann::ordered_json tokenizer;  // a name or null
  nlohmann::ordered_json dataset;    // a name, a list of texts, or null
  int64_t group_size = 128;          // -1: one group per row
  double damp_percent = 0.1;         // of the mean of the Hessian's diagonal
  bool desc_act = false;             // columns in order of decreasing activation
  bool act_group_aware = true;       // off when desc_act is on
  bool sym = true;
  bool true_sequential = true;
  std::string format;           // of the packed tensors; older files: checkpoint_format, version
  nlohmann::ordered_json meta;  // an object or null
  std::string backend = "auto";
  std::optional<int64_t> model_seqlen;
  std::optional<std::string> block_name_to_quantize;
  std::optional<std::vector<std::string>> module_name_preceding_first_block;
  int64_t batch_size = 1;
  std::optional<int64_t> pad_token_id;
  std::optional<int64_t> max_input_length;
  bool cache_block_outputs = true;
  std::optional<std::vector<std::vector<std::string>>> modules_in_block_to_quantize;

  std::vector<std::string> notes;  // one line each, for the user

  // Ways of older releases and of AutoGPTQ and AutoAWQ (w_bit, q_group_size) included.
  void read_fields(ConfigFields& fields);

  // All of the above under their names, sorted.
  nlohmann::json fields_json() const;
};

// Of ASCII letters: names of formats and backends count whatever their case.
std::string lower_case(std::string text);

}  // namespace nibble
