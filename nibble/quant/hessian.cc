// SPDX-License-Identifier: Apache-2.0
#include "nibble/quant/hessian.h"

#include <algorithm>
#include <cmath>

#include "nibble/base/error.h"
#include "nibble/base/vectorize.h"

namespace nibble {
namespace {

// Rows of the Hessian that share one pass over x.
constexpr int64_t kHessianRows = 8;
// Tokens that are summed in float32 before the sum joins the others in double.
constexpr int64_t kTokensInFloat = 256;

// sums += a x + b y, element by element: two tokens for one pass over the sums.
NIBBLE_VECTORIZED void add_two(float* sums, const float* x, float a, const float* y, float b,
                               int64_t count) {
  for (int64_t i = 0; i < count; ++i) sums[i] += a * x[i] + b * y[i];
}

}  // namespace

Hessian::Hessian(int64_t cols)
    : cols_(cols),
      sums_(static_cast<size_t>(cols * cols)),
      magnitudes_(static_cast<size_t>(cols)) {}

void Hessian::add(const Tensor& x, ThreadPool& pool) {
  if (x.rank() != 2 || x.dim(1) != cols_) {
    throw Error("inputs do not fit the Hessian")
        .expected("[tokens, " + std::to_string(cols_) + "]")
        .got(to_string(x.shape()));
  }
  const int64_t tokens = x.dim(0);
  const float* values = x.data<float>().data();
  const std::vector<float> nothing(static_cast<size_t>(cols_));  // beside an odd last token
  pool.parallel_for(cols_, kHessianRows, [&](int64_t begin, int64_t end) {
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t i = begin; i < end; ++i) {
        magnitudes_[static_cast<size_t>(i)] += std::fabs(values[t * cols_ + i]);
      }
    }
    std::vector<float> partial(static_cast<size_t>(cols_ * (end - begin)));
    for (int64_t first = 0; first < tokens; first += kTokensInFloat) {
      const int64_t last = std::min(tokens, first + kTokensInFloat);
      std::ranges::fill(partial, 0.0f);
      for (int64_t t = first; t < last; t += 2) {
        const float* one = values + t * cols_;
        const float* two = t + 1 < last ? one + cols_ : nothing.data();
        for (int64_t i = begin; i < end; ++i) {
          add_two(partial.data() + (i - begin) * cols_ + i, one + i, one[i], two + i, two[i],
                  cols_ - i);
        }
      }
      for (int64_t i = begin; i < end; ++i) {
        for (int64_t j = i; j < cols_; ++j) {
          sums_[static_cast<size_t>(i * cols_ + j)] +=
              partial[static_cast<size_t>((i - begin) * cols_ + j)];
        }
      }
    }
  });
  tokens_ += tokens;
}

double Hessian::at(int64_t i, int64_t j) const {
  const int64_t place = std::min(i, j) * cols_ + std::max(i, j);
  return 2.0 * sums_[static_cast<size_t>(place)] /
         static_cast<double>(std::max<int64_t>(1, tokens_));
}

double Hessian::mean_magnitude(int64_t i) const {
  return magnitudes_[static_cast<size_t>(i)] / static_cast<double>(std::max<int64_t>(1, tokens_));
}

}  // namespace nibble
