// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/fp8.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <span>

#include "nibble/base/error.h"
#include "nibble/quant/affine_packing.h"
#include "nibble/quant/dense_input.h"
#include "nibble/quant/float8_codes.h"
#include "nibble/quant/module_reader.h"

namespace nibble {
namespace {

constexpr const char* kFp8Scales = "weight_scale_inv";
constexpr const char* kPowersOfTwo = "ue8m0";

Float8Scale scale_of(float largest, float largest_code, bool power_of_two) {
  Float8Scale scale;
  scale.factor = largest_code * (1.0f / largest);  // as torch divides a number by a tensor
  if (!std::isfinite(scale.factor)) return {};     // zeros, and what would overflow: below 1e-36
  scale.stored = 1.0f / scale.factor;
  if (power_of_two) {
    int exponent = 0;
    const float fraction = std::frexp(scale.stored, &exponent);
    scale.stored = std::ldexp(1.0f, fraction == 0.5f ? exponent - 1 : exponent);
    scale.factor = 1.0f / scale.stored;
  }
  return scale;
}

// Scales of a file as float32, of the dtypes that read_scales() has and as powers of two.
Tensor read_fp8_scales(const ModuleReader& reader, const Shape& shape) {
  Tensor found = reader.tensor(kFp8Scales);
  if (found.dtype() == DType::kU8) found = found.reinterpret(DType::kF8E8M0, found.shape());
  if (found.dtype() != DType::kF8E8M0) {
    DType stored = DType::kF32;
    return read_scales(reader, kFp8Scales, shape, stored);
  }
  if (found.shape() != shape) {
    throw reader.error(kFp8Scales, "tensor has the wrong dtype or shape")
        .expected(fmt::format("float8_e8m0fnu {}", to_string(shape)))
        .got(to_string(found.shape()));
  }
  const Tensor floats = to_dtype(found, DType::kF32);
  const auto values = floats.data<float>();
  if (!std::ranges::all_of(values, [](float x) { return std::isfinite(x); })) {
    throw reader.error(kFp8Scales, "tensor is not finite");
  }
  return floats;
}

}  // namespace

Fp8BlockSize Fp8Scheme::block_of(int64_t rows, int64_t cols) const {
  const Fp8BlockSize whole{std::max<int64_t>(1, rows), std::max<int64_t>(1, cols)};
  return config_.weight_block_size.value_or(whole);
}

std::optional<std::string> Fp8Scheme::misfit(int64_t rows, int64_t cols) const {
  const Fp8BlockSize block = block_of(rows, cols);
  const auto fits = [](int64_t size, int64_t of_block) {
    return size <= of_block || size % of_block == 0;
  };
  if (fits(rows, block.rows) && fits(cols, block.cols)) return std::nullopt;
  return fmt::format("rows and columns that are whole blocks of {} x {}, or less than one",
                     block.rows, block.cols);
}

Weight Fp8Scheme::quantize(const Tensor& dense, ThreadPool& pool) const {
  check_dense_input(dense);
  Float8Rule rule;
  rule.codes = config_.code_dtype();
  rule.scale = [&](float largest) {
    return scale_of(largest, largest_float8(rule.codes), config_.scale_fmt == kPowersOfTwo);
  };
  rule.apply = [](std::span<float> weights, const Float8Scale& scale) {
    for (float& w : weights) w *= scale.factor;
  };
  return quantize_float8(dense, block_of(dense.dim(0), dense.dim(1)), rule, pool);
}

Weight Fp8Scheme::load(const Checkpoint& checkpoint, const std::string& module, int64_t rows,
                       int64_t cols, ThreadPool& pool) const {
  const ModuleReader reader(checkpoint, module);
  Float8Block packed;
  packed.codes = read_float8_codes(reader, rows, cols, pool);
  const auto [block_rows, block_cols] = block_of(rows, cols);
  const Shape blocks = {block_count(rows, block_rows), block_count(cols, block_cols)};
  packed.block_rows = block_rows;
  packed.block_cols = block_cols;
  // One scale of a matrix is a number without a shape, or a vector of one.
  const Shape stored = config_.weight_block_size || reader.tensor(kFp8Scales).rank() == 2 ? blocks
                       : reader.tensor(kFp8Scales).rank() == 1                            ? Shape{1}
                                                                                          : Shape{};
  packed.scales = read_fp8_scales(reader, stored).reshape(blocks);
  const DType dtype = reader.tensor(kFp8Scales).dtype() == DType::kF16 ? DType::kF16 : DType::kBF16;
  return Weight::float8_block(std::move(packed), dtype);
}

bool Fp8Scheme::is_packed(const Checkpoint& checkpoint, const std::string& module) const {
  return checkpoint.contains(module_prefix(module) + kFp8Scales);
}

std::vector<NamedTensor> Fp8Scheme::save(const Weight& weight, const std::string& module) const {
  const std::string prefix = module_prefix(module), name = prefix + "weight";
  const Float8Block& packed =
      require_float8_blocks(weight, name, Fp8Config::kMethod,
                            block_of(weight.rows(), weight.cols()), config_.code_dtype());
  Tensor scales = config_.weight_block_size ? packed.scales : packed.scales.reshape({});
  if (config_.scale_fmt == kPowersOfTwo) {
    Tensor powers = Tensor::empty(DType::kU8, scales.shape());
    std::ranges::transform(
        scales.data<float>(), powers.mutable_data<uint8_t>().begin(),
        [](float scale) { return static_cast<uint8_t>(std::ilogb(scale) + 127); });
    scales = powers.reinterpret(DType::kF8E8M0, powers.shape());
  }
  return {{name, packed.codes}, {prefix + kFp8Scales, scales}};
}

}  // namespace nibble
