// SPDX-License-Identifier: Apache-2.0
//
// An immutable matrix [rows, cols] = [out_features, in_features], dense or packed, with every side
// tensor it needs to decode and the way its activations are treated. What kernels, savers and
// inspectors all take.
#pragma once

#include <span>
#include <variant>

#include "nibble/format/affine_group.h"
#include "nibble/format/code_block.h"
#include "nibble/format/float8_block.h"
#include "nibble/format/int8_row.h"
#include "nibble/format/layout.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

struct Dense {
  Tensor values;  // [rows, cols] float32, float16 or bfloat16
};

class Weight {
 public:
  Weight() = default;  // no weight: rows() == 0

  // All check shapes and dtypes of their tensors against [rows, cols] and throw Error.
  // `dtype` is the dtype of the weight before quantization, to which dequantize() returns.
  static Weight dense(Tensor values);
  static Weight int8_row(Int8Row packed, DType dtype, ActivationMode mode = ActivationMode::kInt8,
                         float llm_int8_threshold = 6.0f);
  static Weight code_block(CodeBlock packed, int64_t rows, int64_t cols, DType dtype);
  // Positions, which come from a file, are also checked to be a permutation.
  static Weight affine_group(AffineGroup packed, int64_t cols, DType dtype);
  static Weight float8_block(Float8Block packed, DType dtype);

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  DType dtype() const { return dtype_; }
  Layout layout() const { return static_cast<Layout>(packed_.index()); }

  ActivationMode activation_mode() const { return mode_; }
  // Activation elements of at least this magnitude are outliers (kInt8 only); 0 means none are.
  float llm_int8_threshold() const { return threshold_; }
  // kInt8 rounds a codebook's values to 255 steps, so what comes back is for computing, not for
  // saving. Throws Error for kInt8 of a dense weight.
  Weight with_activation_mode(ActivationMode mode) const;
  // Absmax, or scales and zeros, in 16 bits where these hold every one of them exactly, as they do
  // those of a weight that was bfloat16 or float16: a ninth of the bytes of NF4 are its float32
  // absmax. Nested absmax stay. Also finds out whether zeros say
  // anything (AffineGroup::zeros_are_middle). Decodes to the same numbers.
  Weight with_narrow_scales() const;

  const Dense& as_dense() const { return std::get<Dense>(packed_); }
  const Int8Row& as_int8_row() const { return std::get<Int8Row>(packed_); }
  const CodeBlock& as_code_block() const { return std::get<CodeBlock>(packed_); }
  const AffineGroup& as_affine_group() const { return std::get<AffineGroup>(packed_); }
  const Float8Block& as_float8_block() const { return std::get<Float8Block>(packed_); }

  // Row r as float, in `out` of size cols: the truth that kernels are compared with.
  void decode_row(int64_t row, std::span<float> out) const;

  // The whole matrix in `dtype` (default: dtype()), each element rounded once from float.
  Tensor dequantize() const { return dequantize(dtype_); }
  Tensor dequantize(DType dtype) const;

  // Bytes of the codes alone (what get_memory_footprint of transformers counts for a packed
  // parameter), and of everything that decoding reads.
  int64_t code_bytes() const;
  int64_t total_bytes() const;

 private:
  int64_t rows_ = 0, cols_ = 0;
  DType dtype_ = DType::kF32;
  ActivationMode mode_ = ActivationMode::kFloat;
  float threshold_ = 0.0f;
  // In the order of Layout.
  std::variant<Dense, Int8Row, CodeBlock, AffineGroup, Float8Block> packed_;
};

}  // namespace nibble
