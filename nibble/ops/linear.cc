// SPDX-License-Identifier: Apache-2.0
#include "nibble/ops/linear.h"

#include "nibble/ops/check.h"

namespace nibble {

Tensor linear(Context& ctx, const PreparedWeight& weight, const Tensor& x, const Tensor& bias) {
  const int64_t rows = weight.weight().rows();
  ops::check_tensor("linear", "x", x, DType::kF32, {ops::kAnySize, weight.weight().cols()});
  if (bias.defined()) ops::check_tensor("linear", "bias", bias, DType::kF32, {rows});
  Tensor y = ctx.empty(DType::kF32, {x.dim(0), rows});
  ctx.backend.linear(ctx.stream, weight, x, bias, y);
  return y;
}

}  // namespace nibble
