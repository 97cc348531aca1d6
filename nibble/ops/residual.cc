// SPDX-License-Identifier: Apache-2.0
#include "nibble/ops/residual.h"

#include "nibble/ops/check.h"

namespace nibble {

Tensor add(Context& ctx, const Tensor& a, const Tensor& b) {
  ops::check_tensor("add", "a", a, DType::kF32, a.shape());
  ops::check_tensor("add", "b", b, DType::kF32, a.shape());
  Tensor y = ctx.empty(DType::kF32, a.shape());
  ctx.backend.add(ctx.stream, a, b, y);
  return y;
}

}  // namespace nibble
