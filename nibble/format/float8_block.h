// SPDX-License-Identifier: Apache-2.0
//
// The layout Float8Block: floats of 8 bits with a scale for each rectangle of a matrix (those at
// its lower and right edges may be smaller): w = value * scale. One form for scales per 128 x 128
// block, per row and for a whole matrix.
// The functions here are the specification; every faster path is tested equal to them.
#pragma once

#include <cstdint>
#include <span>

#include "nibble/tensor/tensor.h"

namespace nibble {

struct Float8Block {
  Tensor codes;   // [rows, cols] float8_e4m3fn or float8_e5m2
  Tensor scales;  // [rows / block_rows, cols / block_cols], rounded up, float32
  int64_t block_rows = 0, block_cols = 0;
};

// The largest finite value of a dtype of codes: 448 or 57344.
float largest_float8(DType dtype);

// Whether layouts have codes of this dtype.
bool is_float8_code(DType dtype);

// The code nearest to each value, ties to the even one; what is too large becomes the largest value
// (float8_e4m3fn) or infinite (float8_e5m2), NaN stays NaN.
void encode_float8(std::span<const float> values, DType dtype, std::span<uint8_t> codes);

// Columns [col, col + out.size()) of a row, each product rounded to float.
void decode_float8_block(const Float8Block& weight, int64_t row, int64_t col, std::span<float> out);

}  // namespace nibble
