// SPDX-License-Identifier: Apache-2.0
//
// HQQ as the hqq library and transformers save it: "W_q", "scale", "zero", and all that describes
// them as tensors of their own. The layout is AffineGroup, its zeros numbers between codes; groups
// of axis 0 lie across rows.
#pragma once

#include "nibble/quant/hqq_config.h"
#include "nibble/quant/hqq_packing.h"
#include "nibble/quant/scheme.h"

namespace nibble {

class HqqScheme final : public Scheme {
 public:
  explicit HqqScheme(HqqConfig config) : config_(std::move(config)), skip_(config_.skip_modules) {}

  std::string_view name() const override { return HqqConfig::kMethod; }
  const HqqConfig& config() const { return config_; }

  // By hqq_solver.h. Throws Error for groups that cross rows, for one scale for a whole matrix, and
  // for a config with parameters by tag, as a matrix does not say its tag.
  Weight quantize(const Tensor& dense, ThreadPool& pool) const override;

  std::optional<std::string> misfit(int64_t rows, int64_t cols) const override;

  // What the module's own tensors say, whatever the config does.
  Weight load(const Checkpoint& checkpoint, const std::string& module, int64_t rows, int64_t cols,
              ThreadPool& pool) const override;

  bool is_packed(const Checkpoint& checkpoint, const std::string& module) const override;

  // In the order of a state dict. The weight must be as the config says.
  std::vector<NamedTensor> save(const Weight& weight, const std::string& module) const override;

  const std::optional<std::vector<std::string>>& skip_modules() const override { return skip_; }
  nlohmann::ordered_json config_json() const override { return config_.to_json(); }

 private:
  HqqShape shape_of(int64_t rows, int64_t cols) const;

  HqqConfig config_;
  std::optional<std::vector<std::string>> skip_;
};

}  // namespace nibble
