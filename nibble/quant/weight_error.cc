// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/weight_error.h"

#include <numeric>

#include "nibble/base/error.h"
#include "nibble/quant/dense_input.h"

namespace nibble {
namespace {

// Of the differences to `weight`, or to zeros where it is null.
double sum_of_squares(const Weight* weight, const Tensor& dense,
                      std::span<const double> input_squares, ThreadPool& pool) {
  constexpr int64_t kRowsATask = 8;
  const int64_t row_count = dense.dim(0);
  const auto cols = static_cast<size_t>(dense.dim(1));
  if (!input_squares.empty() && input_squares.size() != cols) {
    throw Error("inputs of another module")
        .expected(std::to_string(cols))
        .got(std::to_string(input_squares.size()));
  }
  std::vector<double> rows(static_cast<size_t>(row_count));
  pool.parallel_for(row_count, kRowsATask, [&](int64_t begin, int64_t end) {
    std::vector<float> packed(cols), exact(cols);
    for (int64_t row = begin; row < end; ++row) {
      if (weight) weight->decode_row(row, packed);
      read_elements(dense, row * dense.dim(1), exact);
      double sum = 0;
      for (size_t i = 0; i < cols; ++i) {
        const double delta = double{packed[i]} - exact[i];
        sum += delta * delta * (input_squares.empty() ? 1.0 : input_squares[i]);
      }
      rows[static_cast<size_t>(row)] = sum;
    }
  });
  return std::accumulate(rows.begin(), rows.end(), 0.0);
}

}  // namespace

double weight_error(const Weight& weight, const Tensor& dense,
                    std::span<const double> input_squares, ThreadPool& pool) {
  return sum_of_squares(&weight, dense, input_squares, pool);
}

double weight_energy(const Tensor& dense, ThreadPool& pool) {
  return sum_of_squares(nullptr, dense, {}, pool);
}

}  // namespace nibble
