// SPDX-License-Identifier: Apache-2.0
#include "nibble/ops/norm.h"

#include "nibble/ops/check.h"

namespace nibble {
namespace {

void check_norm(const char* op, const char* operand, const Tensor& x, const Tensor& weight) {
  ops::check_tensor(op, "weight", weight, DType::kF32, {ops::kAnySize});
  Shape wanted(x.shape().size(), ops::kAnySize);
  if (wanted.empty()) wanted.push_back(ops::kAnySize);
  wanted.back() = weight.dim(0);
  ops::check_tensor(op, operand, x, DType::kF32, wanted);
}

}  // namespace

Tensor rms_norm(Context& ctx, const Tensor& x, const Tensor& weight, float eps) {
  check_norm("rms_norm", "x", x, weight);
  Tensor y = ctx.empty(DType::kF32, x.shape());
  ctx.backend.rms_norm(ctx.stream, x, weight, eps, y);
  return y;
}

NormedSum add_rms_norm(Context& ctx, const Tensor& a, const Tensor& b, const Tensor& weight,
                       float eps) {
  check_norm("add_rms_norm", "a", a, weight);
  ops::check_tensor("add_rms_norm", "b", b, DType::kF32, a.shape());
  NormedSum result{ctx.empty(DType::kF32, a.shape()), ctx.empty(DType::kF32, a.shape())};
  ctx.backend.add_rms_norm(ctx.stream, a, b, weight, eps, result.sum, result.normed);
  return result;
}

}  // namespace nibble
