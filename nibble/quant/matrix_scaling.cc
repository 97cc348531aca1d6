// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/matrix_scaling.h"

#include "nibble/base/vectorize.h"
#include "nibble/quant/dense_input.h"

namespace nibble {

NIBBLE_VECTORIZED void multiply_each(std::span<float> values, std::span<const float> factors) {
  for (size_t i = 0; i < factors.size(); ++i) values[i] *= factors[i];
}

NIBBLE_VECTORIZED void divide_each(std::span<float> values, std::span<const float> divisors) {
  for (size_t i = 0; i < divisors.size(); ++i) values[i] /= divisors[i];
}

Tensor scaled_matrix(const Tensor& dense, const MatrixScaling& scaling, ThreadPool& pool) {
  constexpr int64_t kScaledRowsPerTask = 16;
  const int64_t rows = dense.dim(0), cols = dense.dim(1);
  Tensor out = Tensor::empty(DType::kF32, {rows, cols});
  const auto values = out.mutable_data<float>();
  pool.parallel_for(rows, kScaledRowsPerTask, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const auto row = values.subspan(static_cast<size_t>(r * cols), static_cast<size_t>(cols));
      read_elements(dense, r * cols, row);
      multiply_each(row, scaling.columns);
      if (scaling.rows.empty()) continue;
      for (float& x : row) x /= scaling.rows[static_cast<size_t>(r)];
    }
  });
  return out;
}

}  // namespace nibble
