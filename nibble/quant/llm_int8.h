// SPDX-License-Identifier: Apache-2.0
//
// LLM.int8() (arXiv 2208.07339) as bitsandbytes' Linear8bitLt saves it: int8 rows with their
// largest magnitudes, "weight" + "SCB" + "weight_format". The outliers that the paper keeps in
// float are activations: they are found at run time by llm_int8_threshold, nothing of them is
// stored.
#pragma once

#include "nibble/quant/bitsandbytes_config.h"
#include "nibble/quant/scheme.h"

namespace nibble {

class LlmInt8Scheme final : public Scheme {
 public:
  explicit LlmInt8Scheme(BitsAndBytesConfig config);

  std::string_view name() const override { return "int8"; }

  // Rounds the weights to float16 first, as bitsandbytes does whatever their dtype is. Where it
  // would silently store an infinite SCB and a row of zeros, weights beyond float16's range, this
  // throws Error.
  Weight quantize(const Tensor& dense, ThreadPool& pool) const override;

  // The file does not say which dtype the weight had; the result has float16, in which it was
  // quantized.
  Weight load(const Checkpoint& checkpoint, const std::string& module, int64_t rows, int64_t cols,
              ThreadPool& pool) const override;

  bool is_packed(const Checkpoint& checkpoint, const std::string& module) const override;

  std::vector<NamedTensor> save(const Weight& weight, const std::string& module) const override;

  const std::optional<std::vector<std::string>>& skip_modules() const override {
    return config_.llm_int8_skip_modules;
  }

  // With llm_int8_has_fp16_weight false: what save() gives is int8.
  nlohmann::ordered_json config_json() const override;

 private:
  BitsAndBytesConfig config_;
};

}  // namespace nibble
