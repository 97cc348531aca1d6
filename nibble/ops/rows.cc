// SPDX-License-Identifier: Apache-2.0
#include "nibble/ops/rows.h"

#include <fmt/format.h>

#include "nibble/base/error.h"
#include "nibble/ops/check.h"

namespace nibble {

Tensor select_rows(Context& ctx, const Tensor& x, std::span<const int64_t> rows) {
  ops::check_tensor("select_rows", "x", x, DType::kF32, {ops::kAnySize, ops::kAnySize});
  const int64_t tokens = x.dim(0), width = x.dim(1), count = static_cast<int64_t>(rows.size());
  // To the backend, copying a row is appending to a cache that has one head as wide as the row.
  const Tensor source = x.reshape({tokens, 1, width});
  CacheRows y(ctx.empty(DType::kF32, {1, count, width}));
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = rows[static_cast<size_t>(i)];
    if (row < 0 || row >= tokens) {
      throw Error("select_rows: no such row")
          .expected(fmt::format("0 to {}", tokens - 1))
          .got(std::to_string(row));
    }
    ctx.backend.append_to_cache(ctx.stream, source, row, 1, y, i);
  }
  return y.rows.reshape({count, width});
}

}  // namespace nibble
