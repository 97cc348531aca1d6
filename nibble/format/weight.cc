// SPDX-License-Identifier: Apache-2.0
#include "nibble/format/weight.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <utility>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/base/half.h"
#include "nibble/format/int8_activations.h"
#include "nibble/format/magnitude.h"

namespace nibble {
namespace {

bool is_weight_dtype(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

void check_weight_dtype(DType dtype) {
  if (is_weight_dtype(dtype)) return;
  throw Error("a weight cannot have this dtype")
      .expected("float32, float16 or bfloat16")
      .got(std::string(torch_name(dtype)));
}

void check_tensor(const char* part, const Tensor& tensor, DType dtype, const Shape& shape) {
  if (!tensor.defined()) throw Error(fmt::format("{} is missing", part));
  if (tensor.dtype() == dtype && tensor.shape() == shape) return;
  throw Error(fmt::format("{} does not fit the weight", part))
      .expected(fmt::format("{} {}", torch_name(dtype), to_string(shape)))
      .got(fmt::format("{} {}", torch_name(tensor.dtype()), to_string(tensor.shape())));
}

// That of a narrow tensor; of what may not be one, float32, which check_tensor() then asks for.
DType scale_dtype_of(const Tensor& tensor) {
  return tensor.defined() && is_weight_dtype(tensor.dtype()) ? tensor.dtype() : DType::kF32;
}

void check_block_size(const char* part, int64_t block_size) {
  if (block_size > 0) return;
  throw Error(fmt::format("{} is out of range", part))
      .expected("a positive number")
      .got(std::to_string(block_size));
}

void check_permutation(std::span<const int32_t> positions) {
  std::vector<bool> taken(positions.size(), false);
  for (size_t c = 0; c < positions.size(); ++c) {
    const int32_t at = positions[c];
    if (at >= 0 && std::cmp_less(at, positions.size()) && !taken[static_cast<size_t>(at)]) {
      taken[static_cast<size_t>(at)] = true;
      continue;
    }
    throw Error("positions of columns are no permutation")
        .expected(fmt::format("each of [0, {}) once", positions.size()))
        .got(fmt::format("{} at {}", at, c));
  }
}

// Runs body(span of T) over the elements of a float tensor.
template <typename Body>
void with_floats(const Tensor& tensor, const Body& body) {
  switch (tensor.dtype()) {
    case DType::kF32:
      return body(tensor.data<float>());
    case DType::kF16:
      return body(tensor.data<fp16>());
    default:
      return body(tensor.data<bf16>());
  }
}

void store_rounded(std::span<const float> values, int64_t begin, Tensor& out) {
  const auto at = [&](auto span) {
    return span.subspan(static_cast<size_t>(begin), values.size());
  };
  switch (out.dtype()) {
    case DType::kF32:
      std::ranges::copy(values, at(out.mutable_data<float>()).begin());
      break;
    case DType::kF16:
      std::ranges::transform(values, at(out.mutable_data<fp16>()).begin(), to_fp16);
      break;
    default:
      std::ranges::transform(values, at(out.mutable_data<bf16>()).begin(), to_bf16);
      break;
  }
}

}  // namespace

Weight Weight::dense(Tensor values) {
  if (!values.defined()) throw Error("values are missing");
  check_weight_dtype(values.dtype());
  if (values.rank() != 2) {
    throw Error("a weight is a matrix").expected("[rows, cols]").got(to_string(values.shape()));
  }
  Weight weight;
  weight.rows_ = values.dim(0);
  weight.cols_ = values.dim(1);
  weight.dtype_ = values.dtype();
  weight.packed_ = Dense{std::move(values)};
  return weight;
}

Weight Weight::int8_row(Int8Row packed, DType dtype, ActivationMode mode,
                        float llm_int8_threshold) {
  check_weight_dtype(dtype);
  if (!packed.codes.defined()) throw Error("codes are missing");
  if (packed.codes.dtype() != DType::kI8 || packed.codes.rank() != 2) {
    throw Error("codes do not fit the weight")
        .expected("int8 [rows, cols]")
        .got(fmt::format("{} {}", torch_name(packed.codes.dtype()),
                         to_string(packed.codes.shape())));
  }
  check_tensor("absmax", packed.absmax, DType::kF32, {packed.codes.dim(0)});
  if (!(llm_int8_threshold >= 0.0f) || std::isinf(llm_int8_threshold)) {
    throw Error("llm_int8_threshold is out of range")
        .expected("a finite number of at least 0")
        .got(fmt::format("{}", llm_int8_threshold));
  }
  Weight weight;
  weight.rows_ = packed.codes.dim(0);
  weight.cols_ = packed.codes.dim(1);
  weight.dtype_ = dtype;
  weight.mode_ = mode;
  weight.threshold_ = llm_int8_threshold;
  weight.packed_ = std::move(packed);
  return weight;
}

Weight Weight::code_block(CodeBlock packed, int64_t rows, int64_t cols, DType dtype) {
  check_weight_dtype(dtype);
  const int64_t elements = checked_numel({rows, cols}, size_of(DType::kF32));
  check_block_size("block size", packed.block_size);
  check_tensor("code tensor", packed.codes, DType::kU8, {block_count(elements, 2)});
  check_tensor("codebook", packed.codebook, DType::kF32, {16});
  const int64_t blocks = block_count(elements, packed.block_size);
  if (packed.nested) {
    const NestedAbsmax& nested = *packed.nested;
    if (packed.absmax.defined()) throw Error("absmax stands beside nested absmax");
    check_block_size("nested block size", nested.block_size);
    check_tensor("nested absmax code tensor", nested.codes, DType::kU8, {blocks});
    check_tensor("nested absmax", nested.absmax, DType::kF32,
                 {block_count(blocks, nested.block_size)});
    check_tensor("nested codebook", nested.codebook, DType::kF32, {256});
  } else {
    check_tensor("absmax", packed.absmax, scale_dtype_of(packed.absmax), {blocks});
  }
  Weight weight;
  weight.rows_ = rows;
  weight.cols_ = cols;
  weight.dtype_ = dtype;
  weight.packed_ = std::move(packed);
  return weight;
}

Weight Weight::affine_group(AffineGroup packed, int64_t cols, DType dtype) {
  check_weight_dtype(dtype);
  check_weight_dtype(packed.scale_dtype);
  if (packed.bits < 1 || packed.bits > 8) {
    throw Error("bits of a code are out of range")
        .expected("1 to 8")
        .got(std::to_string(packed.bits));
  }
  check_block_size("group size", packed.group_size);
  if (!packed.codes.defined() || !packed.scales.defined()) throw Error("codes or scales missing");
  if (packed.codes.rank() != 2 || packed.scales.rank() != 2) {
    throw Error("codes and scales are matrices")
        .expected("[rows, bytes] and [rows, groups]")
        .got(fmt::format("{} and {}", to_string(packed.codes.shape()),
                         to_string(packed.scales.shape())));
  }
  const int64_t rows = packed.codes.dim(0), scale_rows = packed.scales.dim(0);
  checked_numel({rows, cols}, size_of(DType::kF32));
  const bool are_signed = packed.bits == 8 && packed.codes.dtype() == DType::kI8;
  check_tensor("code tensor", packed.codes, are_signed ? DType::kI8 : DType::kU8,
               {rows, affine_row_bytes(cols, packed.bits)});
  if (scale_rows > rows || (rows > 0 && scale_rows == 0)) {
    throw Error("scales do not fit the weight")
        .expected(fmt::format("1 to {} rows of scales", rows))
        .got(std::to_string(scale_rows));
  }
  const Shape groups = {scale_rows, block_count(cols, packed.group_size)};
  const DType scale_dtype = scale_dtype_of(packed.scales);
  check_tensor("scale tensor", packed.scales, scale_dtype, groups);
  check_tensor("zero tensor", packed.zeros, scale_dtype, groups);
  if (packed.positions.defined()) {
    check_tensor("position tensor", packed.positions, DType::kI32, {cols});
    check_permutation(packed.positions.data<int32_t>());
  }
  Weight weight;
  weight.rows_ = rows;
  weight.cols_ = cols;
  weight.dtype_ = dtype;
  weight.packed_ = std::move(packed);
  return weight;
}

Weight Weight::float8_block(Float8Block packed, DType dtype) {
  check_weight_dtype(dtype);
  check_block_size("rows of a block", packed.block_rows);
  check_block_size("columns of a block", packed.block_cols);
  if (!packed.codes.defined()) throw Error("codes are missing");
  if (!is_float8_code(packed.codes.dtype()) || packed.codes.rank() != 2) {
    throw Error("codes do not fit the weight")
        .expected("float8_e4m3fn or float8_e5m2 [rows, cols]")
        .got(fmt::format("{} {}", torch_name(packed.codes.dtype()),
                         to_string(packed.codes.shape())));
  }
  Weight weight;
  weight.rows_ = packed.codes.dim(0);
  weight.cols_ = packed.codes.dim(1);
  checked_numel({weight.rows_, weight.cols_}, size_of(DType::kF32));
  check_tensor(
      "scale tensor", packed.scales, DType::kF32,
      {block_count(weight.rows_, packed.block_rows), block_count(weight.cols_, packed.block_cols)});
  weight.dtype_ = dtype;
  weight.packed_ = std::move(packed);
  return weight;
}

Weight Weight::with_activation_mode(ActivationMode mode) const {
  if (mode == ActivationMode::kInt8 && layout() == Layout::kDense) {
    throw Error("int8 activations need a quantized weight").got(std::string(layout_name(layout())));
  }
  Weight weight = *this;
  weight.mode_ = mode;
  if (mode == ActivationMode::kInt8 && layout() == Layout::kCodeBlock) {
    const auto values = as_code_block().codebook.data<float>();
    const float largest = max_magnitude(values);
    std::vector<float> rounded(values.begin(), values.end());
    if (largest > 0.0f && std::isfinite(largest)) {
      for (float& value : rounded) value = round_int8_value(value, largest);
    }
    std::get<CodeBlock>(weight.packed_).codebook = Tensor::from(rounded, {16});
  }
  return weight;
}

void Weight::decode_row(int64_t row, std::span<float> out) const {
  if (row < 0 || row >= rows_ || std::cmp_not_equal(out.size(), cols_)) {
    throw Error("cannot decode this row")
        .expected(fmt::format("a row of [0, {}) into {} floats", rows_, cols_))
        .got(fmt::format("row {} into {} floats", row, out.size()));
  }
  const auto begin = static_cast<size_t>(row * cols_);
  switch (layout()) {
    case Layout::kDense:
      with_floats(as_dense().values, [&](auto values) {
        std::ranges::transform(values.subspan(begin, out.size()), out.begin(),
                               [](auto x) { return to_float(x); });
      });
      break;
    case Layout::kInt8Row:
      decode_int8_row(as_int8_row().codes.data<int8_t>().subspan(begin, out.size()),
                      as_int8_row().absmax.data<float>()[static_cast<size_t>(row)], out);
      break;
    case Layout::kCodeBlock:
      decode_code_block(as_code_block(), row * cols_, out);
      break;
    case Layout::kAffineGroup:
      decode_affine_group(as_affine_group(), row, 0, out);
      break;
    case Layout::kFloat8Block:
      decode_float8_block(as_float8_block(), row, 0, out);
      break;
  }
}

Tensor Weight::dequantize(DType dtype) const {
  check_weight_dtype(dtype);
  Tensor out = Tensor::empty(dtype, {rows_, cols_});
  std::vector<float> row_values(static_cast<size_t>(cols_));
  for (int64_t row = 0; row < rows_; ++row) {
    decode_row(row, row_values);
    store_rounded(row_values, row * cols_, out);
  }
  return out;
}

int64_t Weight::code_bytes() const {
  switch (layout()) {
    case Layout::kDense:
      return as_dense().values.defined() ? as_dense().values.nbytes() : 0;
    case Layout::kInt8Row:
      return as_int8_row().codes.nbytes();
    case Layout::kCodeBlock:
      return as_code_block().codes.nbytes();
    case Layout::kAffineGroup:
      return as_affine_group().codes.nbytes();
    case Layout::kFloat8Block:
      return as_float8_block().codes.nbytes();
  }
  return 0;
}

int64_t Weight::total_bytes() const {
  int64_t bytes = code_bytes();
  if (layout() == Layout::kInt8Row) bytes += as_int8_row().absmax.nbytes();
  if (layout() == Layout::kCodeBlock) {
    const CodeBlock& packed = as_code_block();
    bytes += packed.codebook.nbytes();
    if (packed.nested) {
      const NestedAbsmax& nested = *packed.nested;
      bytes += nested.codes.nbytes() + nested.absmax.nbytes() + nested.codebook.nbytes();
    } else {
      bytes += packed.absmax.nbytes();
    }
  }
  if (layout() == Layout::kAffineGroup) {
    const AffineGroup& packed = as_affine_group();
    bytes += packed.scales.nbytes() + packed.zeros.nbytes();
    if (packed.positions.defined()) bytes += packed.positions.nbytes();
  }
  if (layout() == Layout::kFloat8Block) bytes += as_float8_block().scales.nbytes();
  return bytes;
}

}  // namespace nibble
