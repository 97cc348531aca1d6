// SPDX-License-Identifier: Apache-2.0
#include "nibble/ops/loss.h"

#include "nibble/ops/check.h"

namespace nibble {

Tensor cross_entropy(Context& ctx, const Tensor& logits, const Tensor& targets) {
  ops::check_tensor("cross_entropy", "logits", logits, DType::kF32, {ops::kAnySize, ops::kAnySize});
  ops::check_tensor("cross_entropy", "targets", targets, DType::kI32, {logits.dim(0)});
  ops::check_range("cross_entropy", "target", targets, logits.dim(1));
  Tensor losses = ctx.empty(DType::kF32, {logits.dim(0)});
  ctx.backend.cross_entropy(ctx.stream, logits, ctx.backend.upload(ctx.stream, targets), losses);
  return losses;
}

}  // namespace nibble
