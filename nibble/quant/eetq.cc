// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/eetq.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "nibble/base/error.h"
#include "nibble/base/half.h"
#include "nibble/quant/affine_packing.h"
#include "nibble/quant/dense_input.h"
#include "nibble/quant/module_reader.h"
#include "nibble/quant/row_tasks.h"

namespace nibble {
namespace {

constexpr float kEetqLevels = 128.0f;
// Values of "weight_layout".
constexpr uint8_t kPlainBytes = 0, kTuringBytes = 75;
constexpr const char* kLayoutName = "weight_layout";

constexpr int64_t kEetqRun = 64;  // columns of a row that follow each other, in an order of theirs

// The column within a run of each of its bytes.
constexpr std::array<uint8_t, kEetqRun> kRunColumns = [] {
  std::array<uint8_t, kEetqRun> columns{};
  for (size_t r = 0; r < columns.size(); ++r) {
    columns[r] = static_cast<uint8_t>(r / 16 * 16 + 8 * (r % 2) + r % 16 / 2);
  }
  return columns;
}();

// Calls visit(first byte of the file, row, first column) for each run of pairs of rows [begin,
// end).
template <typename Visit>
void for_each_eetq_run(int64_t begin, int64_t end, int64_t cols, const Visit& visit) {
  for (int64_t pair = begin; pair < end; ++pair) {
    for (int64_t run = 0; run < 2 * cols / kEetqRun; ++run) {
      visit(pair * 2 * cols + run * kEetqRun, 2 * pair + run % 2, run / 2 * kEetqRun);
    }
  }
}

// The kernel reads unsigned bytes; both ways flip the sign bit.
int8_t with_sign_flipped(int8_t code) { return static_cast<int8_t>(code ^ -128); }

int8_t eetq_code(float w, float scale) {
  if (scale == 0.0f) return 0;
  return static_cast<int8_t>(std::clamp(std::round(w / scale), -kEetqLevels, kEetqLevels - 1));
}

uint8_t layout_of(const ModuleReader& reader, int64_t rows, int64_t cols) {
  if (!reader.contains(kLayoutName)) return fits_eetq(rows, cols) ? kTuringBytes : kPlainBytes;
  const uint8_t layout = reader.tensor(kLayoutName, DType::kU8, {}).data<uint8_t>()[0];
  if (layout == kPlainBytes || (layout == kTuringBytes && fits_eetq(rows, cols))) return layout;
  throw reader.error(kLayoutName, "the order of bytes is not known, or not for this shape")
      .expected("0 (plain) or 75 (Turing to Ada, multiples of 64)")
      .got(fmt::format("{} for {}", layout, to_string(Shape{rows, cols})));
}

}  // namespace

bool fits_eetq(int64_t rows, int64_t cols) { return rows % 64 == 0 && cols % 64 == 0; }

Tensor eetq_bytes(const Tensor& codes) {
  const int64_t rows = codes.dim(0), cols = codes.dim(1);
  Tensor bytes = Tensor::empty(DType::kI8, {cols, rows});
  const auto from = codes.data<int8_t>();
  const auto to = bytes.mutable_data<int8_t>();
  for_each_eetq_run(0, rows / 2, cols, [&](int64_t at, int64_t row, int64_t col) {
    const int8_t* run = from.data() + row * cols + col;
    int8_t* bytes_of_run = to.data() + at;
    for (const uint8_t column : kRunColumns) *bytes_of_run++ = with_sign_flipped(run[column]);
  });
  return bytes;
}

Tensor codes_of_eetq(const Tensor& bytes, ThreadPool& pool) {
  const int64_t cols = bytes.dim(0), rows = bytes.dim(1);
  Tensor codes = Tensor::empty(DType::kI8, {rows, cols});
  const auto from = bytes.data<int8_t>();
  const auto to = codes.mutable_data<int8_t>();
  const auto load = [&](int64_t at, int64_t row, int64_t col) {
    const int8_t* bytes_of_run = from.data() + at;
    int8_t* run = to.data() + row * cols + col;
    for (const uint8_t column : kRunColumns) run[column] = with_sign_flipped(*bytes_of_run++);
  };
  for_row_ranges(&pool, rows / 2, 2 * cols,
                 [&](int64_t begin, int64_t end) { for_each_eetq_run(begin, end, cols, load); });
  return codes;
}

Weight EetqScheme::quantize(const Tensor& dense, ThreadPool& pool) const {
  check_dense_input(dense);
  const int64_t rows = dense.dim(0), cols = dense.dim(1);
  Int8Row packed{Tensor::empty(DType::kI8, {rows, cols}), Tensor::empty(DType::kF32, {rows})};
  const auto codes = packed.codes.mutable_data<int8_t>();
  const auto absmax = packed.absmax.mutable_data<float>();
  for_row_ranges(&pool, rows, cols, [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(cols));
    for (int64_t r = begin; r < end; ++r) {
      read_elements(dense, r * cols, row);
      float largest = 0.0f;
      for (float& x : row) {
        x = to_float(to_fp16(x));
        largest = x == x ? std::max(largest, std::fabs(x)) : INFINITY;
      }
      // Codes are on the scale as it is; files, and what decodes, have it in float16. Its product
      // with 127 is exact in float32, and so is what Int8Row makes of that.
      const float scale = largest / kEetqLevels;
      absmax[static_cast<size_t>(r)] = to_float(to_fp16(scale)) * kInt8Max;
      if (!std::isfinite(largest)) continue;
      std::ranges::transform(row, codes.subspan(static_cast<size_t>(r * cols)).begin(),
                             [&](float w) { return eetq_code(w, scale); });
    }
  });
  if (!std::ranges::all_of(absmax, [](float x) { return std::isfinite(x); })) {
    check_finite(dense);
    throw Error("weights are beyond the range of float16, in which EETQ quantizes")
        .expected("magnitudes of at most 65504")
        .hint("quantize this model to nf4 or fp4");
  }
  return Weight::int8_row(std::move(packed), dense.dtype(), ActivationMode::kFloat);
}

Weight EetqScheme::load(const Checkpoint& checkpoint, const std::string& module, int64_t rows,
                        int64_t cols, ThreadPool& pool) const {
  const ModuleReader reader(checkpoint, module);
  const char* name = reader.contains("weight") ? "weight" : "qweight";
  const Tensor bytes = reader.tensor(name, DType::kI8, {cols, rows});
  DType stored = DType::kF16;
  const Tensor scales = read_scales(reader, "weight_scales", {rows}, stored);
  Int8Row packed;
  packed.codes = layout_of(reader, rows, cols) == kTuringBytes ? codes_of_eetq(bytes, pool)
                                                               : transposed(bytes, &pool);
  packed.absmax = Tensor::empty(DType::kF32, {rows});
  std::ranges::transform(scales.data<float>(), packed.absmax.mutable_data<float>().begin(),
                         [](float scale) { return scale * kInt8Max; });
  return Weight::int8_row(std::move(packed), stored, ActivationMode::kFloat);
}

std::vector<std::string> EetqScheme::remarks(const Checkpoint& checkpoint) const {
  for (const std::string& name : checkpoint.names()) {
    if (!name.ends_with(".weight_scales")) continue;
    const std::string module = name.substr(0, name.size() - std::string(".weight_scales").size());
    if (checkpoint.contains(module_prefix(module) + kLayoutName)) continue;
    return {
        "the files do not say for which GPU EETQ ordered their bytes: they are read as those "
        "of Turing to Ada (compute capability 7.5 to 8.9)"};
  }
  return {};
}

bool EetqScheme::is_packed(const Checkpoint& checkpoint, const std::string& module) const {
  return checkpoint.contains(module_prefix(module) + "weight_scales");
}

std::vector<NamedTensor> EetqScheme::save(const Weight& weight, const std::string& module) const {
  const std::string prefix = module_prefix(module);
  if (weight.layout() != Layout::kInt8Row) {
    throw cannot_store(prefix + "weight", "EETQ")
        .expected(std::string(layout_name(Layout::kInt8Row)))
        .got(std::string(layout_name(weight.layout())));
  }
  const Int8Row& packed = weight.as_int8_row();
  const bool turing = fits_eetq(weight.rows(), weight.cols());
  Tensor scales = Tensor::empty(DType::kF32, {weight.rows()});
  std::ranges::transform(packed.absmax.data<float>(), scales.mutable_data<float>().begin(),
                         [](float absmax) { return absmax / kInt8Max; });
  return {{prefix + "weight", turing ? eetq_bytes(packed.codes) : transposed(packed.codes)},
          {prefix + "weight_scales", to_dtype(scales, DType::kF16)},
          {prefix + kLayoutName, Tensor::from<uint8_t>({turing ? kTuringBytes : kPlainBytes}, {})}};
}

}  // namespace nibble
