// SPDX-License-Identifier: Apache-2.0
#include "nibble/ops/rope.h"

#include <fmt/format.h>

#include "nibble/base/error.h"
#include "nibble/ops/check.h"

namespace nibble {
namespace {

void check_input(const RopeInput& input, const RopeOptions& options) {
  const Tensor& x = input.x;
  ops::check_tensor("rope", "x", x, DType::kF32, {ops::kAnySize, ops::kAnySize, ops::kAnySize});
  ops::check_tensor("rope", "positions", options.positions, DType::kI32, {x.dim(0)});
  ops::check_tensor("rope", "inv_freq", options.inv_freq, DType::kF32, {ops::kAnySize});
  if (options.inv_freq.dim(0) > x.dim(2) / 2) {
    throw Error("rope: more frequencies than pairs in a head")
        .expected(fmt::format("at most {}", x.dim(2) / 2))
        .got(std::to_string(options.inv_freq.dim(0)));
  }
  if (input.norm_weight.defined()) {
    ops::check_tensor("rope", "norm weight", input.norm_weight, DType::kF32, {x.dim(2)});
  }
}

void check_ranges(const RopeOptions& options) {
  int64_t done = 0;
  for (const RopeRange& range : options.others) {
    ops::check_tensor("rope", "inv_freq of a range", range.inv_freq, DType::kF32,
                      options.inv_freq.shape());
    if (range.begin < done || range.end < range.begin) {
      throw Error("rope: ranges are not ascending")
          .expected(fmt::format("a range from row {}", done))
          .got(fmt::format("[{}, {})", range.begin, range.end));
    }
    done = range.end;
  }
}

}  // namespace

std::vector<Tensor> rope(Context& ctx, std::span<const RopeInput> inputs,
                         const RopeOptions& options) {
  std::vector<Tensor> outputs;
  for (const RopeInput& input : inputs) {
    check_input(input, options);
    outputs.push_back(ctx.empty(DType::kF32, input.x.shape()));
  }
  check_ranges(options);
  const auto rotate = [&](int64_t begin, int64_t end, const Tensor& inv_freq) {
    if (begin == end) return;
    std::vector<Tensor> x, y;
    for (size_t i = 0; i < inputs.size(); ++i) {
      x.push_back(inputs[i].x.slice_rows(begin, end));
      y.push_back(outputs[i].slice_rows(begin, end));
    }
    std::vector<RopePart> parts;
    for (size_t i = 0; i < inputs.size(); ++i) {
      parts.push_back({x[i], inputs[i].norm_weight, y[i]});
    }
    const Tensor positions = options.positions.slice_rows(begin, end);
    ctx.backend.rope(ctx.stream, parts, {positions, inv_freq, options.attention_scaling},
                     options.norm_eps);
  };
  int64_t done = 0;
  for (const RopeRange& range : options.others) {
    rotate(done, range.begin, options.inv_freq);
    rotate(range.begin, range.end, range.inv_freq);
    done = range.end;
  }
  rotate(done, options.positions.dim(0), options.inv_freq);
  return outputs;
}

}  // namespace nibble
