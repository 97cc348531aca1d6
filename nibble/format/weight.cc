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

void check_block_size(const char* part, int64_t block_size) {
  if (block_size > 0) return;
  throw Error(fmt::format("{} is out of range", part))
      .expected("a positive number")
      .got(std::to_string(block_size));
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
    check_tensor("absmax", packed.absmax, DType::kF32, {blocks});
  }
  Weight weight;
  weight.rows_ = rows;
  weight.cols_ = cols;
  weight.dtype_ = dtype;
  weight.packed_ = std::move(packed);
  return weight;
}

Weight Weight::with_activation_mode(ActivationMode mode) const {
  if (mode == ActivationMode::kInt8 && layout() != Layout::kInt8Row) {
    throw Error("int8 activations need an int8 weight")
        .expected(std::string(layout_name(Layout::kInt8Row)))
        .got(std::string(layout_name(layout())));
  }
  Weight weight = *this;
  weight.mode_ = mode;
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
  return bytes;
}

}  // namespace nibble
