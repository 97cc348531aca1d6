// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/affine_rtn.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/base/half.h"
#include "nibble/base/vectorize.h"
#include "nibble/quant/dense_input.h"
#include "nibble/quant/row_tasks.h"

namespace nibble {
namespace {

float rounded_to(float value, DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return to_float(to_fp16(value));
    case DType::kBF16:
      return to_float(to_bf16(value));
    default:
      return value;
  }
}

// As encode_affine() and decode_affine_group() do.
NIBBLE_VECTORIZED void round_on_grid(float* values, int64_t count, AffineGrid grid, float last) {
  for (int64_t i = 0; i < count; ++i) {
    const float code = std::nearbyint(values[i] / grid.scale) + grid.zero;
    const float clamped = code < 0.0f ? 0.0f : code > last ? last : code;
    values[i] = grid.scale * (clamped - grid.zero);
  }
}

}  // namespace

AffineGrid grid_of(std::span<const float> group, const RtnOptions& options) {
  const auto [smallest, largest] = std::ranges::minmax(group);
  const float low = std::min(smallest, 0.0f), high = std::max(largest, 0.0f);
  AffineGrid grid;
  grid.scale = rounded_to(options.scale(low, high, options.bits), options.scale_dtype);
  const float last = static_cast<float>((1 << options.bits) - 1);
  if (options.sym) {
    grid.zero = static_cast<float>(1 << (options.bits - 1));
  } else if (grid.scale > 0.0f) {
    grid.zero = std::clamp(std::nearbyint(-low / grid.scale), 0.0f, last);
  }
  return grid;
}

void round_row(std::span<float> row, const RtnOptions& options) {
  const auto last = static_cast<float>((1 << options.bits) - 1);
  const auto width = static_cast<size_t>(options.group_size);
  for (size_t first = 0; first < row.size(); first += width) {
    const auto group = row.subspan(first, std::min(width, row.size() - first));
    const AffineGrid grid = grid_of(group, options);
    if (grid.scale > 0.0f) {
      round_on_grid(group.data(), static_cast<int64_t>(group.size()), grid, last);
    } else {
      std::ranges::fill(group, 0.0f);
    }
  }
}

void check_scales(std::span<const float> scales, const Tensor& dense, DType scale_dtype) {
  if (std::ranges::all_of(scales, [](float x) { return std::isfinite(x); })) return;
  check_finite(dense);
  throw Error("weights are too large: their scales do not fit")
      .expected("scales in the range of " + std::string(torch_name(scale_dtype)))
      .hint("quantize this model to nf4 or fp4");
}

AffineGroup unfilled_affine_group(int64_t rows, int64_t cols, const RtnOptions& options) {
  const int64_t groups = block_count(cols, options.group_size);
  AffineGroup packed;
  packed.bits = options.bits;
  packed.group_size = options.group_size;
  packed.scale_dtype = options.scale_dtype;
  packed.codes = Tensor::empty(DType::kU8, {rows, affine_row_bytes(cols, options.bits)});
  packed.scales = Tensor::empty(DType::kF32, {rows, groups});
  packed.zeros = Tensor::empty(DType::kF32, {rows, groups});
  return packed;
}

Weight round_to_nearest(const Tensor& dense, ThreadPool& pool, const RtnOptions& options) {
  check_dense_input(dense);
  const int64_t rows = dense.dim(0), cols = dense.dim(1);
  AffineGroup packed = unfilled_affine_group(rows, cols, options);
  const int64_t groups = packed.scales.dim(1), row_bytes = packed.codes.dim(1);
  const auto bytes = packed.codes.mutable_data<uint8_t>();
  const auto scales = packed.scales.mutable_data<float>();
  const auto zeros = packed.zeros.mutable_data<float>();
  for_row_ranges(&pool, rows, cols, [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(cols));
    std::vector<uint8_t> codes(row.size());
    for (int64_t r = begin; r < end; ++r) {
      read_elements(dense, r * cols, row);
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t first = g * options.group_size;
        const int64_t last = std::min(cols - first, options.group_size) + first;
        const AffineGrid grid = grid_of(
            std::span(row).subspan(static_cast<size_t>(first), static_cast<size_t>(last - first)),
            options);
        scales[static_cast<size_t>(r * groups + g)] = grid.scale;
        zeros[static_cast<size_t>(r * groups + g)] = grid.zero;
        for (auto k = static_cast<size_t>(first); k < static_cast<size_t>(last); ++k) {
          codes[k] = encode_affine(row[k], grid.scale, grid.zero, options.bits);
        }
      }
      pack_codes(codes, options.bits,
                 bytes.subspan(static_cast<size_t>(r * row_bytes), static_cast<size_t>(row_bytes)));
    }
  });
  check_scales(scales, dense, options.scale_dtype);
  check_finite(dense);
  return Weight::affine_group(std::move(packed), cols, dense.dtype());
}

}  // namespace nibble
