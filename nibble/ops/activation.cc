// SPDX-License-Identifier: Apache-2.0
#include "nibble/ops/activation.h"

#include "nibble/ops/check.h"

namespace nibble {

Tensor silu_mul(Context& ctx, const Tensor& gate, const Tensor& up) {
  ops::check_tensor("silu_mul", "gate", gate, DType::kF32, gate.shape());
  ops::check_tensor("silu_mul", "up", up, DType::kF32, gate.shape());
  Tensor y = ctx.empty(DType::kF32, gate.shape());
  ctx.backend.silu_mul(ctx.stream, gate, up, y);
  return y;
}

}  // namespace nibble
