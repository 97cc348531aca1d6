// SPDX-License-Identifier: Apache-2.0
//
// y = x Wᵀ + b: the only place where quantization meets the network.
#pragma once

#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

#include "nibble/nn/weight_loader.h"
#include "nibble/ops/context.h"

namespace nibble {

class Linear {
 public:
  Linear() = default;
  // Reads `name`.weight [rows, cols] and, if asked, `name`.bias [rows].
  Linear(const WeightLoader& loader, std::string_view name, int64_t rows, int64_t cols, bool bias);
  // Shares an existing weight: the tied output embedding.
  explicit Linear(std::shared_ptr<const PreparedWeight> weight);

  Tensor forward(Context& ctx, const Tensor& x) const;  // [tokens, cols] -> [tokens, rows]

  // The results of several layers for one x.
  static std::vector<Tensor> forward(Context& ctx, const Tensor& x,
                                     std::initializer_list<const Linear*> layers);

  const PreparedWeight& weight() const { return *weight_; }
  const std::shared_ptr<const PreparedWeight>& shared_weight() const { return weight_; }
  // Another one of the same shape, for instance with codes that calibration has chosen.
  void set_weight(std::shared_ptr<const PreparedWeight> weight);
  const Tensor& bias() const { return bias_; }
  void set_bias(Tensor bias) { bias_ = std::move(bias); }

 private:
  std::shared_ptr<const PreparedWeight> weight_;
  Tensor bias_;  // [rows] float32, or undefined
};

}  // namespace nibble
