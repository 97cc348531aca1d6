// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/float8_codes.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/format/magnitude.h"
#include "nibble/quant/affine_packing.h"
#include "nibble/quant/dense_input.h"
#include "nibble/quant/row_tasks.h"

namespace nibble {
namespace {

// Runs of a matrix that lie in one block each, of the rows of some blocks.
class BlockRuns {
 public:
  BlockRuns(const Tensor& dense, Fp8BlockSize block)
      : dense_(dense), block_(block), row_(static_cast<size_t>(dense.dim(1))) {}

  // Calls visit(run as floats, place of its first element, index of its scale).
  template <typename Visit>
  void visit(int64_t first_row, int64_t last_row, const Visit& visit) {
    const int64_t cols = dense_.dim(1), across = block_count(cols, block_.cols);
    for (int64_t r = first_row; r < last_row; ++r) {
      read_elements(dense_, r * cols, row_);
      for (int64_t b = 0; b < across; ++b) {
        const int64_t begin = b * block_.cols, count = std::min(cols - begin, block_.cols);
        visit(std::span(row_).subspan(static_cast<size_t>(begin), static_cast<size_t>(count)),
              r * cols + begin, static_cast<size_t>(r / block_.rows * across + b));
      }
    }
  }

 private:
  const Tensor& dense_;
  Fp8BlockSize block_;
  std::vector<float> row_;
};

void check_float8_codes(const ModuleReader& reader, const Tensor& codes, ThreadPool& pool) {
  const uint8_t special = codes.dtype() == DType::kF8E4M3 ? 0x7f : 0x7c;
  const auto* bytes = static_cast<const uint8_t*>(codes.raw());
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

Weight quantize_float8(const Tensor& dense, Fp8BlockSize block, const Float8Rule& rule,
                       ThreadPool& pool) {
  check_dense_input(dense);
  check_finite(dense);
  const int64_t rows = dense.dim(0), cols = dense.dim(1);
  const float largest_code = largest_float8(rule.codes);
  const int64_t across = block_count(cols, block.cols), down = block_count(rows, block.rows);
  Float8Block packed{Tensor::empty(rule.codes, {rows, cols}),
                     Tensor::empty(DType::kF32, {down, across}), block.rows, block.cols};
  auto* codes = static_cast<uint8_t*>(packed.codes.raw());
  const auto scales = packed.scales.mutable_data<float>();
  pool.parallel_for(down, 1, [&](int64_t begin, int64_t end) {
    const int64_t first_row = begin * block.rows, last_row = std::min(rows, end * block.rows);
    std::vector<Float8Scale> scale_at(static_cast<size_t>((end - begin) * across));
    const auto base = static_cast<size_t>(begin * across);
    std::vector<float> largest(scale_at.size(), 0.0f);
    BlockRuns runs(dense, block);
    runs.visit(first_row, last_row, [&](std::span<const float> run, int64_t, size_t scale) {
      largest[scale - base] = std::max(largest[scale - base], max_magnitude(run));
    });
    for (size_t i = 0; i < scale_at.size(); ++i) {
      scale_at[i] = rule.scale(largest[i]);
      scales[base + i] = scale_at[i].stored;
    }
    runs.visit(first_row, last_row, [&](std::span<float> run, int64_t at, size_t scale) {
      rule.apply(run, scale_at[scale - base]);
      for (float& w : run) w = std::clamp(w, -largest_code, largest_code);
      encode_float8(run, rule.codes, {codes + at, run.size()});
    });
  });
  return Weight::float8_block(std::move(packed), dense.dtype());
}

Tensor read_float8_codes(const ModuleReader& reader, int64_t rows, int64_t cols, ThreadPool& pool) {
  Tensor codes = reader.tensor("weight");
  if (!is_float8_code(codes.dtype()) || codes.shape() != Shape{rows, cols}) {
    throw reader.error("weight", "tensor has the wrong dtype or shape")
        .expected(fmt::format("float8_e4m3fn or float8_e5m2 {}", to_string(Shape{rows, cols})))
        .got(fmt::format("{} {}", torch_name(codes.dtype()), to_string(codes.shape())));
  }
  check_float8_codes(reader, codes, pool);
  return codes;
}

const Float8Block& require_float8_blocks(const Weight& weight, const std::string& tensor,
                                         std::string_view what, Fp8BlockSize block, DType codes) {
  if (weight.layout() != Layout::kFloat8Block) {
    throw cannot_store(tensor, what)
        .expected(std::string(layout_name(Layout::kFloat8Block)))
        .got(std::string(layout_name(weight.layout())));
  }
  const Float8Block& packed = weight.as_float8_block();
  if (packed.block_rows == block.rows && packed.block_cols == block.cols &&
      packed.codes.dtype() == codes) {
    return packed;
  }
  throw cannot_store(tensor, what)
      .expected(fmt::format("{} in blocks of {} x {}", torch_name(codes), block.rows, block.cols))
      .got(fmt::format("{} in blocks of {} x {}", torch_name(packed.codes.dtype()),
                       packed.block_rows, packed.block_cols));
}

}  // namespace nibble
