// SPDX-License-Identifier: Apache-2.0
#include "nibble/ops/embedding.h"

#include "nibble/ops/check.h"

namespace nibble {

Tensor embedding(Context& ctx, const PreparedWeight& table, const Tensor& ids) {
  ops::check_tensor("embedding", "ids", ids, DType::kI32, {ops::kAnySize});
  ops::check_range("embedding", "token id", ids, table.weight().rows());
  Tensor y = ctx.empty(DType::kF32, {ids.dim(0), table.weight().cols()});
  ctx.backend.embedding(ctx.stream, table, ctx.backend.upload(ctx.stream, ids), y);
  return y;
}

}  // namespace nibble
