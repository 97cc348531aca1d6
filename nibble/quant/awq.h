// SPDX-License-Identifier: Apache-2.0
//
// AWQ (arXiv 2306.00978) as AutoAWQ, llm-awq and transformers save it: "qweight", "qzeros" (by
// llm-awq "scaled_zeros") and "scales" of 4 bits, in the order that the kernel named in the config
// wants (awq_packing.h, marlin_packing.h). quantize() rounds to nearest, without the scaling of
// columns that makes the method; codes of that are handed to save() in a Weight.
#pragma once

#include "nibble/quant/affine_rtn.h"
#include "nibble/quant/awq_config.h"
#include "nibble/quant/scheme.h"

namespace nibble {

class AwqScheme final : public Scheme {
 public:
  // Throws Error for bits other than 4: AWQ files have no others.
  explicit AwqScheme(AwqConfig config);

  std::string_view name() const override { return AwqConfig::kMethod; }

  Weight quantize(const Tensor& dense, ThreadPool& pool) const override;

  std::optional<std::string> misfit(int64_t rows, int64_t cols) const override;

  // What a matrix in groups of `group_size` would have to be to fit the packing, or nullptr.
  const char* misfit_of_groups(int64_t rows, int64_t cols, int64_t group_size) const;

  // Whether both sides of a matrix fill the words of the packing, as all its readers want them.
  bool fills_words(int64_t rows, int64_t cols) const;

  // The grid of a matrix with `cols` columns, for algorithms that choose its codes otherwise.
  RtnOptions grid_options(int64_t cols) const;

  // Zeros of gemv_fast stay what they are in the file, numbers that are added.
  Weight load(const Checkpoint& checkpoint, const std::string& module, int64_t rows, int64_t cols,
              ThreadPool& pool) const override;

  bool is_packed(const Checkpoint& checkpoint, const std::string& module) const override;

  // Integer codes as they are. Columns in another order (act-order) are refused, and shapes and
  // group sizes that the kernel named in the config does not have.
  std::vector<NamedTensor> save(const Weight& weight, const std::string& module) const override;

  const std::optional<std::vector<std::string>>& skip_modules() const override { return skip_; }
  nlohmann::ordered_json config_json() const override { return config_.to_json(); }

 private:
  enum class Packing : uint8_t { kGemm, kGemv, kFast, kMarlin };
  static Packing packing_of(const std::string& format);

  AwqConfig config_;
  Packing packing_;
  std::optional<std::vector<std::string>> skip_;
};

}  // namespace nibble
