// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/scaled_fp8.h"

#include <algorithm>
#include <utility>

#include "nibble/base/half.h"
#include "nibble/quant/affine_packing.h"
#include "nibble/quant/dense_input.h"
#include "nibble/quant/float8_codes.h"
#include "nibble/quant/module_reader.h"

namespace nibble {
namespace {

constexpr const char* kWeightScale = "weight_scale";

float rounded_to_bf16(float x) { return to_float(to_bf16(x)); }

bool are_bf16(const Tensor& scales) {
  return std::ranges::all_of(scales.data<float>(),
                             [](float scale) { return rounded_to_bf16(scale) == scale; });
}

}  // namespace

ScaledFp8Scheme::ScaledFp8Scheme(CompressedTensorsConfig config)
    : how_(std::move(config)), skipped_(how_.skip_expressions()), config_json_(how_.to_json()) {}

ScaledFp8Scheme::ScaledFp8Scheme(const FbgemmFp8Config& config)
    : skipped_(config.modules_to_not_convert), config_json_(config.to_json()) {}

Weight ScaledFp8Scheme::quantize(const Tensor& dense, ThreadPool& pool) const {
  check_dense_input(dense);
  const bool bf16 = dense.dtype() == DType::kBF16;
  Float8Rule rule;
  rule.scale = [&](float largest) {
    const float scale = largest / largest_float8(rule.codes);
    const float stored = bf16 ? rounded_to_bf16(scale) : scale;
    return Float8Scale{.stored = stored > 0 ? stored : 1.0f};
  };
  rule.apply = [&](std::span<float> weights, const Float8Scale& scale) {
    for (float& w : weights) w /= scale.stored;
    if (!bf16) return;
    for (float& w : weights) w = rounded_to_bf16(w);
  };
  return quantize_float8(dense, how_.block_of(dense.dim(0), dense.dim(1)), rule, pool);
}

Weight ScaledFp8Scheme::load(const Checkpoint& checkpoint, const std::string& module, int64_t rows,
                             int64_t cols, ThreadPool& pool) const {
  const ModuleReader reader(checkpoint, module);
  const Fp8BlockSize block = how_.block_of(rows, cols);
  const Shape blocks = {block_count(rows, block.rows), block_count(cols, block.cols)};
  Float8Block packed{read_float8_codes(reader, rows, cols, pool), {}, block.rows, block.cols};
  // One scale of a matrix is a number without a shape, or a vector of one; one of a row may be.
  Shape stored = blocks;
  const Tensor found = reader.tensor(kWeightScale);
  if (found.rank() < 2 && found.numel() == blocks[0] && blocks[1] == 1) stored = found.shape();
  DType dtype = DType::kF32;
  packed.scales = read_scales(reader, kWeightScale, stored, dtype).reshape(blocks);
  return Weight::float8_block(std::move(packed), dtype == DType::kF16 ? DType::kF16 : DType::kBF16);
}

bool ScaledFp8Scheme::is_packed(const Checkpoint& checkpoint, const std::string& module) const {
  return checkpoint.contains(module_prefix(module) + kWeightScale);
}

std::vector<NamedTensor> ScaledFp8Scheme::save(const Weight& weight,
                                               const std::string& module) const {
  const std::string prefix = module_prefix(module), name = prefix + "weight";
  const Float8Block& packed =
      require_float8_blocks(weight, name, Fp8Config::kMethod,
                            how_.block_of(weight.rows(), weight.cols()), DType::kF8E4M3);
  const bool bf16 = weight.dtype() == DType::kBF16 && are_bf16(packed.scales);
  Tensor scales = bf16 ? to_dtype(packed.scales, DType::kBF16) : packed.scales;
  if (how_.strategy == "tensor") scales = scales.reshape({1});
  return {{name, packed.codes}, {prefix + kWeightScale, scales}};
}

}  // namespace nibble
