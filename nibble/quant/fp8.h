// SPDX-License-Identifier: Apache-2.0
//
// Weights as floats of 8 bits with a float32 scale per block, as transformers' fine-grained FP8 and
// the published models of DeepSeek and Qwen have them: "weight" float8_e4m3fn [rows, cols] and
// "weight_scale_inv" [rows / 128, cols / 128], by which values are multiplied. The layout is
// Float8Block. float8_e5m2 is nibble's own addition.
#pragma once

#include "nibble/quant/fp8_config.h"
#include "nibble/quant/scheme.h"

namespace nibble {

class Fp8Scheme final : public Scheme {
 public:
  explicit Fp8Scheme(Fp8Config config) : config_(std::move(config)) {}

  std::string_view name() const override { return Fp8Config::kMethod; }

  // code = float8(w * f) with f = 448 * (1 / max |w|) in float32, scale = 1 / f, in this order as
  // transformers computes; a block of zeros, or for which f is infinite, has scale 1.
  // With scale_fmt "ue8m0" the scale is rounded up to a power of two first.
  Weight quantize(const Tensor& dense, ThreadPool& pool) const override;

  // Readers on a CPU work out the blocks from the number of scales: no block may be cut off.
  std::optional<std::string> misfit(int64_t rows, int64_t cols) const override;

  // Scales of float32, float16, bfloat16 and float8_e8m0fnu, the last also as uint8. Codes that are
  // NaN or infinite are refused.
  Weight load(const Checkpoint& checkpoint, const std::string& module, int64_t rows, int64_t cols,
              ThreadPool& pool) const override;

  bool is_packed(const Checkpoint& checkpoint, const std::string& module) const override;

  // The weight must have the blocks and the dtype of the config.
  std::vector<NamedTensor> save(const Weight& weight, const std::string& module) const override;

  const std::optional<std::vector<std::string>>& skip_modules() const override {
    return config_.modules_to_not_convert;
  }
  nlohmann::ordered_json config_json() const override { return config_.to_json(); }

 private:
  Fp8BlockSize block_of(int64_t rows, int64_t cols) const;

  Fp8Config config_;
};

}  // namespace nibble
