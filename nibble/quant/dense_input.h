// SPDX-License-Identifier: Apache-2.0
//
// What every scheme does with the dense matrix it is given: check it, read runs of it as float, and
// say where it is not finite.
#pragma once

#include <cstdint>
#include <span>

#include "nibble/tensor/tensor.h"

namespace nibble {

// Throws Error unless `dense` is [rows, cols] of float32, float16 or bfloat16.
void check_dense_input(const Tensor& dense);

// Elements [begin, begin + out.size()) of the flattened tensor as float.
void read_elements(const Tensor& dense, int64_t begin, std::span<float> out);

// Rounds each to the nearest float16, as a float.
void round_to_fp16(std::span<float> values);

// Throws the Error that names the number of NaN and infinite elements and the first of them; does
// nothing when all are finite.
void check_finite(const Tensor& dense);

}  // namespace nibble
