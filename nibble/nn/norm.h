// SPDX-License-Identifier: Apache-2.0
//
// RMSNorm as a module: the op with its weight.
#pragma once

#include <utility>

#include "nibble/nn/weight_loader.h"
#include "nibble/ops/norm.h"

namespace nibble {

class RmsNorm {
 public:
  RmsNorm() = default;
  // Reads `name`.weight [width].
  RmsNorm(const WeightLoader& loader, std::string_view name, int64_t width, float eps);

  Tensor forward(Context& ctx, const Tensor& x) const;  // [.., width] -> like x
  // Of a + b.
  NormedSum forward(Context& ctx, const Tensor& a, const Tensor& b) const;

  const Tensor& weight() const { return weight_; }
  void set_weight(Tensor weight) { weight_ = std::move(weight); }

 private:
  Tensor weight_;  // [width] float32
  float eps_ = 0.0f;
};

}  // namespace nibble
