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
float encode_group(std::span<const float> group, std::span<uint8_t> codes) {
  float largest = 0.0f;
  for (const float w : group) largest = w == w ? std::max(largest, std::fabs(w)) : INFINITY;
  const float factor = int8_scale(largest);
  if (!std::isfinite(factor) || !std::isfinite(largest)) {
    std::ranges::fill(codes, static_cast<uint8_t>(kMiddleCode));
    return std::isfinite(largest) ? 0.0f : largest;
  }
  std::ranges::transform(group, codes.begin(), [&](float w) {
    const float code = std::nearbyint(std::clamp(w * factor, -kInt8Max, kInt8Max));
    return static_cast<uint8_t>(code + kMiddleCode);
  });
  return largest / kInt8Max;
}

// Codes of a file lie around 0, those in memory around 128: the sign bit tells them apart.
Tensor with_sign_bits_flipped(const Tensor& codes, DType dtype, ThreadPool* pool = nullptr) {
  Tensor flipped = Tensor::empty(DType::kU8, codes.shape());
  const Tensor bytes = codes.reinterpret(DType::kU8, codes.shape());
  const auto from = bytes.data<uint8_t>();
  const auto to = flipped.mutable_data<uint8_t>();
  for_row_ranges(pool, codes.dim(0), codes.dim(1), [&](int64_t begin, int64_t end) {
    const auto first = static_cast<size_t>(begin * codes.dim(1));
    const auto count = static_cast<size_t>((end - begin) * codes.dim(1));
    std::ranges::transform(from.subspan(first, count), to.subspan(first, count).begin(),
                           [](uint8_t code) { return static_cast<uint8_t>(code ^ 0x80); });
  });
  return flipped.reinterpret(dtype, codes.shape());
}

Tensor middle_codes(const Shape& shape) {
  Tensor zeros = Tensor::empty(DType::kF32, shape);
  std::ranges::fill(zeros.mutable_data<float>(), kMiddleCode);
  return zeros;
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
  packed.codes = Tensor::empty(DType::kU8, {rows, cols});
  packed.scales = Tensor::empty(DType::kF32, {rows, groups});
  packed.zeros = middle_codes({rows, groups});
  const auto codes = packed.codes.mutable_data<uint8_t>();
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
                             int64_t cols, ThreadPool& pool) const {
  const ModuleReader reader(checkpoint, module);
  AffineGroup packed;
  packed.bits = kGroupInt8Bits;
  packed.group_size = resolved_group_size(config_.group_size, cols);
  const Shape groups = {rows, block_count(cols, packed.group_size)};
  packed.codes =
      with_sign_bits_flipped(reader.tensor("weight", DType::kI8, {rows, cols}), DType::kU8, &pool);
  packed.scales = read_scales(reader, kScalesName, groups, packed.scale_dtype);
  packed.zeros = middle_codes(groups);
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
  const auto zeros = packed.zeros.data<float>();
  const auto other = std::ranges::find_if(zeros, [](float zero) { return zero != kMiddleCode; });
  if (packed.zero_form != ZeroForm::kSubtracted || other != zeros.end()) {
    throw cannot_store(name, GroupInt8Config::kMethod)
        .expected("symmetric codes, with zeros of 128")
        .got("others");
  }
  return {{name, with_sign_bits_flipped(packed.codes, DType::kI8)},
          {prefix + kScalesName, to_dtype(packed.scales, packed.scale_dtype)}};
}

}  // namespace nibble
