// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/fp8.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <nlohmann/json.hpp>
#include <span>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/base/float8.h"
#include "nibble/format/magnitude.h"
#include "nibble/quant/affine_packing.h"
#include "nibble/quant/dense_input.h"
#include "nibble/quant/module_reader.h"
#include "nibble/quant/row_tasks.h"

namespace nibble {
namespace {

constexpr const char* kFp8Scales = "weight_scale_inv";
constexpr const char* kPowersOfTwo = "ue8m0";

struct BlockScale {
  float factor = 1.0f;  // that codes are rounded from
  float stored = 1.0f;  // what values are multiplied by
};

BlockScale scale_of(float largest, float largest_code, bool power_of_two) {
  BlockScale scale;
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

uint8_t* code_bytes(Tensor& codes) { return static_cast<uint8_t*>(codes.raw()); }
const uint8_t* code_bytes(const Tensor& codes) { return static_cast<const uint8_t*>(codes.raw()); }

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

void check_codes(const ModuleReader& reader, const Tensor& codes, ThreadPool& pool) {
  const uint8_t special = codes.dtype() == DType::kF8E4M3 ? 0x7f : 0x7c;
  const uint8_t* bytes = code_bytes(codes);
  const int64_t cols = codes.dim(1);
  std::atomic<bool> bad = false;
  for_row_ranges(&pool, codes.dim(0), cols, [&](int64_t begin, int64_t end) {
    uint8_t largest = 0;
    for (const uint8_t code : std::span(bytes + begin * cols, bytes + end * cols)) {
      largest = std::max(largest, static_cast<uint8_t>(code & 0x7f));
    }
    if (largest >= special) bad = true;
  });
  if (bad) throw reader.error("weight", "tensor is not finite");
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
  check_finite(dense);
  const int64_t rows = dense.dim(0), cols = dense.dim(1);
  const auto [block_rows, block_cols] = block_of(rows, cols);
  const DType dtype = config_.code_dtype();
  const float largest_code = largest_float8(dtype);
  const int64_t across = block_count(cols, block_cols), down = block_count(rows, block_rows);
  Float8Block packed{Tensor::empty(dtype, {rows, cols}), Tensor::empty(DType::kF32, {down, across}),
                     block_rows, block_cols};
  uint8_t* codes = code_bytes(packed.codes);
  const auto scales = packed.scales.mutable_data<float>();
  const bool power_of_two = config_.scale_fmt == kPowersOfTwo;
  // Calls visit(row as floats, column of its first, index of the scale) for the runs of rows of
  // blocks.
  const auto for_runs = [&](int64_t first_row, int64_t last_row, const auto& visit) {
    std::vector<float> row(static_cast<size_t>(cols));
    for (int64_t r = first_row; r < last_row; ++r) {
      read_elements(dense, r * cols, row);
      for (int64_t b = 0; b < across; ++b) {
        const int64_t begin = b * block_cols, count = std::min(cols - begin, block_cols);
        visit(std::span(row).subspan(static_cast<size_t>(begin), static_cast<size_t>(count)),
              r * cols + begin, static_cast<size_t>(r / block_rows * across + b));
      }
    }
  };
  pool.parallel_for(down, 1, [&](int64_t begin, int64_t end) {
    const int64_t first_row = begin * block_rows, last_row = std::min(rows, end * block_rows);
    std::vector<BlockScale> scale_at(static_cast<size_t>((end - begin) * across));
    const auto base = static_cast<size_t>(begin * across);
    std::vector<float> largest(scale_at.size(), 0.0f);
    for_runs(first_row, last_row, [&](std::span<const float> run, int64_t, size_t scale) {
      largest[scale - base] = std::max(largest[scale - base], max_magnitude(run));
    });
    for (size_t i = 0; i < scale_at.size(); ++i) {
      scale_at[i] = scale_of(largest[i], largest_code, power_of_two);
      scales[base + i] = scale_at[i].stored;
    }
    for_runs(first_row, last_row, [&](std::span<float> run, int64_t at, size_t scale) {
      const float factor = scale_at[scale - base].factor;
      for (float& w : run) w = std::clamp(w * factor, -largest_code, largest_code);
      encode_float8(run, dtype, {codes + at, run.size()});
    });
  });
  return Weight::float8_block(std::move(packed), dense.dtype());
}

Weight Fp8Scheme::load(const Checkpoint& checkpoint, const std::string& module, int64_t rows,
                       int64_t cols, ThreadPool& pool) const {
  const ModuleReader reader(checkpoint, module);
  Float8Block packed;
  packed.codes = reader.tensor("weight");
  if (!is_float8_code(packed.codes.dtype()) || packed.codes.shape() != Shape{rows, cols}) {
    throw reader.error("weight", "tensor has the wrong dtype or shape")
        .expected(fmt::format("float8_e4m3fn or float8_e5m2 {}", to_string(Shape{rows, cols})))
        .got(fmt::format("{} {}", torch_name(packed.codes.dtype()),
                         to_string(packed.codes.shape())));
  }
  check_codes(reader, packed.codes, pool);
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
  if (weight.layout() != Layout::kFloat8Block) {
    throw cannot_store(name, Fp8Config::kMethod)
        .expected(std::string(layout_name(Layout::kFloat8Block)))
        .got(std::string(layout_name(weight.layout())));
  }
  const Float8Block& packed = weight.as_float8_block();
  const auto [block_rows, block_cols] = block_of(weight.rows(), weight.cols());
  if (packed.block_rows != block_rows || packed.block_cols != block_cols ||
      packed.codes.dtype() != config_.code_dtype()) {
    throw cannot_store(name, Fp8Config::kMethod)
        .expected(fmt::format("{} in blocks of {} x {}", torch_name(config_.code_dtype()),
                              block_rows, block_cols))
        .got(fmt::format("{} in blocks of {} x {}", torch_name(packed.codes.dtype()),
                         packed.block_rows, packed.block_cols));
  }
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
