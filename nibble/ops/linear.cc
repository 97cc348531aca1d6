// SPDX-License-Identifier: Apache-2.0
#include "nibble/ops/linear.h"

#include "nibble/ops/check.h"

namespace nibble {

std::vector<Tensor> linear(Context& ctx, const Tensor& x,
                           std::span<const LinearOperands> operands) {
  std::vector<Tensor> results;
  results.reserve(operands.size());  // the parts keep references
  std::vector<LinearPart> parts;
  for (const LinearOperands& of : operands) {
    const int64_t rows = of.weight.weight().rows();
    ops::check_tensor("linear", "x", x, DType::kF32, {ops::kAnySize, of.weight.weight().cols()});
    if (of.bias.defined()) ops::check_tensor("linear", "bias", of.bias, DType::kF32, {rows});
    results.push_back(ctx.empty(DType::kF32, {x.dim(0), rows}));
    parts.push_back({of.weight, of.bias, results.back()});
  }
  if (ctx.linear_observer) ctx.linear_observer->on_linear(ctx, x, operands);
  ctx.backend.linear(ctx.stream, x, parts);
  return results;
}

Tensor linear(Context& ctx, const PreparedWeight& weight, const Tensor& x, const Tensor& bias) {
  const LinearOperands operands{weight, bias};
  return linear(ctx, x, {&operands, 1}).front();
}

}  // namespace nibble
