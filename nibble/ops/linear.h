// SPDX-License-Identifier: Apache-2.0
//
// y = x Wᵀ + b with a weight of any layout: the op in which nearly all time is spent.
#pragma once

#include <span>
#include <vector>

#include "nibble/ops/context.h"

namespace nibble {

// x [tokens, cols] float32, bias [rows] float32 or undefined -> [tokens, rows] float32.
// Throws Error when the shapes do not fit.
Tensor linear(Context& ctx, const PreparedWeight& weight, const Tensor& x, const Tensor& bias = {});

// The same for several weights and one x: one result each, faster than one by one.
struct LinearOperands {
  const PreparedWeight& weight;
  const Tensor& bias;
};
std::vector<Tensor> linear(Context& ctx, const Tensor& x, std::span<const LinearOperands> operands);

// Sees what meets the weights of a model that runs: how calibration knows the inputs of each, and
// which share theirs.
class LinearObserver {
 public:
  virtual ~LinearObserver() = default;
  // Before the products are computed; x is on the backend's device.
  virtual void on_linear(Context& ctx, const Tensor& x,
                         std::span<const LinearOperands> operands) = 0;
};

}  // namespace nibble
