// SPDX-License-Identifier: Apache-2.0
//
// BitsAndBytesConfig: the fields, defaults and rules of transformers' class of that name, as they
// stand in the quantization_config of a config.json and as options of the command line.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nibble/format/code_block.h"
#include "nibble/format/layout.h"
#include "nibble/quant/quantization_facts.h"
#include "nibble/tensor/dtype.h"

namespace nibble {

struct BitsAndBytesConfig {
  static constexpr const char* kMethod = "bitsandbytes";

  bool load_in_8bit = false;
  bool load_in_4bit = false;
  float llm_int8_threshold = 6.0f;  // activations of at least this magnitude stay float
  // Modules that stay unquantized; absent: the output embedding and what is tied to it.
  std::optional<std::vector<std::string>> llm_int8_skip_modules;
  bool llm_int8_enable_fp32_cpu_offload = false;
  bool llm_int8_has_fp16_weight = false;
  DType bnb_4bit_compute_dtype = DType::kF32;
  std::string bnb_4bit_quant_type = "fp4";
  bool bnb_4bit_use_double_quant = false;
  DType bnb_4bit_quant_storage = DType::kU8;

  // Not in the file format: elements per absmax when quantizing (bitsandbytes' default).
  int64_t blocksize = 64;

  std::vector<std::string> notes;  // of from_json(): one line each, for the user

  // Throws Error when the fields contradict each other (both load_in flags, a quant storage or
  // block size that bitsandbytes does not have, a threshold below 0).
  void validate() const;

  // The object under "quantization_config"; wrong types and values throw Error with the key.
  static BitsAndBytesConfig from_json(const nlohmann::ordered_json& object,
                                      const std::string& file);
  nlohmann::ordered_json to_json() const;

  // "int8", "nf4" or "fp4"; "" for none of them, which a config may say and no model can be.
  std::string quantization_method() const;

  QuantizationFacts facts() const;
  PackedSize packed_size(int64_t rows, int64_t cols) const;  // of a Linear [rows, cols]
};

// The dtypes under which packed 4-bit codes can be stored (bnb_4bit_quant_storage).
bool is_quant_storage(DType dtype);

}  // namespace nibble
