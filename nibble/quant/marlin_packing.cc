// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/marlin_packing.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "nibble/quant/affine_packing.h"
#include "nibble/quant/row_tasks.h"

namespace nibble {
namespace {

constexpr int64_t kTile = 16, kTilesPerRun = 4;
constexpr int64_t kRunOutputs = kTile * kTilesPerRun;   // outputs of a run
constexpr int64_t kRunWords = kTile * kRunOutputs / 8;  // 128
constexpr int64_t kMarlinBits = 4;
constexpr uint8_t kMarlinZero = 8;
constexpr std::array<int, 8> kFragment = {0, 2, 4, 6, 1, 3, 5, 7};  // what nibble n holds
// Of per-channel scales, in runs of 32: where a lane's columns are.
constexpr std::array<int, 8> kLaneColumns = {0, 1, 8, 9, 16, 17, 24, 25};

// Calls visit(word of a row of words, nibble, row of W, column of W) for each code of 16 inputs.
template <typename Visit>
void for_each_code(int64_t rows, int64_t first_col, const Visit& visit) {
  for (int64_t run = 0; run < rows / kRunOutputs; ++run) {
    for (int64_t word = 0; word < kRunWords; ++word) {
      const int64_t lane = word / kTilesPerRun, tile = word % kTilesPerRun;
      for (int nibble = 0; nibble < 8; ++nibble) {
        const int64_t x = kFragment[static_cast<size_t>(nibble)];
        const int64_t input = 2 * (lane % 4) + x % 2 + 8 * (x / 2 % 2);
        const int64_t output = lane / 4 + 8 * (x / 4);
        visit(run * kRunWords + word, nibble, run * kRunOutputs + tile * kTile + output,
              first_col + input);
      }
    }
  }
}

// The position in file order of the scale at kernel position i of a row of scales.
int64_t scale_source(int64_t i, bool per_channel) {
  if (per_channel) return i / 32 * 32 + 2 * (i % 32 / 8) + kLaneColumns[static_cast<size_t>(i % 8)];
  return i / 64 * 64 + i % 64 / 8 + 8 * (i % 8);
}

}  // namespace

bool fits_marlin(int64_t rows, int64_t cols) {
  return rows % kRunOutputs == 0 && cols % kTile == 0;
}

Tensor marlin_words(const Tensor& code_matrix) {
  const int64_t rows = code_matrix.dim(0), cols = code_matrix.dim(1);
  Tensor words = Tensor::zeros(DType::kI32, {cols / kTile, 2 * rows});
  const auto codes = code_matrix.data<uint8_t>();
  const auto out = words.mutable_data<int32_t>();
  for (int64_t tile = 0; tile < cols / kTile; ++tile) {
    for_each_code(rows, tile * kTile, [&](int64_t word, int nibble, int64_t row, int64_t col) {
      int32_t& to = out[static_cast<size_t>(tile * 2 * rows + word)];
      const uint32_t code = codes[static_cast<size_t>(row * cols + col)];
      to = static_cast<int32_t>(static_cast<uint32_t>(to) | code << (4 * nibble));
    });
  }
  return words;
}

Tensor codes_of_marlin(const Tensor& words, int64_t rows, int64_t cols, ThreadPool& pool) {
  Tensor matrix = Tensor::empty(DType::kU8, {rows, cols});
  const auto in = words.data<int32_t>();
  const auto codes = matrix.mutable_data<uint8_t>();
  for_row_ranges(&pool, cols / kTile, kTile * rows, [&](int64_t begin, int64_t end) {
    for (int64_t tile = begin; tile < end; ++tile) {
      for_each_code(rows, tile * kTile, [&](int64_t word, int nibble, int64_t row, int64_t col) {
        const auto from = static_cast<uint32_t>(in[static_cast<size_t>(tile * 2 * rows + word)]);
        codes[static_cast<size_t>(row * cols + col)] = from >> (4 * nibble) & 15;
      });
    }
  });
  return matrix;
}

Tensor marlin_scales(const Tensor& scales) {
  const int64_t groups = scales.dim(0), rows = scales.dim(1);
  Tensor out = Tensor::empty(scales.dtype(), scales.shape());
  const auto* from = static_cast<const uint16_t*>(scales.raw());
  auto* to = static_cast<uint16_t*>(out.raw());
  for (int64_t i = 0; i < groups * rows; ++i) {
    to[i] = from[i / rows * rows + scale_source(i % rows, groups == 1)];
  }
  return out;
}

Tensor scales_of_marlin(const Tensor& scales) {
  const int64_t groups = scales.dim(0), rows = scales.dim(1);
  Tensor out = Tensor::empty(scales.dtype(), scales.shape());
  const auto* from = static_cast<const uint16_t*>(scales.raw());
  auto* to = static_cast<uint16_t*>(out.raw());
  for (int64_t i = 0; i < groups * rows; ++i) {
    to[i / rows * rows + scale_source(i % rows, groups == 1)] = from[i];
  }
  return out;
}

Weight read_marlin(const ModuleReader& reader, const MarlinNames& names, int64_t rows, int64_t cols,
                   int64_t group_size, ThreadPool& pool) {
  if (!fits_marlin(rows, cols)) {
    throw reader.error(names.words, "a matrix of this shape cannot be packed for Marlin")
        .expected(kMarlinShapes)
        .got(to_string(Shape{rows, cols}));
  }
  AffineGroup packed;
  packed.bits = kMarlinBits;
  packed.group_size = group_size;
  const int64_t groups = block_count(cols, group_size);
  const Tensor words = reader.tensor(names.words, DType::kI32, {cols / kTile, 2 * rows});
  packed.codes = pack_code_matrix(codes_of_marlin(words, rows, cols, pool), kMarlinBits, &pool);
  read_scales(reader, names.scales, {groups, rows}, packed.scale_dtype);  // checks them
  if (size_of(packed.scale_dtype) != 2) {
    throw reader.error(names.scales, "tensor has the wrong dtype")
        .expected("float16 or bfloat16")
        .got(std::string(torch_name(packed.scale_dtype)));
  }
  const Tensor scales = scales_of_marlin(reader.tensor(names.scales));
  packed.scales = to_dtype(transposed(scales), DType::kF32);
  packed.zeros = Tensor::empty(DType::kF32, {rows, groups});
  std::ranges::fill(packed.zeros.mutable_data<float>(), static_cast<float>(kMarlinZero));
  const DType dtype = packed.scale_dtype;
  return Weight::affine_group(std::move(packed), cols, dtype);
}

std::vector<NamedTensor> write_marlin(const Weight& weight, const MarlinNames& names,
                                      const std::string& prefix, std::string_view what) {
  const std::string tensor = prefix + std::string(names.words);
  const AffineGroup& packed = require_groups(weight, tensor, what, kMarlinBits);
  require_columns_in_order(packed, tensor, what);
  const int64_t rows = weight.rows(), cols = weight.cols();
  const std::optional<Tensor> zeros = zero_codes(packed);
  const bool symmetric = zeros && std::ranges::all_of(zeros->data<uint8_t>(), [](uint8_t zero) {
                           return zero == kMarlinZero;
                         });
  if (!symmetric) throw cannot_store(tensor, what).expected("symmetric groups, whose zero is 8");
  if (!fits_marlin(rows, cols) || size_of(packed.scale_dtype) != 2) {
    throw cannot_store(tensor, what)
        .expected(fmt::format("{}, and scales of 16 bits", kMarlinShapes))
        .got(fmt::format("{}, {}", to_string(Shape{rows, cols}), torch_name(packed.scale_dtype)));
  }
  const Tensor scales = to_dtype(transposed(packed.scales), packed.scale_dtype);
  return {{tensor, marlin_words(unpack_code_matrix(packed.codes, cols, kMarlinBits))},
          {prefix + std::string(names.scales), marlin_scales(scales)}};
}

}  // namespace nibble
