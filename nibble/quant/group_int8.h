// SPDX-License-Identifier: Apache-2.0
//
// FastChat's compression: symmetric int8 per group of inputs of a row, the layout AffineGroup with
// codes of 8 bits around 128. FastChat quantizes anew at each start and saves nothing, so the file
// is nibble's: "weight" [rows, cols] int8 and "weight_scales" [rows, groups] float32, w = code *
// scale. The last group of a row may be short, which is what padding with zeros comes to.
#pragma once

#include "nibble/quant/group_int8_config.h"
#include "nibble/quant/scheme.h"

namespace nibble {

class GroupInt8Scheme final : public Scheme {
 public:
  explicit GroupInt8Scheme(GroupInt8Config config) : config_(std::move(config)) {}

  std::string_view name() const override { return GroupInt8Config::kMethod; }

  // code = round-half-even(w * (127 * (1 / max |w|))), in that order as PyTorch divides a number by
  // a tensor. In float32, so that no dtype of a model makes the factor overflow, as a float16 one
  // does in FastChat for groups below 0.002. Groups for which it overflows in float32 (max |w|
  // below 4e-37) are zeros.
  Weight quantize(const Tensor& dense, ThreadPool& pool) const override;

  Weight load(const Checkpoint& checkpoint, const std::string& module, int64_t rows, int64_t cols,
              ThreadPool& pool) const override;

  bool is_packed(const Checkpoint& checkpoint, const std::string& module) const override;

  // The weight must have codes of 8 bits around 128, in the groups of the config.
  std::vector<NamedTensor> save(const Weight& weight, const std::string& module) const override;

  const std::optional<std::vector<std::string>>& skip_modules() const override {
    return config_.modules_to_not_convert;
  }
  nlohmann::ordered_json config_json() const override { return config_.to_json(); }

 private:
  GroupInt8Config config_;
};

}  // namespace nibble
