// SPDX-License-Identifier: Apache-2.0
//
// What becomes of a matrix when its inputs and outputs change their units.
#pragma once

#include <span>
#include <vector>

#include "nibble/base/thread_pool.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

// Inputs are divided by `columns` [cols] and outputs by `rows` [rows]: the matrix is multiplied by
// the one and divided by the other. Empty: all 1.
struct MatrixScaling {
  std::vector<float> columns, rows;
};

// The scaled matrix in float32.
Tensor scaled_matrix(const Tensor& dense, const MatrixScaling& scaling, ThreadPool& pool);

// values[i] *= or /= factors[i]; of no factors nothing happens.
void multiply_each(std::span<float> values, std::span<const float> factors);
void divide_each(std::span<float> values, std::span<const float> divisors);

}  // namespace nibble
