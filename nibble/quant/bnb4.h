// SPDX-License-Identifier: Apache-2.0
//
// NF4 and FP4 (QLoRA, arXiv 2305.14314) as bitsandbytes' Linear4bit saves them: the codes under
// "weight" in any storage dtype, "weight.absmax" (itself 8-bit under double quantization),
// "weight.quant_map" and the rest as JSON (quant_state.h).
#pragma once

#include "nibble/quant/bitsandbytes_config.h"
#include "nibble/quant/quant_state.h"
#include "nibble/quant/scheme.h"

namespace nibble {

class Bnb4Scheme final : public Scheme {
 public:
  // Throws Error when `config` is not valid or its bnb_4bit_quant_type is neither "nf4" nor "fp4".
  explicit Bnb4Scheme(BitsAndBytesConfig config);

  std::string_view name() const override { return quant_type_name(type_); }

  Weight quantize(const Tensor& dense, ThreadPool& pool) const override;

  // Type, block size, dtype and nesting are those of the tensor, whatever the config says, as in
  // bitsandbytes. The codes stay mapped. The stored maps are used, not the built-in ones.
  Weight load(const Checkpoint& checkpoint, const std::string& module, int64_t rows, int64_t cols,
              ThreadPool& pool) const override;

  bool is_packed(const Checkpoint& checkpoint, const std::string& module) const override;

  // In the order of a state dict. Bytes that do not fill the last element of
  // bnb_4bit_quant_storage are padded with zeros (bitsandbytes refuses such weights).
  std::vector<NamedTensor> save(const Weight& weight, const std::string& module) const override;

  const std::optional<std::vector<std::string>>& skip_modules() const override {
    return config_.llm_int8_skip_modules;
  }
  nlohmann::ordered_json config_json() const override;

 private:
  BitsAndBytesConfig config_;
  QuantType type_;  // that quantize() uses
};

}  // namespace nibble
