// SPDX-License-Identifier: Apache-2.0
//
// Weights as floats of 8 bits in the files of llm-compressor (compressed-tensors) and of FBGEMM:
// "weight" float8_e4m3fn [rows, cols] and "weight_scale", one for a row ([rows, 1]), for the matrix
// ([1] or no shape) or for a block, by which values are multiplied. The layout is Float8Block.
#pragma once

#include "nibble/quant/compressed_tensors_config.h"
#include "nibble/quant/fbgemm_fp8_config.h"
#include "nibble/quant/scheme.h"

namespace nibble {

class ScaledFp8Scheme final : public Scheme {
 public:
  explicit ScaledFp8Scheme(CompressedTensorsConfig config);
  explicit ScaledFp8Scheme(const FbgemmFp8Config& config);

  std::string_view name() const override { return Fp8Config::kMethod; }

  // scale = max |w| / 448, code = float8(w / scale). Of a bfloat16 matrix both quotients are
  // rounded to bfloat16, as compressed-tensors computes; a block of zeros has scale 1.
  Weight quantize(const Tensor& dense, ThreadPool& pool) const override;

  // Scales of float32, float16 and bfloat16. Codes that are NaN or infinite are refused.
  Weight load(const Checkpoint& checkpoint, const std::string& module, int64_t rows, int64_t cols,
              ThreadPool& pool) const override;

  bool is_packed(const Checkpoint& checkpoint, const std::string& module) const override;

  // The weight must have the blocks of the config. Scales are bfloat16 where they and the weight
  // are, else float32.
  std::vector<NamedTensor> save(const Weight& weight, const std::string& module) const override;

  const std::optional<std::vector<std::string>>& skip_modules() const override { return skipped_; }
  nlohmann::ordered_json config_json() const override { return config_json_; }

 private:
  CompressedTensorsConfig how_;  // of FBGEMM's files: the blocks alone
  std::optional<std::vector<std::string>> skipped_;
  nlohmann::ordered_json config_json_;
};

}  // namespace nibble
