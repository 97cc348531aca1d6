// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/awq.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "nibble/base/error.h"
#include "nibble/quant/affine_packing.h"
#include "nibble/quant/affine_rtn.h"
#include "nibble/quant/awq_packing.h"
#include "nibble/quant/marlin_packing.h"

namespace nibble {
namespace {

constexpr int64_t kAwqBits = 4;
constexpr MarlinNames kMarlinNames = {.words = "qweight", .scales = "scales"};

// AutoAWQ's quantizer, over a range that holds 0 in any case: it clamps the zero to a code, which
// cuts off weights that all lie on one side.
float awq_scale(float smallest, float largest, int64_t bits) {
  return std::max(largest - smallest, 1e-5f) / static_cast<float>((1 << bits) - 1);
}

float awq_symmetric_scale(float smallest, float largest, int64_t bits) {
  const float magnitude = std::max(-smallest, largest);
  return std::max(magnitude, 1e-5f) / static_cast<float>((1 << (bits - 1)) - 1);
}

// A matrix with columns of zeros behind it.
template <typename T>
Tensor padded_columns(const Tensor& matrix, int64_t cols) {
  Tensor out = Tensor::zeros(matrix.dtype(), {matrix.dim(0), cols});
  const auto from = matrix.data<T>();
  const auto to = out.mutable_data<T>();
  const auto width = static_cast<size_t>(matrix.dim(1));
  for (size_t row = 0; row * width < from.size(); ++row) {
    std::ranges::copy(from.subspan(row * width, width),
                      to.begin() + static_cast<std::ptrdiff_t>(row * static_cast<size_t>(cols)));
  }
  return out;
}

// The reverse: the first columns of a matrix.
template <typename T>
Tensor first_columns(const Tensor& matrix, int64_t cols) {
  Tensor out = Tensor::empty(matrix.dtype(), {matrix.dim(0), cols});
  const auto from = matrix.data<T>();
  const auto to = out.mutable_data<T>();
  const auto width = static_cast<size_t>(matrix.dim(1)), kept = static_cast<size_t>(cols);
  for (size_t row = 0; row * kept < to.size(); ++row) {
    std::ranges::copy(from.subspan(row * width, kept),
                      to.begin() + static_cast<std::ptrdiff_t>(row * kept));
  }
  return out;
}

// -scale * zero of each group, as it will be rounded.
Tensor added_zeros(const AffineGroup& packed, const Tensor& zero_codes) {
  if (packed.zero_form == ZeroForm::kAdded) return packed.zeros;
  Tensor out = Tensor::empty(DType::kF32, packed.scales.shape());
  std::ranges::transform(
      packed.scales.data<float>(), zero_codes.data<uint8_t>(), out.mutable_data<float>().begin(),
      [](float scale, uint8_t zero) { return -(scale * static_cast<float>(zero)); });
  return out;
}

}  // namespace

AwqScheme::Packing AwqScheme::packing_of(const std::string& format) {
  if (format == "gemv") return Packing::kGemv;
  if (format == "gemv_fast" || format == "llm-awq") return Packing::kFast;
  if (format == "marlin") return Packing::kMarlin;
  return Packing::kGemm;  // also what exllama and ipex repack on loading
}

AwqScheme::AwqScheme(AwqConfig config)
    : config_(std::move(config)), packing_(packing_of(config_.format)) {
  if (config_.bits != kAwqBits) {
    throw Error("AWQ files have codes of 4 bits").expected("4").got(std::to_string(config_.bits));
  }
  // The list is an addition to the automatic one, which for a language model is its head.
  skip_ = config_.modules_to_not_convert;
  if (skip_) skip_->emplace_back("lm_head");
}

RtnOptions AwqScheme::grid_options(int64_t cols) const {
  RtnOptions options;
  options.bits = kAwqBits;
  options.group_size = resolved_group_size(config_.group_size, cols);
  options.sym = !config_.zero_point || packing_ == Packing::kMarlin;
  options.scale = options.sym ? awq_symmetric_scale : awq_scale;
  return options;
}

Weight AwqScheme::quantize(const Tensor& dense, ThreadPool& pool) const {
  return round_to_nearest(dense, pool, grid_options(dense.defined() ? dense.dim(-1) : 0));
}

bool AwqScheme::fills_words(int64_t rows, int64_t cols) const {
  if (packing_ == Packing::kMarlin) return fits_marlin(rows, cols);
  if (packing_ == Packing::kFast) return rows % 4 == 0 && cols % 64 == 0;
  return rows % 8 == 0 && cols % 8 == 0;
}

std::optional<std::string> AwqScheme::misfit(int64_t rows, int64_t cols) const {
  const char* wanted = misfit_of_groups(rows, cols, resolved_group_size(config_.group_size, cols));
  return wanted ? std::optional<std::string>(wanted) : std::nullopt;
}

const char* AwqScheme::misfit_of_groups(int64_t rows, int64_t cols, int64_t group_size) const {
  if (packing_ == Packing::kMarlin) return fits_marlin(rows, cols) ? nullptr : kMarlinShapes;
  if (packing_ == Packing::kGemm) return rows % 8 == 0 ? nullptr : "a multiple of 8 rows";
  if (cols % group_size != 0) return "whole groups";
  if (awq_padded_groups(1, group_size) == 0) return "a group size of 32, 64, or 128 and more";
  if (packing_ == Packing::kGemv) return cols % 8 == 0 ? nullptr : "a multiple of 8 columns";
  return rows % 4 == 0 && cols % 64 == 0 ? nullptr : "multiples of 4 rows and 64 columns";
}

Weight AwqScheme::load(const Checkpoint& checkpoint, const std::string& module, int64_t rows,
                       int64_t cols, ThreadPool& pool) const {
  const ModuleReader reader(checkpoint, module);
  AffineGroup packed;
  packed.bits = kAwqBits;
  packed.group_size = resolved_group_size(config_.group_size, cols);
  if (packing_ == Packing::kMarlin) {
    return read_marlin(reader, kMarlinNames, rows, cols, packed.group_size, pool);
  }
  if (const char* wanted = misfit_of_groups(rows, cols, packed.group_size)) {
    throw reader.error("qweight", "this matrix cannot be packed for " + config_.format)
        .expected(wanted)
        .got(fmt::format("{} in groups of {}", to_string(Shape{rows, cols}), packed.group_size));
  }
  const int64_t groups = block_count(cols, packed.group_size);
  const int64_t padded = awq_padded_groups(groups, packed.group_size);
  if (packing_ == Packing::kGemm) {
    const Tensor words = reader.tensor("qweight", DType::kI32, {cols, rows / 8});
    packed.codes = row_codes_of_awq_gemm(words, pool);
    const Tensor zeros = reader.tensor("qzeros", DType::kI32, {groups, rows / 8});
    packed.zeros = floats_of_codes(transposed(codes_of_awq_gemm(zeros)));
    packed.scales =
        transposed(read_scales(reader, "scales", {groups, rows}, packed.scale_dtype), &pool);
  } else if (packing_ == Packing::kGemv) {
    const Tensor words = reader.tensor("qweight", DType::kI32, {rows, cols / 8});
    packed.codes = words.reinterpret(DType::kU8, {rows, cols / 2});
    const Tensor zeros = reader.tensor("qzeros", DType::kI32, {rows, padded / 8});
    const Tensor codes =
        unpack_code_matrix(zeros.reinterpret(DType::kU8, {rows, padded / 2}), padded, kAwqBits);
    packed.zeros = floats_of_codes(first_columns<uint8_t>(codes, groups));
    packed.scales = first_columns<float>(
        read_scales(reader, "scales", {rows, padded}, packed.scale_dtype), groups);
  } else {
    const Tensor words = reader.tensor("qweight", DType::kI16, {rows / 4, cols});
    packed.codes = pack_code_matrix(codes_of_awq_fast(words, pool), kAwqBits, &pool);
    const char* name = reader.contains("scaled_zeros") ? "scaled_zeros" : "qzeros";
    const auto by_row = [&](const char* suffix) {
      const Tensor all = read_scales(reader, suffix, {padded, rows}, packed.scale_dtype);
      return transposed(all.slice_rows(0, groups));
    };
    packed.zero_form = ZeroForm::kAdded;
    packed.zeros = by_row(name);
    packed.scales = by_row("scales");
  }
  const DType dtype = packed.scale_dtype;
  return Weight::affine_group(std::move(packed), cols, dtype);
}

bool AwqScheme::is_packed(const Checkpoint& checkpoint, const std::string& module) const {
  return checkpoint.contains(module_prefix(module) + "qweight");
}

std::vector<NamedTensor> AwqScheme::save(const Weight& weight, const std::string& module) const {
  const std::string prefix = module_prefix(module), what = fmt::format("AWQ ({})", config_.format);
  if (packing_ == Packing::kMarlin) return write_marlin(weight, kMarlinNames, prefix, what);
  const std::string qweight = prefix + "qweight";
  const AffineGroup& packed = require_groups(weight, qweight, what, kAwqBits);
  require_columns_in_order(packed, qweight, what);
  const int64_t rows = weight.rows(), cols = weight.cols();
  if (const char* wanted = misfit_of_groups(rows, cols, packed.group_size)) {
    throw cannot_store(qweight, what)
        .expected(wanted)
        .got(fmt::format("{} in groups of {}", to_string(Shape{rows, cols}), packed.group_size));
  }
  require_group_size(packed, resolved_group_size(config_.group_size, cols), qweight, what);
  const std::optional<Tensor> zeros = zero_codes(packed);
  if (!zeros && (packing_ != Packing::kFast || packed.zero_form != ZeroForm::kAdded)) {
    throw cannot_store(prefix + "qzeros", what).expected("zeros that are codes");
  }
  const int64_t padded = awq_padded_groups(packed.scales.dim(1), packed.group_size);
  const auto as_stored = [&](const Tensor& floats) { return to_dtype(floats, packed.scale_dtype); };
  if (packing_ == Packing::kGemm) {
    const Tensor codes = unpack_code_matrix(packed.codes, cols, kAwqBits);
    return {{qweight, awq_gemm_words(transposed(codes))},
            {prefix + "qzeros", awq_gemm_words(transposed(*zeros))},
            {prefix + "scales", as_stored(transposed(packed.scales))}};
  }
  const Tensor scales = padded_columns<float>(packed.scales, padded);
  if (packing_ == Packing::kGemv) {
    const Tensor zero_rows = pack_code_matrix(padded_columns<uint8_t>(*zeros, padded), kAwqBits);
    return {{qweight, packed.codes.reinterpret(DType::kI32, {rows, cols / 8})},
            {prefix + "qzeros", zero_rows.reinterpret(DType::kI32, {rows, padded / 8})},
            {prefix + "scales", as_stored(scales)}};
  }
  const Tensor added = zeros ? added_zeros(packed, *zeros) : packed.zeros;
  const char* zeros_name = config_.format == "llm-awq" ? "scaled_zeros" : "qzeros";
  return {{qweight, awq_fast_words(unpack_code_matrix(packed.codes, cols, kAwqBits))},
          {prefix + zeros_name, as_stored(transposed(padded_columns<float>(added, padded)))},
          {prefix + "scales", as_stored(transposed(scales))}};
}

}  // namespace nibble
