// SPDX-License-Identifier: Apache-2.0
//
// The layout Int8Row: int8 codes with one absmax per output row, w = code * absmax / 127.
// The functions here are the specification, byte for byte what bitsandbytes' row-wise int8
// quantization writes; every faster path is tested equal to them.
#pragma once

#include <cstdint>
#include <span>

#include "nibble/tensor/tensor.h"

namespace nibble {

struct Int8Row {
  Tensor codes;   // [rows, cols] int8, row-major
  Tensor absmax;  // [rows] float32: the largest magnitude of the row (bitsandbytes: SCB)
};

// The divisor that maps a row's absmax to the largest code.
inline constexpr float kInt8Max = 127.0f;

// What a row is multiplied by before it is rounded. Two roundings, not those of 127 / absmax:
// torch divides a number by a tensor in this way, and the CUDA kernels' division is a product with
// an approximate reciprocal, too. Infinite for 0.
inline float int8_scale(float absmax) { return kInt8Max * (1.0f / absmax); }

// Quantizes one row: absmax = max |x|, code = round-half-even(x * int8_scale(absmax)), a zero
// row gives zero codes. Elements with |x| >= threshold (when threshold > 0) are left out of the
// absmax and get code 0: they are LLM.int8()'s outliers. `codes` has the size of `row`. Returns the
// absmax; NaN or infinity that is no outlier makes it non-finite, and a NaN product gives code 0.
float encode_int8_row(std::span<const float> row, std::span<int8_t> codes, float threshold = 0.0f);

// out[i] = code * (absmax / 127), quotient and product each rounded to float.
void decode_int8_row(std::span<const int8_t> codes, float absmax, std::span<float> out);

}  // namespace nibble
