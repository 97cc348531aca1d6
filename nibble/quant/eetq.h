// SPDX-License-Identifier: Apache-2.0
//
// EETQ's int8 weights: the layout Int8Row with float activations. Files keep "weight" [cols, rows]
// int8 (EETQ's own classes: "qweight") and "weight_scales" [rows], in the order of bytes that the
// kernel of one kind of GPU wants and without a word about which. nibble writes the order of Turing
// to Ada where the shape allows it, else plain bytes, and says so in "weight_layout".
#pragma once

#include "nibble/quant/eetq_config.h"
#include "nibble/quant/scheme.h"

namespace nibble {

class EetqScheme final : public Scheme {
 public:
  explicit EetqScheme(EetqConfig config) : config_(std::move(config)) {}

  std::string_view name() const override { return EetqConfig::kMethod; }

  // scale = max |w| / 128, codes of [-128, 127], a tie away from zero. Weights are rounded to
  // float16 first, the only dtype that EETQ takes; what is beyond that is refused.
  Weight quantize(const Tensor& dense, ThreadPool& pool) const override;

  Weight load(const Checkpoint& checkpoint, const std::string& module, int64_t rows, int64_t cols,
              ThreadPool& pool) const override;

  // That the order of bytes had to be guessed.
  std::vector<std::string> remarks(const Checkpoint& checkpoint) const override;

  bool is_packed(const Checkpoint& checkpoint, const std::string& module) const override;
  std::vector<NamedTensor> save(const Weight& weight, const std::string& module) const override;

  const std::optional<std::vector<std::string>>& skip_modules() const override {
    return config_.modules_to_not_convert;
  }
  nlohmann::ordered_json config_json() const override { return config_.to_json(); }

 private:
  EetqConfig config_;
};

// Codes [rows, cols] int8 to and from the [cols, rows] bytes of files for compute capability 7.5 to
// 8.9: pairs of rows, 64 columns of each in turn. Both sizes are multiples of 64.
bool fits_eetq(int64_t rows, int64_t cols);
Tensor eetq_bytes(const Tensor& codes);
Tensor codes_of_eetq(const Tensor& bytes, ThreadPool& pool);

}  // namespace nibble
