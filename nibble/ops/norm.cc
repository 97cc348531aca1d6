// SPDX-License-Identifier: Apache-2.0
#include "nibble/ops/norm.h"

#include "nibble/ops/check.h"

namespace nibble {

Tensor rms_norm(Context& ctx, const Tensor& x, const Tensor& weight, float eps) {
  ops::check_tensor("rms_norm", "weight", weight, DType::kF32, {ops::kAnySize});
  Shape wanted(x.shape().size(), ops::kAnySize);
  if (wanted.empty()) wanted.push_back(ops::kAnySize);
  wanted.back() = weight.dim(0);
  ops::check_tensor("rms_norm", "x", x, DType::kF32, wanted);
  Tensor y = ctx.empty(DType::kF32, x.shape());
  ctx.backend.rms_norm(ctx.stream, x, weight, eps, y);
  return y;
}

}  // namespace nibble
