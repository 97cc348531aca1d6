// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/output_error.h"

#include <algorithm>
#include <cmath>

#include "nibble/base/error.h"
#include "nibble/base/vectorize.h"

namespace nibble {
namespace {

// Rows of the Hessian that one pass over the sums adds.
constexpr int64_t kRowsAtOnce = 4;

// sums += the rows at `rows`, `stride` apart, each times its error.
NIBBLE_VECTORIZED void add_four(float* sums, const float* rows, int64_t stride, const float* errors,
                                int64_t count) {
  const float *a = rows, *b = a + stride, *c = b + stride, *d = c + stride;
  const float w = errors[0], x = errors[1], y = errors[2], z = errors[3];
  for (int64_t j = 0; j < count; ++j) sums[j] += (w * a[j] + x * b[j]) + (y * c[j] + z * d[j]);
}

NIBBLE_VECTORIZED void add_one(float* sums, const float* row, float error, int64_t count) {
  for (int64_t j = 0; j < count; ++j) sums[j] += error * row[j];
}

}  // namespace

OutputError::OutputError(const Hessian& hessian)
    : cols_(hessian.cols()), upper_(static_cast<size_t>(cols_ * cols_)) {
  if (hessian.tokens() == 0) throw Error("calibration has seen no token");
  for (int64_t i = 0; i < cols_; ++i) {
    for (int64_t j = i; j < cols_; ++j) {
      const double value = i == j ? hessian.at(i, i) / 2 : hessian.at(i, j);
      upper_[static_cast<size_t>(i * cols_ + j)] = static_cast<float>(value);
    }
    // A value that is not finite reaches the diagonal from any x.
    if (!std::isfinite(upper_[static_cast<size_t>(i * cols_ + i)])) {
      throw Error("activations of calibration are not finite");
    }
  }
}

void OutputError::mean_squares(std::span<const float> errors, int64_t begin,
                               std::span<double> mean_squares) const {
  const auto rows = static_cast<int64_t>(mean_squares.size());
  const int64_t width = static_cast<int64_t>(errors.size()) / rows;
  std::vector<float> sums(errors.size());
  for (int64_t i = 0; i < width; i += kRowsAtOnce) {
    const float* own = upper_.data() + (begin + i) * cols_ + begin + i;
    for (int64_t r = 0; r < rows; ++r) {
      float* out = sums.data() + r * width + i;
      const float* error = errors.data() + r * width + i;
      if (i + kRowsAtOnce <= width) {
        add_four(out, own, cols_, error, width - i);
        continue;
      }
      for (int64_t k = 0; k < width - i; ++k) add_one(out, own + k * cols_, error[k], width - i);
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    double sum = 0;
    for (int64_t j = r * width; j < (r + 1) * width; ++j) {
      sum += double{sums[static_cast<size_t>(j)]} * errors[static_cast<size_t>(j)];
    }
    mean_squares[static_cast<size_t>(r)] = sum;
  }
}

}  // namespace nibble
