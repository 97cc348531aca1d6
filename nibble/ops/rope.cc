// SPDX-License-Identifier: Apache-2.0
#include "nibble/ops/rope.h"

#include <fmt/format.h>

#include "nibble/base/error.h"
#include "nibble/ops/check.h"

namespace nibble {

Tensor rope(Context& ctx, const Tensor& x, const Tensor& positions, const Tensor& inv_freq,
            float attention_scaling, std::span<const RopeRange> others) {
  ops::check_tensor("rope", "x", x, DType::kF32, {ops::kAnySize, ops::kAnySize, ops::kAnySize});
  ops::check_tensor("rope", "positions", positions, DType::kI32, {x.dim(0)});
  ops::check_tensor("rope", "inv_freq", inv_freq, DType::kF32, {ops::kAnySize});
  if (inv_freq.dim(0) > x.dim(2) / 2) {
    throw Error("rope: more frequencies than pairs in a head")
        .expected(fmt::format("at most {}", x.dim(2) / 2))
        .got(std::to_string(inv_freq.dim(0)));
  }
  Tensor y = ctx.empty(DType::kF32, x.shape());
  const auto rotate = [&](int64_t begin, int64_t end, const Tensor& frequencies) {
    if (begin == end) return;
    Tensor rows = y.slice_rows(begin, end);
    ctx.backend.rope(ctx.stream, x.slice_rows(begin, end), positions.slice_rows(begin, end),
                     frequencies, attention_scaling, rows);
  };
  int64_t done = 0;
  for (const RopeRange& range : others) {
    ops::check_tensor("rope", "inv_freq of a range", range.inv_freq, DType::kF32, inv_freq.shape());
    if (range.begin < done || range.end < range.begin) {
      throw Error("rope: ranges are not ascending")
          .expected(fmt::format("a range from row {}", done))
          .got(fmt::format("[{}, {})", range.begin, range.end));
    }
    rotate(done, range.begin, inv_freq);
    rotate(range.begin, range.end, range.inv_freq);
    done = range.end;
  }
  rotate(done, x.dim(0), inv_freq);
  return y;
}

}  // namespace nibble
