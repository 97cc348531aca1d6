// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/group_int8.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <span>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/quant/affine_packing.h"
#include "nibble/quant/dense_input.h"
#include "nibble/quant/module_reader.h"
#include "nibble/quant/row_tasks.h"

namespace nibble {
namespace {

constexpr int64_t kGroupInt8Bits = 8;
constexpr float kMiddleCode = 128.0f;
constexpr const char* kScalesName = "weight_scales";

// Writes the codes of a group and gives its scale; infinity where a weight is not finite.
float encode_group(std::span<const float> group, std::span<int8_t> codes) {
  float largest = 0.0f;
  for (const float w : group) largest = w == w ? std::max(largest, std::fabs(w)) : INFINITY;
  const float factor = int8_scale(largest);
  if (!std::isfinite(factor) || !std::isfinite(largest)) {
    std::ranges::fill(codes, int8_t{0});
    return std::isfinite(largest) ? 0.0f : largest;
  }
  std::ranges::transform(group, codes.begin(), [&](float w) {
    return static_cast<int8_t>(std::nearbyint(std::clamp(w * factor, -kInt8Max, kInt8Max)));
  });
  return largest / kInt8Max;
}

}  // namespace

Weight GroupInt8Scheme::quantize(const Tensor& dense, ThreadPool& pool) const {
  check_dense_input(dense);
  const int64_t rows = dense.dim(0), cols = dense.dim(1);
  AffineGroup packed;
  packed.bits = kGroupInt8Bits;
  packed.group_size = resolved_group_size(config_.group_size, cols);
  packed.scale_dtype = DType::kF32;
  const int64_t groups = block_count(cols, packed.group_size);
  packed.codes = Tensor::empty(DType::kI8, {rows, cols});
  packed.scales = Tensor::empty(DType::kF32, {rows, groups});
  packed.zeros = Tensor::zeros(DType::kF32, {rows, groups});
  const auto codes = packed.codes.mutable_data<int8_t>();
  const auto scales = packed.scales.mutable_data<float>();
  for_row_ranges(&pool, rows, cols, [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(cols));
    for (int64_t r = begin; r < end; ++r) {
      read_elements(dense, r * cols, row);
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t first = g * packed.group_size;
        const auto at = static_cast<size_t>(first);
        const auto count = static_cast<size_t>(std::min(cols - first, packed.group_size));
        scales[static_cast<size_t>(r * groups + g)] =
            encode_group(std::span(row).subspan(at, count),
                         codes.subspan(static_cast<size_t>(r * cols) + at, count));
      }
    }
  });
  check_finite(dense);
  return Weight::affine_group(std::move(packed), cols, dense.dtype());
}

Weight GroupInt8Scheme::load(const Checkpoint& checkpoint, const std::string& module, int64_t rows,
                             int64_t cols, ThreadPool&) const {
  const ModuleReader reader(checkpoint, module);
  AffineGroup packed;
  packed.bits = kGroupInt8Bits;
  packed.group_size = resolved_group_size(config_.group_size, cols);
  const Shape groups = {rows, block_count(cols, packed.group_size)};
  packed.codes = reader.tensor("weight", DType::kI8, {rows, cols});  // mapped as they are
  packed.scales = read_scales(reader, kScalesName, groups, packed.scale_dtype);
  packed.zeros = Tensor::zeros(DType::kF32, groups);
  const DType dtype = packed.scale_dtype;
  return Weight::affine_group(std::move(packed), cols, dtype);
}

bool GroupInt8Scheme::is_packed(const Checkpoint& checkpoint, const std::string& module) const {
  return checkpoint.contains(module_prefix(module) + kScalesName);
}

std::vector<NamedTensor> GroupInt8Scheme::save(const Weight& weight,
                                               const std::string& module) const {
  const std::string prefix = module_prefix(module), name = prefix + "weight";
  const AffineGroup& packed =
      require_groups(weight, name, GroupInt8Config::kMethod, kGroupInt8Bits);
  require_columns_in_order(packed, name, GroupInt8Config::kMethod);
  require_group_size(packed, resolved_group_size(config_.group_size, weight.cols()), name,
                     GroupInt8Config::kMethod);
  const bool are_signed = packed.codes.dtype() == DType::kI8;
  const auto zeros = packed.zeros.data<float>();
  const auto other = std::ranges::find_if(
      zeros, [&](float zero) { return zero != (are_signed ? 0.0f : kMiddleCode); });
  if (packed.zero_form != ZeroForm::kSubtracted || other != zeros.end()) {
    throw cannot_store(name, GroupInt8Config::kMethod)
        .expected("symmetric codes, with zeros of 128")
        .got("others");
  }
  return {{name, are_signed ? packed.codes : with_sign_bits_flipped(packed.codes, DType::kI8)},
          {prefix + kScalesName, to_dtype(packed.scales, packed.scale_dtype)}};
}

}  // namespace nibble
